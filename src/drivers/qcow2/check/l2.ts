/** L2 tables: what each entry refers to, and what in it cannot be. */
import type { Maybe } from '../../../core/async/maybe.ts';
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
import { mendedEntry } from './mended-entry.ts';
import { readTables, type TableRun } from './read-ahead.ts';
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
  visit: (table: L2Table) => Maybe<void>,
): Promise<void> {
  const { clusterSize } = state.geometry;
  const { file } = state.image;
  const visitFrom = (run: TableRun, first: number): Maybe<void> => {
    for (let index = first; index < run.offsets.length; index++) {
      const offset = run.offsets[index] ?? 0;
      const active = references.active.get(offset / clusterSize);
      const inactive = references.inactive.get(offset / clusterSize);
      const visited = visit({ view: run.view, start: index * clusterSize, offset, active, inactive });
      if (visited instanceof Promise) return visited.then(() => visitFrom(run, index + 1));
    }
    return state.breathe();
  };
  await readTables(file, l2Offsets(references, which, clusterSize), clusterSize, (run) => visitFrom(run, 0));
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

/** Bits 56–63 of an entry that has nothing set there but the copied flag. */
const ONLY_COPIED = 0x80;
const TWO_32 = 2 ** 32;

/**
 * Count the references of all entries. Nearly all entries are either empty or plain data clusters, one after the
 * other in the file: these are taken as runs, without looking at them any further.
 */
export function checkL2(state: CheckState, table: L2Table): void {
  const { fileSize } = state;
  const { clusterSize, l2EntrySize, extendedL2 } = state.geometry;
  const { view } = table;
  const end = table.start + clusterSize;
  const plain = !extendedL2 && !state.dataFile && table.active + table.inactive === 1;
  const data = new DataLayout(state, table.active > 0);
  for (let at = table.start; at < end; at += l2EntrySize) {
    const hi = view.getUint32(at);
    const lo = view.getUint32(at + 4);
    if (plain && hi >>> 24 === ONLY_COPIED && (lo & (clusterSize - 1)) === 0) {
      const offset = (hi & 0xffffff) * TWO_32 + lo;
      if (offset > 0 && offset < fileSize) {
        if (offset === data.next) data.next += clusterSize;
        else data.begin(offset);
        continue;
      }
    }
    if (hi === 0 && lo === 0 && (!extendedL2 || view.getUint32(at + 12) === 0)) continue;
    data.end();
    checkEntry(state, table, data, at);
  }
  data.end();
}

/** How the data clusters of one table follow each other. */
class DataLayout {
  /** Where the run of plain clusters has come to; -1 when there is none. */
  next = -1;
  #start = -1;
  /** Where the next data cluster would lie if the file were not fragmented; 0 before the first. */
  #expected = 0;
  readonly #state: CheckState;
  readonly #active: boolean;

  constructor(state: CheckState, active: boolean) {
    this.#state = state;
    this.#active = active;
  }

  begin(offset: number): void {
    this.end();
    this.#start = offset;
    this.next = offset + this.#state.geometry.clusterSize;
  }

  /** Count the run. */
  end(): void {
    if (this.next < 0) return;
    const { clusterSize } = this.#state.geometry;
    const clusters = (this.next - this.#start) / clusterSize;
    this.#state.referToRun(this.#start / clusterSize, clusters);
    if (this.#active) this.place(this.#start, clusters, 1);
    this.next = -1;
  }

  /** `clusters` of an active table lie from `offset` on; `times` as often as the table is reached. */
  place(offset: number, clusters: number, times: number): void {
    const { result, geometry } = this.#state;
    result.allocatedClusters += clusters * times;
    if (this.#expected !== 0 && offset !== this.#expected) result.fragmentedClusters += times;
    this.#expected = offset + clusters * geometry.clusterSize;
  }
}

/** An entry that is not empty; no run is open. */
function checkEntry(state: CheckState, table: L2Table, data: DataLayout, at: number): void {
  const { geometry, dataFile } = state;
  const { clusterSize, extendedL2 } = geometry;
  const { view } = table;
  const times = table.active + table.inactive;
  const found = {
    hi: view.getUint32(at),
    lo: view.getUint32(at + 4),
    zeroes: extendedL2 ? view.getUint32(at + 8) : 0,
    present: extendedL2 ? view.getUint32(at + 12) : 0,
  };
  const mended = state.fixing && isInPlace(state, table) ? mendedEntry(geometry, found) : undefined;
  if (mended) state.l2Fixes.set(table.offset / clusterSize, 1);
  const { hi, lo, zeroes, present } = mended ?? found;
  if (isCompressed(hi)) {
    const index = (at - table.start) / geometry.l2EntrySize;
    checkCompressed(state, { hi, lo, bitmap: zeroes !== 0 || present !== 0, index, table });
    return;
  }
  // Bit 0 is passed over where it has no meaning: other programs ignore it there too.
  if (l2HasReservedBits(geometry, hi, lo & ~1)) {
    state.corrupt(`found L2 entry with reserved bits set: ${hexEntry(hi, lo)}`, times);
  }
  const offset = hostOffset(hi, lo);
  const zero = isZeroFlagged(lo) && !extendedL2;
  if (offset === 0 && (zero || !dataFile || !isCopied(hi))) {
    if (present !== 0) state.corrupt('an unallocated cluster has allocated subclusters', times);
    return;
  }
  const where = `offset=${offset.toString(16)}`;
  if ((zeroes & present) !== 0) state.corrupt(`${where}: subclusters are marked both allocated and zero`, times);
  if (offset % clusterSize !== 0) {
    const what = (extendedL2 ? present === 0 : zero) ? 'preallocated' : 'data';
    state.corrupt(`${where}: ${what} cluster is not properly aligned; the L2 entry is corrupted`, times);
  }
  if (table.active > 0) {
    data.place(offset, 1, table.active);
    if (!isCopied(hi)) state.uncopied = true;
  }
  if (!dataFile) state.refer(offset, clusterSize, times);
}

/** The table lies where a table can be written. */
function isInPlace(state: CheckState, { offset }: L2Table): boolean {
  return offset !== 0 && offset % state.geometry.clusterSize === 0 && offset < state.fileSize;
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
