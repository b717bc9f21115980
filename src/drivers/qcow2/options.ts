/** Runtime options of the driver, and what they come to for a given image. */
import type { OpenModes } from '../../core/block/driver.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import {
  bool,
  bytes,
  choice,
  defineOptions,
  either,
  group,
  integer,
  type OptionsOf,
  secretId,
} from '../../core/options/fields.ts';
import type { Settings } from './disk.ts';
import { Compatible } from './meta/features.ts';
import type { Geometry } from './meta/geometry.ts';
import type { Header } from './meta/header.ts';
import { OVERLAP_KINDS, OVERLAP_TEMPLATES, type OverlapKind, type OverlapTemplate } from './overlap-check.ts';

const TEMPLATES: readonly OverlapTemplate[] = ['none', 'constant', 'cached', 'all'];

const overlapHelp = 'Which structures are protected from being overwritten';

const watch = (what: string) => bool({ help: `Protect ${what}` });

export const options = defineOptions({
  encrypt: group(
    {
      format: choice(['aes', 'luks'], { help: 'How the image is encrypted; it says so itself' }),
      'key-secret': secretId({ help: 'Id of the secret object that holds the password' }),
    },
    { help: 'Encryption of the data' },
  ),
  'lazy-refcounts': bool({ help: 'Write reference counts late, and set the dirty bit meanwhile' }),
  'pass-discard-request': bool({ help: 'Give space back to the host when the guest discards' }),
  'pass-discard-snapshot': bool({ help: 'Give space back to the host when a snapshot is deleted', default: true }),
  'pass-discard-other': bool({ help: 'Give space back to the host when it becomes free otherwise', default: false }),
  'discard-no-unref': bool({ help: 'Keep discarded clusters allocated in the image', default: false }),
  'overlap-check': either(
    choice(['none', 'constant', 'cached', 'all'], { help: overlapHelp }),
    group(
      {
        template: choice(['none', 'constant', 'cached', 'all'], { help: 'Where to start from', default: 'cached' }),
        'main-header': watch('the header'),
        'active-l1': watch('the active L1 table'),
        'active-l2': watch('active L2 tables'),
        'refcount-table': watch('the refcount table'),
        'refcount-block': watch('refcount blocks'),
        'snapshot-table': watch('the snapshot table'),
        'inactive-l1': watch("snapshots' L1 tables"),
        'inactive-l2': watch("snapshots' L2 tables"),
        'bitmap-directory': watch('the bitmap directory'),
      },
      { help: overlapHelp },
    ),
    { help: overlapHelp },
  ),
  'cache-size': bytes({ help: 'Memory for all metadata caches together' }),
  'l2-cache-size': bytes({ help: 'Memory for L2 tables; by default what the disk needs, at most 32 MiB' }),
  'l2-cache-entry-size': bytes({ help: 'Unit in which L2 tables are read, 512 to the cluster size', powerOfTwo: true }),
  'refcount-cache-size': bytes({ help: 'Memory for refcount blocks; by default four clusters' }),
  'cache-clean-interval': integer({
    help: 'Seconds after which unused tables are dropped from memory, 0 for never',
    default: 600,
    min: 0,
    max: 4294967,
  }),
});

export type Qcow2Options = OptionsOf<typeof options>;

const MAX_L2_CACHE = 32 * 1024 * 1024;
const MIN_REFCOUNT_TABLES = 4;
/** Refcount blocks are small beside the data they count: never keep less than this. */
const MIN_REFCOUNT_CACHE = 256 * 1024;
const DEFAULT_SLICE = 64 * 1024;

export interface CacheSizes {
  readonly l2: number;
  readonly l2Entry: number;
  readonly refcount: number;
}

/** Bytes for the caches. Throws when the sizes given contradict each other. */
export function cacheSizes(given: Qcow2Options, geometry: Geometry, diskSize: number): CacheSizes {
  const { clusterSize } = geometry;
  const l2Entry = given['l2-cache-entry-size'] ?? Math.min(clusterSize, DEFAULT_SLICE);
  if (l2Entry < 512 || l2Entry > clusterSize) {
    throw new BlockError(`l2-cache-entry-size is ${l2Entry}, allowed are powers of two from 512 to ${clusterSize}`);
  }
  const all = Math.ceil(diskSize / clusterSize) * geometry.l2EntrySize;
  const wanted = Math.max(l2Entry * 2, Math.ceil(all / l2Entry) * l2Entry);
  const least = Math.max(MIN_REFCOUNT_TABLES * clusterSize, MIN_REFCOUNT_CACHE);
  const split = splitCache(given, wanted, least);
  return {
    l2: Math.max(2 * l2Entry, split.l2),
    l2Entry,
    refcount: Math.max(MIN_REFCOUNT_TABLES * clusterSize, split.refcount),
  };
}

function splitCache(given: Qcow2Options, wanted: number, least: number): { l2: number; refcount: number } {
  const { 'cache-size': total, 'l2-cache-size': l2, 'refcount-cache-size': refcount } = given;
  if (total === undefined) return { l2: l2 ?? Math.min(MAX_L2_CACHE, wanted), refcount: refcount ?? least };
  if (l2 !== undefined && refcount !== undefined) {
    throw new BlockError('cache-size, l2-cache-size and refcount-cache-size cannot all be given');
  }
  for (const [name, part] of [
    ['l2-cache-size', l2],
    ['refcount-cache-size', refcount],
  ] as const) {
    if (part !== undefined && part > total) throw new BlockError(`${name} ${part} is more than cache-size ${total}`);
  }
  if (l2 !== undefined) return { l2, refcount: total - l2 };
  if (refcount !== undefined) return { l2: total - refcount, refcount };
  if (total >= wanted + least) return { l2: wanted, refcount: total - wanted };
  const small = Math.min(total, least);
  return { l2: total - small, refcount: small };
}

/** Options, image and modes taken together. */
export function settingsOf(given: Qcow2Options, header: Header, modes: OpenModes): Settings {
  const inHeader = (header.compatible & Compatible.LAZY_REFCOUNTS) !== 0n;
  const lazyRefcounts = given['lazy-refcounts'] ?? inHeader;
  if (lazyRefcounts && header.version < 3) {
    throw new BlockError('lazy-refcounts needs version 3 of qcow2 (compat=1.1), the image has version 2');
  }
  return {
    lazyRefcounts,
    discardNoUnref: given['discard-no-unref'],
    passDiscard: {
      never: false,
      always: true,
      request: given['pass-discard-request'] ?? modes.unmap,
      snapshot: given['pass-discard-snapshot'],
      other: given['pass-discard-other'],
    },
    cacheCleanInterval: given['cache-clean-interval'] * 1000,
  };
}

/** The structures to protect. */
export function overlapKinds(given: Qcow2Options): readonly OverlapKind[] {
  const option = given['overlap-check'];
  if (option === undefined) return OVERLAP_TEMPLATES.cached;
  if (typeof option === 'string') return OVERLAP_TEMPLATES[templateOf(option)];
  const base = OVERLAP_TEMPLATES[templateOf(option.template)];
  return OVERLAP_KINDS.filter((kind) => option[kind] ?? base.includes(kind));
}

function templateOf(name: string): OverlapTemplate {
  return TEMPLATES.find((template) => template === name) ?? 'cached';
}
