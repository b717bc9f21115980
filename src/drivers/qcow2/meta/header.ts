/** The header at offset 0 (specification, "Header"): 72 bytes in version 2, at least 104 in version 3. */
import { struct, u8, u32, u64 } from '../../../core/bytes/struct.ts';
import { BlockError, CorruptImage, NotSupported, WrongFormat } from '../../../core/errors/block-error.ts';
import { Incompatible } from './features.ts';
import { Limit } from './limits.ts';
import { copyOf, type Mutable, rounded64, viewOf } from './struct.ts';

export const MAGIC = 0x514649fb;

export const V2_HEADER_BYTES = 72;
export const V3_MIN_HEADER_BYTES = 104;
/** What this driver writes: up to the compression type, padded. */
export const V3_HEADER_BYTES = 112;
/** Bytes that must be read before {@link decodeHeader} can judge. */
export const HEADER_PROBE_BYTES = V3_HEADER_BYTES;

const BASE = struct('qcow2 header', 'big', V2_HEADER_BYTES, {
  magic: u32(0),
  version: u32(4),
  backingFileOffset: rounded64(8),
  backingFileSize: u32(16),
  clusterBits: u32(20),
  size: rounded64(24),
  cryptMethod: u32(32),
  l1Size: u32(36),
  l1TableOffset: rounded64(40),
  refcountTableOffset: rounded64(48),
  refcountTableClusters: u32(56),
  nbSnapshots: u32(60),
  snapshotsOffset: rounded64(64),
});

/** What version 3 adds, from byte 72 on; where the header ends earlier, the rest counts as zero. */
const ADDED = struct('qcow2 header of version 3', 'big', 33, {
  incompatible: u64(0),
  compatible: u64(8),
  autoclear: u64(16),
  refcountOrder: u32(24),
  headerLength: u32(28),
  compressionType: u8(32),
});

/** Offset in bytes of a field in the file, for updates in place. */
export const HEADER_OFFSET = {
  size: BASE.offsets.size,
  l1Size: BASE.offsets.l1Size,
  l1TableOffset: BASE.offsets.l1TableOffset,
  refcountTableOffset: BASE.offsets.refcountTableOffset,
  nbSnapshots: BASE.offsets.nbSnapshots,
  snapshotsOffset: BASE.offsets.snapshotsOffset,
  incompatible: V2_HEADER_BYTES + ADDED.offsets.incompatible,
  autoclear: V2_HEADER_BYTES + ADDED.offsets.autoclear,
} as const;

export const Compression = { ZLIB: 0, ZSTD: 1 } as const;
export const Crypt = { NONE: 0, AES: 1, LUKS: 2 } as const;

type Fields = Mutable<ReturnType<typeof BASE.decode> & ReturnType<typeof ADDED.decode>>;

export interface Header extends Fields {
  /** Bytes from offset 112 to `headerLength` that this driver does not know, kept as they are. */
  unknownFields: Uint8Array;
}

/**
 * Decode from the first bytes of a file (all of the header, when `bytes` holds it). Throws WrongFormat for
 * another format, NotSupported for another version, CorruptImage for a header that ends early.
 */
export function decodeHeader(bytes: Uint8Array, fileName: string): Header {
  if (bytes.length < 8) throw new WrongFormat(`'${fileName}' is not a qcow2 image: it has only ${bytes.length} bytes`);
  const view = viewOf(bytes);
  if (view.getUint32(0) !== MAGIC) throw new WrongFormat(`'${fileName}' is not a qcow2 image: wrong magic`);
  const version = view.getUint32(4);
  if (version !== 2 && version !== 3) {
    throw new NotSupported(`'${fileName}': qcow2 version ${version} is not supported, only 2 and 3`);
  }
  const least = version === 2 ? V2_HEADER_BYTES : V3_MIN_HEADER_BYTES;
  if (bytes.length < least) {
    throw new CorruptImage(`'${fileName}': the header is cut off after ${bytes.length} of ${least} bytes`);
  }
  const length = version === 2 ? V2_HEADER_BYTES : view.getUint32(V2_HEADER_BYTES + ADDED.offsets.headerLength);
  const added = new Uint8Array(ADDED.size);
  added.set(
    bytes.subarray(V2_HEADER_BYTES, Math.min(Math.max(length, least), bytes.length, V2_HEADER_BYTES + added.length)),
  );
  const values: Fields = { ...BASE.decode(bytes), ...ADDED.decode(added) };
  if (version === 2) {
    values.refcountOrder = 4;
    values.headerLength = V2_HEADER_BYTES;
  }
  const unknownEnd = Math.min(length, bytes.length);
  return { ...values, unknownFields: copyOf(bytes, V3_HEADER_BYTES, Math.max(V3_HEADER_BYTES, unknownEnd)) };
}

/** The header's own bytes, without extensions; `headerLength` says how many. */
export function encodeHeader(header: Header): Uint8Array {
  const bytes = new Uint8Array(header.headerLength);
  BASE.encode(header, bytes);
  bytes.set(ADDED.encode(header).subarray(0, header.headerLength - V2_HEADER_BYTES), V2_HEADER_BYTES);
  if (header.headerLength > V3_HEADER_BYTES) {
    bytes.set(header.unknownFields.subarray(0, header.headerLength - V3_HEADER_BYTES), V3_HEADER_BYTES);
  }
  return bytes;
}

/**
 * Refuse values that no valid image has. Every table size is bounded here, before anything is read or allocated.
 * For a check (`forCheck`) the number of snapshots may be too large: it is what the check reports and a repair cuts.
 */
