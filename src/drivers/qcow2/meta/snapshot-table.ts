/** The snapshot table (specification, "Snapshots"): entries of variable length, padded to 8 bytes. */
import { struct, u16, u32, u64 } from '../../../core/bytes/struct.ts';
import { CorruptImage } from '../../../core/errors/block-error.ts';
import { Limit } from './limits.ts';
import { copyOf, getU64, rounded64, setU64, viewOf } from './struct.ts';

const ENTRY_BYTES = 40;

const ENTRY = struct('snapshot table entry', 'big', ENTRY_BYTES, {
  l1TableOffset: rounded64(0),
  l1Size: u32(8),
  idLength: u16(12),
  nameLength: u16(14),
  dateSec: u32(16),
  dateNsec: u32(20),
  vmClock: u64(24),
  vmStateSize32: u32(32),
  extraLength: u32(36),
});

/** Extra data that version 3 requires: VM state size and disk size. */
export const SNAPSHOT_EXTRA_MIN_V3 = 16;
/** Extra data that this driver writes: those and the instruction count. */
export const SNAPSHOT_EXTRA_BYTES = 24;

export interface Snapshot {
  l1TableOffset: number;
  l1Size: number;
  /** Ends before the first NUL, as names do for other programs. */
  id: string;
  name: string;
  /** Both as they were found: they need not be UTF-8, and something may come after a NUL. */
  idBytes?: Uint8Array;
  nameBytes?: Uint8Array;
  dateSec: number;
  dateNsec: number;
  /** Nanoseconds. */
  vmClock: bigint;
  vmStateSize: number;
  /** Undefined where the entry does not say (version 2): the size of the active disk. */
  diskSize: number | undefined;
  /** Instruction count; undefined when absent or -1. */
  icount: bigint | undefined;
  /** All extra data as found; what lies past the known fields is written back unchanged. */
  extra: Uint8Array;
}

export interface SnapshotTable {
  readonly snapshots: Snapshot[];
  /** Bytes that the table takes in the file. */
  readonly byteLength: number;
}

const ICOUNT_NONE = 0xffffffffffffffffn;
const pad = (length: number): number => Math.ceil(length / 8) * 8;

/** What a repair gives up to get a table that can be used. */
export interface SnapshotSalvage {
  /** Entries whose extra data was cut down to the limit. */
  readonly cut: { readonly index: number; readonly extraLength: number }[];
  /** Entries at the end that lie past the limit of the table. */
  overhanging: number;
}

/** The bytes that were given end within an entry. */
export interface CutOff {
  readonly moreNeeded: number;
  /** Where the part of that entry ends that says how long it is. */
  readonly fixedEnd: number;
}

/** Bytes in which entries to be salvaged are looked for: cut entries leave room, which may be as much as all the rest. */
export const SALVAGE_BYTES = 2 * Limit.MAX_SNAPSHOT_TABLE_BYTES;

/**
 * Decode `count` entries. `bytes` may hold more than the table; when it ends early, `moreNeeded` is returned:
 * the number of bytes with which to try again. With `salvage`, what is too large is cut instead of refused: first extra
 * data, and then those entries at the end with which the table, written anew, would be larger than its limit.
 */
export function decodeSnapshotTable(
  bytes: Uint8Array,
  count: number,
  fileName: string,
  salvage?: SnapshotSalvage,
): SnapshotTable | CutOff {
  const snapshots: Snapshot[] = [];
  let at = 0;
  let size = 0;
  for (let index = 0; index < count; index++) {
    if (at + ENTRY_BYTES > bytes.length) return { moreNeeded: at + ENTRY_BYTES, fixedEnd: at + ENTRY_BYTES };
    const values = ENTRY.decode(bytes, at);
    const { extraLength, idLength, nameLength } = values;
    const keptExtra = Math.min(extraLength, Limit.MAX_SNAPSHOT_EXTRA_BYTES);
    if (extraLength > keptExtra && !salvage) throw tooMuchExtra(fileName, index, extraLength);
    const end = at + ENTRY_BYTES + pad(extraLength + idLength + nameLength);
    size += ENTRY_BYTES + pad(keptExtra + idLength + nameLength);
    if (size > Limit.MAX_SNAPSHOT_TABLE_BYTES || end > SALVAGE_BYTES) {
      if (!salvage) throw tooLarge(fileName, { index, size, overhanging: count - index });
      salvage.overhanging = count - index;
      break;
    }
    const textEnd = at + ENTRY_BYTES + extraLength + idLength + nameLength;
    if (textEnd > bytes.length) return { moreNeeded: end, fixedEnd: at + ENTRY_BYTES };
    const snapshot = decodeVariable(bytes.subarray(at + ENTRY_BYTES, textEnd), values);
    if (extraLength > keptExtra) {
      snapshot.extra = copyOf(snapshot.extra, 0, keptExtra);
      salvage?.cut.push({ index, extraLength });
    }
    snapshots.push(snapshot);
    at = end;
  }
  return { snapshots, byteLength: at };
}

