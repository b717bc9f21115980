/** L1 tables: the active one and those of the snapshots. Which L2 tables they lead to, and how often. */
import { isZero } from '../../../core/bytes/zero.ts';
import { hostOffset, isCopied, l1HasReservedBits } from '../meta/entries.ts';
import { Limit } from '../meta/limits.ts';
import type { Snapshot } from '../meta/snapshot-table.ts';
import { viewOf } from '../meta/struct.ts';
import { overlappingBytes } from './overlapping.ts';
import type { CheckState } from './state.ts';
import { TableReferences } from './table-references.ts';

/** Bytes of L2 tables off the cluster boundaries that are looked at; more are not. */
const MAX_MISPLACED = 64 * 1024 * 1024;

/** Bytes that are passed over in one go while they are empty. */
const PIECE = 4096;

/** References to L2 tables. One that several snapshots share is read once. */
export interface L2References {
  readonly tables: TableReferences;
  /** By offsets that are not on a cluster boundary. */
  readonly misplaced: Map<number, { active: number; inactive: number }>;
}

export function noL2References(): L2References {
  return { tables: new TableReferences(), misplaced: new Map() };
}

export interface L1Place {
  readonly offset: number;
  readonly entries: number;
  /** How many snapshots have this very table. */
  readonly times: number;
  readonly active: boolean;
}

/** Count the references that a table is and has. Returns its bytes. */
export async function checkL1(state: CheckState, place: L1Place, references: L2References): Promise<Uint8Array> {
  const { offset, entries, active } = place;
  // What lies past the end of the file is empty. Of the active table all bytes are wanted, of others only those there are.
  const there = active ? entries : Math.max(0, Math.min(entries, Math.ceil((state.fileSize - offset) / 8)));
  const bytes = new Uint8Array(there * 8);
  if (entries === 0) return bytes;
  state.refer(offset, entries * 8, place.times);
  if (bytes.length > 0 && offset < state.fileSize) await state.image.file.read(offset, bytes);
  const view = viewOf(bytes);
  const clusters = new Float64Array(there);
  let tables = 0;
  for (let at = 0; at < bytes.length; at += 8) {
    if (at % PIECE === 0 && isZero(bytes, at, Math.min(bytes.length, at + PIECE))) {
      at += PIECE - 8;
      continue;
    }
    const hi = view.getUint32(at);
    const lo = view.getUint32(at + 4);
    if (hi === 0 && lo === 0) continue;
    const cluster = checkL1Entry(state, { hi, lo, at, place, references });
    if (cluster !== undefined) clusters[tables++] = cluster;
  }
  if (tables > 0) references.tables.add(clusters.subarray(0, tables), place.times, place.active);
  await state.breathe();
  return bytes;
}

interface L1Entry {
  readonly hi: number;
  readonly lo: number;
  /** Bytes from the start of the table. */
  readonly at: number;
  readonly place: L1Place;
  readonly references: L2References;
}

/** Returns the cluster of the table, if it lies in one. */
function checkL1Entry(state: CheckState, { hi, lo, at, place, references }: L1Entry): number | undefined {
  const { clusterSize } = state.geometry;
  const { times, active } = place;
  if (l1HasReservedBits(hi, lo)) {
    if (!state.noteL1Fix({ at: place.offset + at, times, hi, lo }))
      state.corrupt(`found L1 entry with reserved bits set: ${hexEntry(hi, lo)}`, times);
  }
  const offset = hostOffset(hi, lo);
  if (active && !isCopied(hi)) state.uncopied = true;
  state.refer(offset, clusterSize, times);
  if (offset % clusterSize === 0) return offset / clusterSize;
  state.corrupt(`l2_offset=${offset.toString(16)}: table is not cluster aligned; the L1 entry is corrupted`, times);
  const known = references.misplaced.get(offset);
  if (known) known[active ? 'active' : 'inactive'] += times;
  else if (references.misplaced.size < MAX_MISPLACED / clusterSize) {
    references.misplaced.set(offset, { active: active ? times : 0, inactive: active ? 0 : times });
  }
  return undefined;
}

/** The L1 tables of snapshots, each place once; those that cannot be tables are reported and left out. */
export function snapshotL1Places(state: CheckState, snapshots: readonly Snapshot[]): L1Place[] {
  const places = new Map<string, L1Place>();
  for (const snapshot of snapshots) {
    const where = `snapshot ${shown(snapshot.id)} (${shown(snapshot.name)})`;
    const { l1TableOffset: offset, l1Size: entries } = snapshot;
    if (offset % state.geometry.clusterSize !== 0) {
      state.corrupt(
        `${where} l1_offset=0x${offset.toString(16)}: L1 table is not cluster aligned; snapshot table entry corrupted`,
      );
    } else if (entries * 8 > Limit.MAX_L1_BYTES) {
      state.corrupt(
        `${where} l1_size=0x${entries.toString(16)}: L1 table is too large; snapshot table entry corrupted`,
      );
    } else {
      const key = `${offset}/${entries}`;
      places.set(key, { offset, entries, times: (places.get(key)?.times ?? 0) + 1, active: false });
    }
  }
  const tables = [...places.values()].map(({ offset, entries }) => ({ offset, length: entries * 8 }));
  const bytes = overlappingBytes(state.fileSize, tables);
  if (bytes !== undefined) {
    throw state.unusable(
      `the L1 tables of its snapshots lie on one another: they have ${bytes} bytes in a file of ${state.fileSize}`,
    );
  }
  return [...places.values()];
}

/** Text from the image as it may be printed. */
function shown(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

/** The 64 bits of an entry in hexadecimal. */
export function hexEntry(hi: number, lo: number): string {
  const text = hi.toString(16) + lo.toString(16).padStart(8, '0');
  return text.replace(/^0+(?=.)/, '');
}
