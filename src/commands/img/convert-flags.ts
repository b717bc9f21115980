/** What the flags of `convert` mean together: contradictions, the target, and how to copy. */
import type { CacheMode } from '../../core/block/backend/cache-mode.ts';
import { specFromFileName, specFromOptions } from '../../core/block/graph/spec.ts';
import { Usage } from '../../core/errors/block-error.ts';
import type { ConvertOptions, ConvertTarget } from '../../core/job/convert.ts';
import { driverList } from '../../drivers/index.ts';
import type { Typed } from './creation-options.ts';

export interface ConvertFlags {
  readonly format: string | undefined;
  readonly outputFormat: string;
  readonly compress: boolean;
  readonly noCreate: boolean;
  readonly progress: 'human' | 'json' | undefined;
  readonly quiet: boolean;
  readonly targetCache: CacheMode;
  readonly sourceCache: CacheMode | undefined;
  readonly sparse: number | undefined;
  readonly parallel: number | undefined;
  readonly unordered: boolean;
  readonly rate: number | undefined;
  readonly offload: boolean;
  readonly backing: string | undefined;
  readonly backingFormat: string | undefined;
  readonly forceShare: boolean;
  readonly targetIsZero: boolean;
  readonly salvage: boolean;
  readonly imageOpts: boolean;
  readonly targetImageOpts: boolean;
  readonly snapshot: string | undefined;
  readonly bitmaps: boolean;
  readonly skipBroken: boolean;
  readonly verify: boolean;
  readonly cacheManners: 'auto' | 'off';
}

const MAX_SPARSE = 16 * 1024 * 1024;
const SECTOR = 512;

/** Throws for flags that cannot stand together, and for those that do nothing yet. */
export function refuseContradictions(flags: ConvertFlags, sources: number): void {
  if (flags.snapshot !== undefined && sources > 1) throw new Usage("option '-l' goes with one source only");
  if (flags.bitmaps && sources > 1) throw new Usage("option '--bitmaps' goes with one source only");
  const { sparse } = flags;
  if (sparse !== undefined && (sparse % SECTOR !== 0 || sparse > MAX_SPARSE)) {
    throw new Usage(`option '-S' expects a multiple of ${SECTOR} of at most 16M, not ${sparse}`);
  }
  if (flags.backing !== undefined) {
    if (sources > 1) throw new Usage("option '-B' goes with one source only");
    if (flags.targetIsZero) throw new Usage("options '--target-is-zero' and '-B' cannot be used together");
  }
}

/** The target of the flags; `options` are those of `-o`. Flags win over options of the same meaning. */
export function targetOf(flags: ConvertFlags, options: Typed, name: string): ConvertTarget {
  const common = { fileName: name, driver: flags.outputFormat, cache: flags.targetCache };
  const spec = flags.targetImageOpts ? specFromOptions(name) : specFromFileName(driverList, name, flags.outputFormat);
  if (flags.noCreate) {
    return { ...common, spec, isZero: flags.targetIsZero, hasBacking: flags.backing !== undefined };
  }
  const { backing_file: backingFile = flags.backing } = options;
  if (flags.backingFormat !== undefined && backingFile === undefined) {
    throw new Usage("option '-F' needs a backing file, given with '-B'");
  }
  return {
    ...common,
    spec,
    create: {
      ...options,
      ...(flags.backing === undefined ? {} : { backing_file: flags.backing }),
      ...(flags.backingFormat === undefined ? {} : { backing_fmt: flags.backingFormat }),
    },
  };
}

/** How to copy. */
export function copySettings(flags: ConvertFlags): Omit<ConvertOptions, 'sources' | 'target'> {
  return {
    compressed: flags.compress,
    offload: flags.offload,
    unordered: flags.unordered,
    salvage: flags.salvage,
    verify: flags.verify,
    cacheManners: flags.cacheManners === 'auto',
    speed: flags.rate ?? 0,
    ...(flags.bitmaps ? { bitmaps: flags.skipBroken ? ('skip' as const) : ('refuse' as const) } : {}),
    ...(flags.parallel === undefined ? {} : { parallel: flags.parallel }),
    ...(flags.sparse === undefined ? {} : { sparse: flags.sparse }),
  };
}
