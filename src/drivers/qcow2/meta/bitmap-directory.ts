/** The bitmap directory (specification, "Bitmaps"): entries of variable length, padded to 8 bytes. */
import { struct, u8, u16, u32 } from '../../../core/bytes/struct.ts';
import { CorruptImage } from '../../../core/errors/block-error.ts';
import { Limit } from './limits.ts';
import { copyOf, rounded64 } from './struct.ts';

const ENTRY_BYTES = 24;

const ENTRY = struct('bitmap directory entry', 'big', ENTRY_BYTES, {
  tableOffset: rounded64(0),
  tableSize: u32(8),
  flags: u32(12),
  type: u8(16),
  granularityBits: u8(17),
  nameSize: u16(18),
  extraSize: u32(20),
});

export const BitmapFlag = {
  /** Not saved correctly: the content may be stale. */
  IN_USE: 1,
  /** Enabled: must follow every write. */
  AUTO: 2,
  EXTRA_DATA_COMPATIBLE: 4,
} as const;

export const DIRTY_TRACKING_BITMAP = 1;

export interface BitmapEntry {
  tableOffset: number;
  /** Entries of 8 bytes. */
  tableSize: number;
  flags: number;
  type: number;
  granularityBits: number;
  name: string;
  extra: Uint8Array;
}

/** An entry as found, with the place of its flags in the directory for an update in place. */
export interface StoredBitmap extends BitmapEntry {
  readonly flagsAt: number;
}

const pad = (length: number): number => Math.ceil(length / 8) * 8;

/** Bytes of a directory entry without extra data. */
export function bitmapEntryBytes(name: string): number {
  return ENTRY_BYTES + pad(Buffer.byteLength(name));
}

/** Decode a directory that must fill `bytes` with exactly `count` entries. */
export function decodeBitmapDirectory(bytes: Uint8Array, count: number, fileName: string): StoredBitmap[] {
  const fail = (what: string): never => {
    throw new CorruptImage(`'${fileName}': bitmap directory: ${what}`);
  };
  const entries: StoredBitmap[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (at + ENTRY_BYTES > bytes.length) fail(`entry ${entries.length} is cut off`);
    const values = ENTRY.decode(bytes, at);
    const end = at + ENTRY_BYTES + pad(values.extraSize + values.nameSize);
    if (end > bytes.length) fail(`entry ${entries.length} ends at ${end}, past the directory's ${bytes.length} bytes`);
    if (entries.length >= count) fail(`it holds more than the ${count} entries of the header`);
    const nameAt = at + ENTRY_BYTES + values.extraSize;
    entries.push({
      tableOffset: values.tableOffset,
      tableSize: values.tableSize,
      flags: values.flags,
      type: values.type,
      granularityBits: values.granularityBits,
      name: Buffer.from(bytes.subarray(nameAt, nameAt + values.nameSize)).toString('utf8'),
      extra: copyOf(bytes, at + ENTRY_BYTES, nameAt),
      flagsAt: at + ENTRY.offsets.flags,
    });
    at = end;
  }
  if (entries.length !== count) fail(`it holds ${entries.length} entries, the header says ${count}`);
  return entries;
}

/** Refuse values that a program would trip over: names, granularity, table place. */
export function validateBitmapEntry(entry: BitmapEntry, clusterSize: number, fileName: string): void {
  const fail = (what: string): never => {
    throw new CorruptImage(`'${fileName}': bitmap '${entry.name}': ${what}`);
  };
  const nameBytes = Buffer.byteLength(entry.name);
  if (nameBytes === 0) fail('the name is empty');
  if (nameBytes > Limit.MAX_BITMAP_NAME_BYTES) {
    fail(`the name has ${nameBytes} bytes, the limit is ${Limit.MAX_BITMAP_NAME_BYTES}`);
  }
  if (entry.type !== DIRTY_TRACKING_BITMAP) fail(`type is ${entry.type}, only ${DIRTY_TRACKING_BITMAP} is defined`);
  if (entry.flags > 7) fail(`flags are ${entry.flags}, the bits from 3 on are reserved`);
  const { granularityBits: bits } = entry;
  if (bits < Limit.MIN_BITMAP_GRANULARITY_BITS || bits > Limit.MAX_BITMAP_GRANULARITY_BITS) {
    fail(
      `granularity_bits is ${bits}, allowed are ${Limit.MIN_BITMAP_GRANULARITY_BITS} to ${Limit.MAX_BITMAP_GRANULARITY_BITS}`,
    );
  }
  if (entry.tableOffset === 0 || entry.tableOffset % clusterSize !== 0 || entry.tableOffset > Limit.MAX_HOST_OFFSET) {
    fail(`the table is at ${entry.tableOffset}, which is not on a cluster boundary`);
  }
}

export function encodeBitmapDirectory(entries: readonly BitmapEntry[]): Uint8Array {
  return Buffer.concat(
    entries.map((entry) => {
      const name = Buffer.from(entry.name, 'utf8');
      const bytes = new Uint8Array(ENTRY_BYTES + pad(entry.extra.length + name.length));
      ENTRY.encode({ ...entry, nameSize: name.length, extraSize: entry.extra.length }, bytes);
      bytes.set(entry.extra, ENTRY_BYTES);
      bytes.set(name, ENTRY_BYTES + entry.extra.length);
      return bytes;
    }),
  );
}
