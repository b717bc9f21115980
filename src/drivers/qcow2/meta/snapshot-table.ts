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
  id: string;
  name: string;
  /** The name as it was found, which need not be UTF-8. */
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
  extraDropped: number;
  /** Entries at the end that lie past the limit of the table. */
  overhanging: number;
}

/**
 * Decode `count` entries. `bytes` may hold more than the table; when it ends early, `moreNeeded` is returned:
 * the number of bytes with which to try again. With `salvage`, what is too large is cut instead of refused.
 */
export function decodeSnapshotTable(
  bytes: Uint8Array,
  count: number,
  fileName: string,
  salvage?: SnapshotSalvage,
): SnapshotTable | { readonly moreNeeded: number } {
  const snapshots: Snapshot[] = [];
  let at = 0;
  for (let index = 0; index < count; index++) {
    if (at + ENTRY_BYTES > bytes.length) return { moreNeeded: at + ENTRY_BYTES };
    const values = ENTRY.decode(bytes, at);
    const where = `'${fileName}': snapshot table entry ${index}`;
    if (values.extraLength > Limit.MAX_SNAPSHOT_EXTRA_BYTES && !salvage) {
      throw new CorruptImage(
        `${where} has ${values.extraLength} bytes of extra data, the limit is ${Limit.MAX_SNAPSHOT_EXTRA_BYTES}`,
      );
    }
    const end = at + ENTRY_BYTES + pad(values.extraLength + values.idLength + values.nameLength);
    if (end > Limit.MAX_SNAPSHOT_TABLE_BYTES) {
      if (salvage) {
        salvage.overhanging = count - index;
        break;
      }
      throw new CorruptImage(`${where} ends at ${end}, the table's limit is ${Limit.MAX_SNAPSHOT_TABLE_BYTES}`);
    }
    const textEnd = at + ENTRY_BYTES + values.extraLength + values.idLength + values.nameLength;
    if (textEnd > bytes.length) return { moreNeeded: end };
    const snapshot = decodeVariable(bytes.subarray(at + ENTRY_BYTES, textEnd), values);
    if (snapshot.extra.length > Limit.MAX_SNAPSHOT_EXTRA_BYTES) {
      snapshot.extra = copyOf(snapshot.extra, 0, Limit.MAX_SNAPSHOT_EXTRA_BYTES);
      if (salvage) salvage.extraDropped++;
    }
    snapshots.push(snapshot);
    at = end;
  }
  return { snapshots, byteLength: at };
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
    id: Buffer.from(rest.subarray(values.extraLength, idEnd)).toString('utf8'),
    name: Buffer.from(rest.subarray(idEnd, idEnd + values.nameLength)).toString('utf8'),
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

/** The entry lacks extra data that its version requires (VM state size and disk size). */
export function isIncomplete(version: number, snapshot: Snapshot | undefined): boolean {
  return version >= 3 && snapshot !== undefined && snapshot.extra.length < SNAPSHOT_EXTRA_MIN_V3;
}

/** Encode the table; each entry gets at least the extra data that version 3 wants. */
export function encodeSnapshotTable(snapshots: readonly Snapshot[]): Uint8Array {
  return Buffer.concat(snapshots.map(encodeSnapshot));
}

function encodeSnapshot(snapshot: Snapshot): Uint8Array {
  const id = Buffer.from(snapshot.id, 'utf8');
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
