/** L1 and L2 entries put right where they lie. A table is written only when nothing else lies in its cluster. */
import type { FlagRepair } from '../check/copied-flags.ts';
import type { Walk } from '../check/count-references.ts';
import { hexEntry } from '../check/l1.ts';
import { entryAt, mendedEntry } from '../check/mended-entry.ts';
import { readTables } from '../check/read-ahead.ts';
import type { CheckState } from '../check/state.ts';
import { l1WithoutReserved } from '../meta/entries.ts';
import { viewOf } from '../meta/struct.ts';

/** Bytes that are written in one piece. */
const SECTOR = 512;

/** The clusters of [offset, offset + length) are referenced as that table, and as nothing else. */
export function isOnlyTable(state: CheckState, walk: Walk, place: TablePlace): boolean {
  const { clusterSize } = state.geometry;
  const { tables } = walk.references;
  const { kind, offset, length } = place;
  if (offset === 0 || offset % clusterSize !== 0 || offset + length > state.fileSize) return false;
  for (let cluster = offset / clusterSize; cluster * clusterSize < offset + length; cluster++) {
    const { active, inactive } = tables.find(cluster);
    if (state.counts.get(cluster) !== (kind === 'L1' ? 1 : active + inactive)) return false;
  }
  return true;
}

interface TablePlace {
  readonly kind: 'L1' | 'L2';
  readonly offset: number;
  readonly length: number;
}

/** Every table in which the walk has found something to put right can be written. */
export function canFixEntries(state: CheckState, walk: Walk): boolean {
  const { clusterSize } = state.geometry;
  for (const offset of state.l2Fixes) {
    if (!isOnlyTable(state, walk, { kind: 'L2', offset, length: clusterSize })) return false;
  }
  return state.l1Fixes.every(({ at, times }) => state.counts.get(Math.floor(at / clusterSize)) === times);
}

/** Put right what the walk has noted; the counts in `state` are those of the entries as they will be. */
export async function fixEntries(state: CheckState, { l1 }: Walk): Promise<void> {
  const { file, header } = state.image;
  const { clusterSize } = state.geometry;
  const before = state.result.corruptionsFixed;
  for (const { at, hi, lo } of state.l1Fixes) {
    const clean = l1WithoutReserved(hi, lo);
    const bytes = entryBytes(clean.hi, clean.lo);
    await file.write(at, bytes);
    const inActive = at - header.l1TableOffset;
    if (inActive >= 0 && inActive < l1.length) l1.set(bytes, inActive);
    state.fixed(`L1 entry with reserved bits set: ${hexEntry(hi, lo)}`);
    await state.breathe();
  }
  await readTables(file, Float64Array.from(state.l2Fixes), clusterSize, async (run) => {
    for (const [index, offset] of run.offsets.entries()) {
      await fixTable(state, offset, run.bytes.subarray(index * clusterSize, (index + 1) * clusterSize));
    }
    await state.breathe();
  });
  if (state.result.corruptionsFixed > before) await file.flush();
}

function entryBytes(hi: number, lo: number): Uint8Array {
  const bytes = new Uint8Array(8);
  viewOf(bytes).setUint32(0, hi);
  viewOf(bytes).setUint32(4, lo);
  return bytes;
}

async function fixTable(state: CheckState, offset: number, bytes: Uint8Array): Promise<void> {
  const { geometry } = state;
  const { extendedL2, l2EntrySize } = geometry;
  const view = viewOf(bytes);
  let from = Number.POSITIVE_INFINITY;
  let to = 0;
  for (let at = 0; at < bytes.length; at += l2EntrySize) {
    const mended = mendedEntry(geometry, entryAt(geometry, view, at));
    if (!mended) continue;
    view.setUint32(at, mended.hi);
    view.setUint32(at + 4, mended.lo);
    if (extendedL2) {
      view.setUint32(at + 8, mended.zeroes);
      view.setUint32(at + 12, mended.present);
    }
    for (const problem of mended.problems) state.fixed(problem);
    from = Math.min(from, at);
    to = at + l2EntrySize;
  }
  if (to > 0) await writeSectors(state, { offset, bytes, from, to });
}

interface ChangedTable {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly from: number;
  readonly to: number;
}

async function writeSectors(state: CheckState, { offset, bytes, from, to }: ChangedTable): Promise<void> {
  const start = from - (from % SECTOR);
  const end = Math.min(bytes.length, Math.ceil(to / SECTOR) * SECTOR);
  await state.image.file.write(offset + start, bytes.subarray(start, end));
}

/** How copied flags are put right. */
export function flagRepair(state: CheckState, walk: Walk): FlagRepair {
  return {
    mayWrite: (kind, offset, length) => isOnlyTable(state, walk, { kind, offset, length }),
    write: (flags) => writeSectors(state, flags),
  };
}
