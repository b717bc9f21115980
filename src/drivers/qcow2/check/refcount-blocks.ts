/** The refcount table and its blocks: whether they can be what they should, and the references they are themselves. */
import { isZero } from '../../../core/bytes/zero.ts';
import { refcountBlockOffset, refcountTableHasReservedBits } from '../meta/entries.ts';
import { getRefcount } from '../meta/refcount-entry.ts';
import { getU64, viewOf } from '../meta/struct.ts';
import type { CheckState } from './state.ts';

export interface RefcountTableCopy {
  /** Host offset of each block, 0 for none; without the empty end of the table. */
  readonly offsets: Float64Array;
  /** Indices of entries with reserved bits set: reported, and not counted as blocks. */
  readonly reserved: ReadonlySet<number>;
  /** Clusters that the table takes, from `header.refcountTableOffset` on. */
  readonly clusters: number;
}

/** Most of a table is empty: it is looked at in such pieces, in bytes, from its end. */
const PIECE = 4096;

export async function readRefcountTable(state: CheckState): Promise<RefcountTableCopy> {
  const { header, file } = state.image;
  const bytes = new Uint8Array(header.refcountTableClusters * state.geometry.clusterSize);
  if (header.refcountTableOffset < state.fileSize) await file.read(header.refcountTableOffset, bytes);
  let end = bytes.length;
  while (end > 0 && isZero(bytes, Math.max(0, end - PIECE), end)) end = Math.max(0, end - PIECE);
  const view = viewOf(bytes);
  const offsets = new Float64Array(end / 8);
  const reserved = new Set<number>();
  for (let index = 0; index < offsets.length; index++) {
    const lo = view.getUint32(index * 8 + 4);
    offsets[index] = refcountBlockOffset(view.getUint32(index * 8), lo);
    if (refcountTableHasReservedBits(lo)) reserved.add(index);
  }
  return { offsets, reserved, clusters: header.refcountTableClusters };
}

/** The references that the table and its blocks are; a block that something else uses too is found here, so last of all. */
export function checkRefcountBlocks(state: CheckState, table: RefcountTableCopy): void {
  const { clusterSize } = state.geometry;
  const start = state.image.header.refcountTableOffset;
  state.refer(start, table.clusters * clusterSize);
  for (let index = 0; index < table.offsets.length; index++) {
    const problem = referToBlock(state, table, index);
    if (problem === undefined) continue;
    state.corrupt(problem);
    state.needsRebuild = true;
  }
  for (let index = 0; index < table.clusters; index++) {
    if (state.counts.get(start / clusterSize + index) !== 1) state.needsRebuild = true;
  }
}

/** The block of that index lies where a block can lie, and so was counted as a reference. */
export function isCountedBlock(state: CheckState, table: RefcountTableCopy, index: number): boolean {
  const offset = table.offsets[index] ?? 0;
  const { clusterSize } = state.geometry;
  if (offset === 0 || offset % clusterSize !== 0 || table.reserved.has(index)) return false;
  return offset < state.fileSize;
}

/** Count a block; returns what is wrong with it. */
function referToBlock(state: CheckState, table: RefcountTableCopy, index: number): string | undefined {
  const offset = table.offsets[index] ?? 0;
  const { clusterSize } = state.geometry;
  if (table.reserved.has(index)) return `refcount table entry ${index} has reserved bits set`;
  if (offset === 0) return undefined;
  if (offset % clusterSize !== 0) {
    return `refcount block ${index} is not cluster aligned; the refcount table entry is corrupted`;
  }
  if (offset >= state.fileSize) return `refcount block ${index} is outside of the image`;
  state.refer(offset, clusterSize);
  const count = state.counts.get(offset / clusterSize);
  if (count === 1) return undefined;
  state.needsRebuild = true;
  // Where a count has one bit, the overflow has been reported already.
  return state.geometry.refcountMax === 1 ? undefined : `refcount block ${index} refcount=${count}`;
}

/** A count of a block; one of 64 bits beyond 2^53 is rounded, which tells it from any number of references. */
export function countAt(view: DataView, index: number, order: number): number {
  return order === 6 ? getU64(view, index * 8) : getRefcount(view, index, order);
}

/** The exact digits of a count, for messages. */
export function countText(view: DataView, index: number, order: number): string {
  return order === 6 ? String(view.getBigUint64(index * 8)) : String(getRefcount(view, index, order));
}
