/** Creation options of qcow2, and which of them exclude each other. */

import type { Preallocation } from '../../core/block/driver.ts';
import { alignUp } from '../../core/bytes/ranges.ts';
import { LUKS_DISPLAY_ORDER } from '../../core/crypto/index.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import { bool, bytes, choice, defineOptions, integer, type OptionsOf, text } from '../../core/options/fields.ts';
import { encryptOption, type NewEncryption, newEncryption } from './encryption/create.ts';
import { Autoclear, Compatible, Incompatible } from './meta/features.ts';
import { type Geometry, geometryOf, l1EntriesFor } from './meta/geometry.ts';
import { Compression } from './meta/header.ts';
import { Limit } from './meta/limits.ts';

const SECTOR = 512;
const MAX_CLUSTER = 2 ** Limit.MAX_CLUSTER_BITS;

export const createOptions = defineOptions({
  backing_file: text({ help: 'File name of a base image' }),
  backing_fmt: text({ help: 'Image format of the base image' }),
  cluster_size: bytes({
    help: 'qcow2 cluster size',
    default: '64k',
    min: 2 ** Limit.MIN_CLUSTER_BITS,
    max: MAX_CLUSTER,
    powerOfTwo: true,
  }),
  compat: choice(['0.10', '1.1', 'v2', 'v3'], { help: 'Compatibility level (v2 [0.10] or v3 [1.1])' }),
  compression_type: choice(['zlib', 'zstd'], {
    help: 'Compression method used for image cluster compression',
    default: 'zlib',
  }),
  data_file: text({ help: 'File name of an external data file', nonEmpty: true }),
  data_file_raw: bool({ help: 'The external data file must stay valid as a raw image' }),
  encrypt: encryptOption,
  encryption: bool({ help: "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)" }),
  extended_l2: bool({ help: 'Extended L2 tables', default: false }),
  lazy_refcounts: bool({ help: 'Postpone refcount updates', default: false }),
  preallocation: choice(['off', 'metadata', 'falloc', 'full'], {
    help: 'Preallocation mode (allowed values: off, metadata, falloc, full)',
  }),
  refcount_bits: integer({
    help: 'Width of a reference count entry in bits',
    default: 16,
    min: 1,
    max: 64,
    powerOfTwo: true,
  }),
  size: bytes({ help: 'Virtual disk size' }),
});

export type CreateOptions = OptionsOf<typeof createOptions>;

/** Order of the options on the line that `create` prints. */
export const CREATE_DISPLAY_ORDER: readonly string[] = [
  'encryption',
  ...['format', ...LUKS_DISPLAY_ORDER].map((name) => `encrypt.${name}`),
  'cluster_size',
  'extended_l2',
  'preallocation',
  'compression_type',
  'size',
  'compat',
  'backing_file',
  'backing_fmt',
  'data_file',
  'data_file_raw',
  'lazy_refcounts',
  'refcount_bits',
];

/** A new image, its options resolved and found to fit together. */
export interface NewImage {
  readonly geometry: Geometry;
  readonly clusterBits: number;
  readonly incompatible: bigint;
  readonly compatible: bigint;
  readonly autoclear: bigint;
  readonly compressionType: number;
  readonly backingFile: string | undefined;
  readonly backingFormat: string | undefined;
  readonly dataFile: string | undefined;
  readonly dataFileRaw: boolean;
  readonly preallocation: Preallocation;
  readonly encryption: NewEncryption | undefined;
}