function tooMuchExtra(fileName: string, index: number, length: number): CorruptImage {
  const limit = Limit.MAX_SNAPSHOT_EXTRA_BYTES;
  return new CorruptImage(
    `'${fileName}': snapshot table entry ${index} has ${length} bytes of extra data, the limit is ${limit}`,
    { code: 'EFBIG', followUp: 'You can force-remove this extra metadata with img check -r all' },
  );
}

function tooLarge(
  fileName: string,
  { index, size, overhanging }: { index: number; size: number; overhanging: number },
): CorruptImage {
  return new CorruptImage(
    `'${fileName}': snapshot table entry ${index} ends at ${size}, the table's limit is ${Limit.MAX_SNAPSHOT_TABLE_BYTES}`,
    { code: 'EFBIG', followUp: removeOverhanging(overhanging) },
  );
}

/** What to do about `count` snapshots too many. */
export function removeOverhanging(count: number): string {
  return `You can force-remove all ${count} overhanging snapshots with img check -r all`;
}

type Fixed = ReturnType<typeof ENTRY.decode>;

function decodeVariable(rest: Uint8Array, values: Fixed): Snapshot {
  const extra = copyOf(rest, 0, values.extraLength);
  const view = viewOf(extra);
  const idEnd = values.extraLength + values.idLength;
  const icount = extra.length >= 24 ? view.getBigUint64(16) : ICOUNT_NONE;
  return {
    l1TableOffset: values.l1TableOffset,
    l1Size: values.l1Size,
    id: text(rest.subarray(values.extraLength, idEnd)),
    name: text(rest.subarray(idEnd, idEnd + values.nameLength)),
    idBytes: copyOf(rest, values.extraLength, idEnd),
    nameBytes: copyOf(rest, idEnd, idEnd + values.nameLength),
    dateSec: values.dateSec,
    dateNsec: values.dateNsec,
    vmClock: values.vmClock,
    vmStateSize: extra.length >= 8 ? getU64(view, 0) : values.vmStateSize32,
    diskSize: extra.length >= 16 ? getU64(view, 8) : undefined,
    icount: icount === ICOUNT_NONE ? undefined : icount,
    extra,
  };
}

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('utf8');
}

/** The entry lacks extra data that its version requires (VM state size and disk size). */
export function isIncomplete(version: number, snapshot: Snapshot | undefined): boolean {
  return version >= 3 && snapshot !== undefined && snapshot.extra.length < SNAPSHOT_EXTRA_MIN_V3;
}

/** Encode the table; each entry gets at least the extra data that version 3 wants. */
export function encodeSnapshotTable(snapshots: readonly Snapshot[]): Uint8Array {
  return Buffer.concat(snapshots.map(encodeSnapshot));
}

function encodeSnapshot(snapshot: Snapshot): Uint8Array {
  const id = snapshot.idBytes ?? Buffer.from(snapshot.id, 'utf8');
  const name = snapshot.nameBytes ?? Buffer.from(snapshot.name, 'utf8');
  const extra = new Uint8Array(Math.max(snapshot.extra.length, SNAPSHOT_EXTRA_BYTES));
  extra.set(snapshot.extra);
  const extraView = viewOf(extra);
  setU64(extraView, 0, snapshot.vmStateSize);
  setU64(extraView, 8, snapshot.diskSize ?? 0);
  extraView.setBigUint64(16, snapshot.icount ?? ICOUNT_NONE);
  const bytes = new Uint8Array(ENTRY_BYTES + pad(extra.length + id.length + name.length));
  const values = {
    l1TableOffset: snapshot.l1TableOffset,
    l1Size: snapshot.l1Size,
    idLength: id.length,
    nameLength: name.length,
    dateSec: snapshot.dateSec,
    dateNsec: snapshot.dateNsec,
    vmClock: snapshot.vmClock,
    vmStateSize32: Math.min(snapshot.vmStateSize, 0xffffffff),
    extraLength: extra.length,
  };
  ENTRY.encode(values, bytes);
  bytes.set(extra, ENTRY_BYTES);
  bytes.set(id, ENTRY_BYTES + extra.length);
  bytes.set(name, ENTRY_BYTES + extra.length + id.length);
  return bytes;
}

/** Refuse a snapshot's L1 table that no valid image has. */
export function validateSnapshotL1(snapshot: Snapshot, clusterSize: number, fileName: string): void {
  const where = `'${fileName}': snapshot '${snapshot.id}'`;
  if (snapshot.l1Size * 8 > Limit.MAX_L1_BYTES) {
    throw new CorruptImage(`${where}: L1 size is ${snapshot.l1Size}, the limit is ${Limit.MAX_L1_BYTES / 8}`);
  }
  const { l1TableOffset } = snapshot;
  if (l1TableOffset > Limit.MAX_HOST_OFFSET || l1TableOffset % clusterSize !== 0) {
    throw new CorruptImage(`${where}: L1 table offset ${l1TableOffset} is not a multiple of ${clusterSize}`);
  }
}
