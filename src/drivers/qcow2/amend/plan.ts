/** What is asked for, held against the image: all refusals come before the first change. */
import { BlockError, NotSupported } from '../../../core/errors/block-error.ts';
import type { Disk } from '../disk.ts';
import { ExtensionType, findExtension, stringExtension } from '../meta/extensions.ts';
import { Autoclear, describeFeatures, FEATURE_NAMES, FeatureGroup, Incompatible } from '../meta/features.ts';
import type { AmendOptions } from './options.ts';
import { assertCountsFit } from './refcount-width.ts';

/** The width that version 2 has, as its logarithm. */
const V2_REFCOUNT_ORDER = 4;

export interface Plan {
  readonly upgrade: boolean;
  readonly downgrade: boolean;
  /** Of the counts, afterwards. */
  readonly refcountOrder: number;
}

/** Everything of the image must be on disk. */
export async function checkRequest(disk: Disk, options: AmendOptions, signal?: AbortSignal): Promise<Plan> {
  const { header } = disk;
  const version = versionAfter(options.compat, header.version);
  if (version < 3) refuseForVersion2(options);
  checkBacking(disk, options);
  checkDataFile(disk, options);
  const wanted = options.refcount_bits === undefined ? header.refcountOrder : Math.log2(options.refcount_bits);
  const refcountOrder = version < 3 ? V2_REFCOUNT_ORDER : wanted;
  const downgrade = version < header.version;
  if (downgrade) checkDowngrade(disk, options.size ?? disk.size);
  if (refcountOrder < header.refcountOrder) await assertCountsFit(disk, refcountOrder, signal);
  return { upgrade: version > header.version, downgrade, refcountOrder };
}

function versionAfter(compat: AmendOptions['compat'], now: number): number {
  if (compat === undefined) return now;
  return compat === '0.10' || compat === 'v2' ? 2 : 3;
}

function refuseForVersion2(options: AmendOptions): void {
  const hint = 'Use compat=1.1 or greater';
  if (options.lazy_refcounts) {
    throw new BlockError('lazy refcounts need compatibility level 1.1, the image would have 0.10', { hint });
  }
  const { refcount_bits: bits } = options;
  if (bits !== undefined && bits !== 16) {
    throw new BlockError(`refcount_bits=${bits} needs compatibility level 1.1; with 0.10 counts have 16 bits`, {
      hint,
    });
  }
}

function checkBacking({ parts, fileName }: Disk, options: AmendOptions): void {
  const { backing_file: file, backing_fmt: format } = options;
  const now = parts.backingFileName ?? '';
  const nowFormat = stringExtension(parts.extensions, ExtensionType.BACKING_FORMAT) ?? '';
  if ((file === undefined || file === now) && (format === undefined || format === nowFormat)) return;
  throw new NotSupported(`the backing file of '${fileName}' cannot be amended`, {
    followUp: "You can use 'img rebase' instead.",
  });
}

function checkDataFile({ header, fileName }: Disk, options: AmendOptions): void {
  const external = (header.incompatible & Incompatible.DATA_FILE) !== 0n;
  if (options.data_file !== undefined && !external) {
    throw new BlockError(`'${fileName}' has no external data file, so data_file cannot be set`);
  }
  if (options.data_file_raw === true && (header.autoclear & Autoclear.DATA_FILE_RAW) === 0n) {
    throw new BlockError(`data_file_raw cannot be set on '${fileName}', only when an image is made`);
  }
}

/** Version 2 lacks much of what an image may have. */
function checkDowngrade(disk: Disk, size: number): void {
  const { header, fileName, snapshots, parts } = disk;
  const refuse = (why: string, hint?: string): never => {
    throw new NotSupported(`'${fileName}' cannot be made compatible with 0.10: ${why}`, hint ? { hint } : {});
  };
  const left = header.incompatible & ~(Incompatible.DIRTY | Incompatible.CORRUPT);
  if (left !== 0n) {
    refuse(`it uses ${describeFeatures(left, FeatureGroup.INCOMPATIBLE, FEATURE_NAMES).join(', ')}`);
  }
  if ((header.autoclear & Autoclear.BITMAPS) !== 0n || findExtension(parts.extensions, ExtensionType.BITMAPS)) {
    refuse('it has bitmaps', 'Remove them with img bitmap --remove');
  }
  if (parts.backingFileName !== undefined && !disk.backing) refuse('its backing file is not open');
  for (const { id, name, diskSize = size, vmStateSize } of snapshots) {
    if (diskSize !== size) refuse(`snapshot '${id}' (${name}) is of a disk of ${diskSize} bytes, not ${size}`);
    if (vmStateSize > 0xffffffff) refuse(`snapshot '${id}' (${name}) has a machine state of ${vmStateSize} bytes`);
  }
}