/** Check the options against each other. Throws one line for the first conflict. */
export function resolveNewImage(options: CreateOptions, measuring = false): NewImage {
  const encryption = newEncryption(options.encrypt, { legacy: options.encryption ?? false, measuring });
  checkVersion(options);
  checkCombinations(options);
  const dataFileRaw = options.data_file_raw ?? false;
  const asked = options.preallocation ?? 'off';
  const incompatible =
    (options.data_file === undefined ? 0n : Incompatible.DATA_FILE) |
    (options.compression_type === 'zlib' ? 0n : Incompatible.COMPRESSION) |
    (options.extended_l2 ? Incompatible.EXTENDED_L2 : 0n);
  const clusterBits = Math.log2(options.cluster_size);
  const version = versionOf(options);
  const refcountOrder = Math.log2(options.refcount_bits);
  return {
    geometry: geometryOf({ version, clusterBits, refcountOrder, incompatible }),
    clusterBits,
    incompatible,
    compatible: options.lazy_refcounts ? Compatible.LAZY_REFCOUNTS : 0n,
    autoclear: dataFileRaw ? Autoclear.DATA_FILE_RAW : 0n,
    compressionType: options.compression_type === 'zstd' ? Compression.ZSTD : Compression.ZLIB,
    backingFile: options.backing_file === '' ? undefined : options.backing_file,
    backingFormat: options.backing_fmt,
    dataFile: options.data_file,
    dataFileRaw,
    // A raw data file can be read without looking at the tables only if they map everything from the start.
    preallocation: dataFileRaw && asked === 'off' ? 'metadata' : asked,
    encryption,
  };
}

function versionOf({ compat }: Pick<CreateOptions, 'compat'>): 2 | 3 {
  return compat === '0.10' || compat === 'v2' ? 2 : 3;
}

function checkVersion(options: CreateOptions): void {
  if (versionOf(options) === 3) return;
  const needsV3: readonly (readonly [boolean, string])[] = [
    [options.lazy_refcounts, 'lazy_refcounts=on'],
    [options.refcount_bits !== 16, `refcount_bits=${options.refcount_bits}`],
    [options.extended_l2, 'extended_l2=on'],
    [options.compression_type !== 'zlib', `compression_type=${options.compression_type}`],
    [options.data_file !== undefined, 'data_file'],
  ];
  for (const [used, name] of needsV3) {
    if (used) throw new BlockError(`${name} needs compat=1.1, not compat=${options.compat}`);
  }
}

function checkCombinations(options: CreateOptions): void {
  const { backing_file: backing, cluster_size: clusterSize, preallocation = 'off' } = options;
  const hasBacking = backing !== undefined && backing !== '';
  if (options.backing_fmt !== undefined && !hasBacking) {
    throw new BlockError(`backing_fmt=${options.backing_fmt} has no meaning without backing_file`);
  }
  if (hasBacking && Buffer.byteLength(backing) > Limit.MAX_BACKING_NAME_BYTES) {
    const length = Buffer.byteLength(backing);
    throw new BlockError(`backing_file is ${length} bytes long, the limit is ${Limit.MAX_BACKING_NAME_BYTES}`);
  }
  const least = 2 ** Limit.MIN_CLUSTER_BITS_EXTENDED;
  if (options.extended_l2 && clusterSize < least) {
    throw new BlockError(`extended_l2=on needs clusters of at least ${least} bytes, not ${clusterSize}`);
  }
  if (options.data_file_raw && options.data_file === undefined) {
    throw new BlockError('data_file_raw=on needs data_file');
  }
  if (options.data_file_raw && options.encrypt !== undefined) {
    throw new BlockError('data_file_raw=on and encryption cannot be used together');
  }
  if (options.data_file_raw && hasBacking) {
    throw new BlockError('data_file_raw=on and backing_file cannot be used together');
  }
  if (hasBacking && preallocation !== 'off' && !options.extended_l2) {
    throw new BlockError(
      `preallocation=${preallocation} and backing_file can only be used together with extended_l2=on`,
    );
  }
}

/** Length of the disk in bytes: whole sectors, and not more than an L1 table can map. */
export function checkedDiskSize(size: number, geometry: Geometry): number {
  const rounded = alignUp(size, SECTOR);
  const largest = (Limit.MAX_L1_BYTES / 8) * geometry.l2Coverage;
  if (!Number.isSafeInteger(rounded) || l1EntriesFor(geometry, rounded) * 8 > Limit.MAX_L1_BYTES) {
    throw new BlockError(
      `a disk of ${size} bytes is too large for clusters of ${geometry.clusterSize} bytes, the limit is ${largest}`,
      { code: 'EFBIG', ...(geometry.clusterSize < MAX_CLUSTER ? { hint: 'Try a larger cluster size' } : {}) },
    );
  }
  return rounded;
}
