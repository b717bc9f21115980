/** L2 tables: what each entry refers to, and what in it cannot be. */
import {
  compressedRange,
  hostOffset,
  isCompressed,
  isCopied,
  isZeroFlagged,
  l2HasReservedBits,
  withCopied,
} from '../meta/entries.ts';
import { viewOf } from '../meta/struct.ts';
import { hexEntry, type L2References } from './l1.ts';
import { readTables } from './read-ahead.ts';
import type { CheckState } from './state.ts';

/** One L2 table in memory, and how often it is reached. */
export interface L2Table {
  readonly view: DataView;
  /** Where the table starts in `view`. */
  readonly start: number;
  /** Host offset. */
  readonly offset: number;
  readonly active: number;
  readonly inactive: number;
}

/** Call `visit` for every table, ascending by offset. */
export async function forEachL2(
  state: CheckState,
  references: L2References,
  which: 'all' | 'active',
  visit: (table: L2Table) => void | Promise<void>,
): Promise<void> {
  const { clusterSize } = state.geometry;
  const { file } = state.image;
  for await (const run of readTables(file, l2Offsets(references, which, clusterSize), clusterSize)) {
    for (const [index, offset] of run.offsets.entries()) {
      const active = references.active.get(offset / clusterSize);
      const inactive = references.inactive.get(offset / clusterSize);
      const visited = visit({ view: run.view, start: index * clusterSize, offset, active, inactive });
      if (visited) await visited;
    }
    await state.breathe();
  }
  for (const [offset, { active, inactive }] of references.misplaced) {
    if (which === 'active' && active === 0) continue;
    const bytes = new Uint8Array(clusterSize);
    if (offset < state.fileSize) await file.read(offset, bytes);
    await visit({ view: viewOf(bytes), start: 0, offset, active, inactive });
  }
}

function* l2Offsets(references: L2References, which: 'all' | 'active', clusterSize: number): Generator<number> {
  if (which === 'active') {
    for (const cluster of references.active.clusters()) yield cluster * clusterSize;
    return;
  }
  const inactive = references.inactive.clusters();
  let next = inactive.next();
  for (const cluster of references.active.clusters()) {
    for (; !next.done && next.value < cluster; next = inactive.next()) yield next.value * clusterSize;
    if (!next.done && next.value === cluster) next = inactive.next();
    yield cluster * clusterSize;
  }
  for (; !next.done; next = inactive.next()) yield next.value * clusterSize;
}

/** Count the references of all entries. The loop is written for speed: nearly all entries are one of two kinds. */
export function checkL2(state: CheckState, table: L2Table): void {
  const { geometry, dataFile, fileSize, result } = state;
  const { clusterSize, l2EntrySize, extendedL2 } = geometry;
  const { view, active } = table;
  const times = active + table.inactive;
  const end = table.start + clusterSize;
  let expected = 0;
  for (let at = table.start; at < end; at += l2EntrySize) {
    const hi = view.getUint32(at);
    const lo = view.getUint32(at + 4);
    const zeroes = extendedL2 ? view.getUint32(at + 8) : 0;
    const present = extendedL2 ? view.getUint32(at + 12) : 0;
    if (hi === 0 && lo === 0 && present === 0) continue;
    if (isCompressed(hi)) {
      checkCompressed(state, {
        hi,
        lo,
        bitmap: zeroes !== 0 || present !== 0,
        index: (at - table.start) / l2EntrySize,
        table,
      });
      continue;
    }
    // Bit 0 is passed over where it has no meaning: other programs ignore it there too.
    if (l2HasReservedBits(geometry, hi, lo & ~1)) {
      state.corrupt(`found L2 entry with reserved bits set: ${hexEntry(hi, lo)}`, times);
    }
    const offset = hostOffset(hi, lo);
    const zero = isZeroFlagged(lo) && !extendedL2;
    if (offset === 0 && (zero || !dataFile || !isCopied(hi))) {
      if (present !== 0) state.corrupt('an unallocated cluster has allocated subclusters', times);
      continue;
    }
    if ((zeroes & present) !== 0) {
      state.corrupt(`offset=${offset.toString(16)}: subclusters are marked both allocated and zero`, times);
    }
    if (offset % clusterSize !== 0) {
      const what = (extendedL2 ? present === 0 : zero) ? 'preallocated' : 'data';
      state.corrupt(
        `offset=${offset.toString(16)}: ${what} cluster is not properly aligned; the L2 entry is corrupted`,
        times,
      );
    }
    if (active > 0) {
      result.allocatedClusters += active;
      if (expected !== 0 && offset !== expected) result.fragmentedClusters += active;
      expected = offset + clusterSize;
    }
    if (dataFile) continue;
    if (offset < fileSize && offset % clusterSize === 0) state.referToCluster(offset / clusterSize, times);
    else state.refer(offset, clusterSize, times);
  }
}

interface CompressedEntry {
  readonly hi: number;
  readonly lo: number;
  /** Some bit of the subcluster bitmap is set. */
  readonly bitmap: boolean;
  readonly index: number;
  readonly table: L2Table;
}

function checkCompressed(state: CheckState, entry: CompressedEntry): void {
  const { lo, table, index } = entry;
  const times = table.active + table.inactive;
  const { offset, length } = compressedRange(state.geometry, entry.hi, lo);
  if (isCopied(entry.hi)) {
    state.corrupt(`coffset=0x${offset.toString(16)}: the copied flag must never be set for compressed clusters`, times);
  }
  const text = hexEntry(withCopied(entry.hi, false), lo);
  if (state.dataFile) {
    state.corrupt(`compressed cluster ${index} in an image with a data file, entry=0x${text}`, times);
    return;
  }
  if (entry.bitmap) {
    state.corrupt(`compressed cluster ${index} with a subcluster bitmap that is not zero, entry=0x${text}`, times);
    return;
  }
  state.refer(offset, length, times);
  state.result.allocatedClusters += table.active;
  state.result.compressedClusters += table.active;
  // Each shares sectors with its neighbours, so none is read in one piece with them.
  state.result.fragmentedClusters += table.active;
}
