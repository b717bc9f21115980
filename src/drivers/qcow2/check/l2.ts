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
import { ClusterRuns } from './l2-runs.ts';
import { entryAt, mendedEntry } from './mended-entry.ts';
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
  { tables, misplaced }: L2References,
  which: 'all' | 'active',
  visit: (table: L2Table) => Maybe<void>,
): Promise<void> {
  const { clusterSize } = state.geometry;
  const { file } = state.image;
  const visitFrom = (run: TableRun, first: number): Maybe<void> => {
    for (let at = first; at < run.offsets.length; at++) {
      const offset = run.offsets[at] ?? 0;
      const visited = visit({ view: run.view, start: at * clusterSize, offset, ...tables.find(offset / clusterSize) });
      if (visited instanceof Promise) return visited.then(() => visitFrom(run, at + 1));
    }
    return state.breathe();
  };
  await readTables(file, tables.offsets(which, clusterSize), clusterSize, (run) => visitFrom(run, 0));
  for (const [offset, { active, inactive }] of misplaced) {
    if (which === 'active' && active === 0) continue;
    const bytes = new Uint8Array(clusterSize);
    if (offset < state.fileSize) await file.read(offset, bytes);
    await visit({ view: viewOf(bytes), start: 0, offset, active, inactive });
    await state.breathe();
  }
}

/** Counts the references of all entries of one table after the other. */
export class L2Check {
  readonly #state: CheckState;
  readonly #runs: ClusterRuns;
  /** Where the next data cluster of the table would lie if the file were not fragmented; 0 before the first. */
  #expected = 0;

  constructor(state: CheckState) {
    this.#state = state;
    this.#runs = runsOf(state);
  }

  /** Nearly all entries are either empty or plain data clusters, which are taken as runs. */
  table(table: L2Table): void {
    const { clusterSize, l2EntrySize } = this.#state.geometry;
    const end = table.start + clusterSize;
    this.#expected = 0;
    for (let at = table.start; at < end; at += l2EntrySize) {
      at = this.#runs.collect(table.view, at, end);
      this.#countRuns(table);
      if (at < end) this.#entry(table, at);
    }
  }

  #countRuns({ active, inactive }: L2Table): void {
    const state = this.#state;
    const runs = this.#runs;
    for (let run = 0; run < runs.count; run++) {
      const first = runs.first[run] ?? 0;
      const length = runs.length[run] ?? 0;
      if (!state.dataFile) state.referToRun(first, length, active + inactive);
      if (active > 0) this.#place(first * state.geometry.clusterSize, length, active);
      if (active > 0 && !runs.isCopied(run)) state.uncopied = true;
    }
  }

  /** `clusters` of a table that is reached `active` times lie from `offset` on. */
  #place(offset: number, clusters: number, active: number): void {
    const { result, geometry } = this.#state;
    result.allocatedClusters += clusters * active;
    if (this.#expected !== 0 && offset !== this.#expected) result.fragmentedClusters += active;
    this.#expected = offset + clusters * geometry.clusterSize;
  }

  /** Any other entry. */
  #entry(table: L2Table, at: number): void {
    const state = this.#state;
    const { geometry, dataFile } = state;
    const { clusterSize, extendedL2 } = geometry;
    const times = table.active + table.inactive;
    const found = entryAt(geometry, table.view, at);
    const mended = state.fixing && isInPlace(state, table) ? mendedEntry(geometry, found) : undefined;
    if (mended) state.noteL2Fix(table.offset);
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
    if (table.active > 0) this.#place(offset, 1, table.active);
    if (table.active > 0 && !isCopied(hi)) state.uncopied = true;
    if (!dataFile) state.refer(offset, clusterSize, times);
  }
}

/** For plain clusters that lie where a reference can be counted. */
export function runsOf(state: CheckState): ClusterRuns {
  const limit = state.dataFile ? Number.POSITIVE_INFINITY : Math.ceil(state.fileSize / state.geometry.clusterSize);
  return new ClusterRuns(state.geometry, limit);
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
  const { hi, lo, table } = entry;
  const times = table.active + table.inactive;
  const { offset, length } = compressedRange(state.geometry, hi, lo);
  if (isCopied(hi)) {
    state.corrupt(`coffset=0x${offset.toString(16)}: the copied flag must never be set for compressed clusters`, times);
  }
  const problem = state.dataFile
    ? 'in an image with a data file'
    : entry.bitmap
      ? 'with a subcluster bitmap that is not zero'
      : undefined;
  if (problem !== undefined) {
    const text = hexEntry(withCopied(hi, false), lo);
    state.corrupt(`compressed cluster ${entry.index} ${problem}, entry=0x${text}`, times);
    return;
  }
  state.refer(offset, length, times);
  state.result.allocatedClusters += table.active;
  state.result.compressedClusters += table.active;
  // Each shares sectors with its neighbours, so none is read in one piece with them.
  state.result.fragmentedClusters += table.active;
}