export function validateHeader(header: Header, fileName: string, { forCheck = false } = {}): void {
  const fail = (field: string, value: number | string, limit: string): never => {
    throw new CorruptImage(`'${fileName}': ${field} is ${value}, ${limit}`, { code: 'EINVAL', data: { field, value } });
  };
  const { clusterBits } = header;
  if (clusterBits < Limit.MIN_CLUSTER_BITS || clusterBits > Limit.MAX_CLUSTER_BITS) {
    fail('cluster_bits', clusterBits, `allowed are ${Limit.MIN_CLUSTER_BITS} to ${Limit.MAX_CLUSTER_BITS}`);
  }
  const clusterSize = 2 ** clusterBits;
  if ((header.incompatible & Incompatible.EXTENDED_L2) !== 0n && clusterBits < Limit.MIN_CLUSTER_BITS_EXTENDED) {
    fail('cluster_bits', clusterBits, `extended L2 entries need at least ${Limit.MIN_CLUSTER_BITS_EXTENDED}`);
  }
  if (header.version === 3) validateV3(header, clusterSize, fail);
  if (header.cryptMethod > Crypt.LUKS) fail('crypt_method', header.cryptMethod, 'allowed are 0 to 2');
  if (header.size > Limit.MAX_DISK_SIZE) fail('size', header.size, `the limit is ${Limit.MAX_DISK_SIZE}`);
  validateBacking(header, clusterSize, fail);
  if (header.nbSnapshots > Limit.MAX_SNAPSHOTS && !forCheck) {
    fail('nb_snapshots', header.nbSnapshots, `the limit is ${Limit.MAX_SNAPSHOTS}`);
  }
  validateTables(header, clusterSize, fail);
}

type Fail = (field: string, value: number | string, limit: string) => never;

function validateV3(header: Header, clusterSize: number, fail: Fail): void {
  const { headerLength } = header;
  if (headerLength < V3_MIN_HEADER_BYTES || headerLength % 8 !== 0) {
    fail('header_length', headerLength, `it must be a multiple of 8 and at least ${V3_MIN_HEADER_BYTES}`);
  }
  if (headerLength > clusterSize)
    fail('header_length', headerLength, `it must fit in a cluster of ${clusterSize} bytes`);
  if (header.refcountOrder > Limit.MAX_REFCOUNT_ORDER) {
    fail('refcount_order', header.refcountOrder, `the limit is ${Limit.MAX_REFCOUNT_ORDER}`);
  }
  const flagged = (header.incompatible & Incompatible.COMPRESSION) !== 0n;
  if (header.compressionType > Compression.ZSTD)
    fail('compression_type', header.compressionType, 'allowed are 0 and 1');
  if (flagged !== (header.compressionType !== Compression.ZLIB)) {
    fail('compression_type', header.compressionType, `but the compression type bit is ${flagged ? 'set' : 'not set'}`);
  }
}

function validateBacking(header: Header, clusterSize: number, fail: Fail): void {
  if (header.backingFileOffset === 0) return;
  if (header.backingFileOffset > clusterSize) {
    fail('backing_file_offset', header.backingFileOffset, `it must lie in the first cluster of ${clusterSize} bytes`);
  }
  const limit = Math.min(Limit.MAX_BACKING_NAME_BYTES, clusterSize - header.backingFileOffset);
  if (header.backingFileSize > limit) fail('backing_file_size', header.backingFileSize, `the limit is ${limit}`);
}

function validateTables(header: Header, clusterSize: number, fail: Fail): void {
  const aligned = (field: string, offset: number): void => {
    if (offset > Limit.MAX_HOST_OFFSET) fail(field, offset, `the limit is ${Limit.MAX_HOST_OFFSET}`);
    if (offset % clusterSize !== 0) fail(field, offset, `it must be a multiple of the cluster size ${clusterSize}`);
    if (offset === 0) fail(field, offset, 'which is where the header lies');
  };
  if (header.l1Size * 8 > Limit.MAX_L1_BYTES) fail('l1_size', header.l1Size, `the limit is ${Limit.MAX_L1_BYTES / 8}`);
  const extended = (header.incompatible & Incompatible.EXTENDED_L2) !== 0n;
  const needed = Math.ceil(header.size / ((clusterSize / (extended ? 16 : 8)) * clusterSize));
  if (header.l1Size < needed) fail('l1_size', header.l1Size, `a disk of ${header.size} bytes needs ${needed}`);
  if (header.l1Size > 0) aligned('l1_table_offset', header.l1TableOffset);

  const tableBytes = header.refcountTableClusters * clusterSize;
  if (tableBytes > Limit.MAX_REFCOUNT_TABLE_BYTES) {
    const limit = Math.floor(Limit.MAX_REFCOUNT_TABLE_BYTES / clusterSize);
    fail('refcount_table_clusters', header.refcountTableClusters, `the limit is ${limit}`);
  }
  if (header.refcountTableClusters > 0) aligned('refcount_table_offset', header.refcountTableOffset);

  if (header.nbSnapshots > 0 || header.snapshotsOffset > 0) aligned('snapshots_offset', header.snapshotsOffset);
}

/** The backing file name; throws when it lies outside of `firstCluster` or holds a NUL. */
export function backingFileName(header: Header, firstCluster: Uint8Array, fileName: string): string | undefined {
  if (header.backingFileOffset === 0 || header.backingFileSize === 0) return undefined;
  const end = header.backingFileOffset + header.backingFileSize;
  if (end > firstCluster.length) {
    throw new CorruptImage(`'${fileName}': the backing file name ends at ${end}, past the end of the file`);
  }
  const name = Buffer.from(firstCluster.subarray(header.backingFileOffset, end)).toString('utf8');
  if (name.includes('\0')) throw new BlockError(`'${fileName}': the backing file name holds a NUL byte`);
  return name;
}
