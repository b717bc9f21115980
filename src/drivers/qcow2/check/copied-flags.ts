/** Bit 63 of active L1 and L2 entries: set exactly where the count of what they point at is 1. */
import { hostOffset, isCompressed, isCopied, isZeroFlagged } from '../meta/entries.ts';
import { viewOf } from '../meta/struct.ts';
import type { ClusterSpan } from './compare-counts.ts';
import { hexEntry, type L2References } from './l1.ts';
import { forEachL2, type L2Table } from './l2.ts';
import { countAt, type RefcountTableCopy } from './refcount-blocks.ts';
import type { CheckState } from './state.ts';

/** An entry whose flag is wrong. */
export interface WrongFlag {
  /** Host offset of the entry. */
  readonly at: number;
  readonly hi: number;
  readonly lo: number;
  /** The count of what it points at. */
  readonly count: number;
}

export interface CopiedFlagsInput {
  readonly l1: Uint8Array;
  readonly references: L2References;
  readonly table: RefcountTableCopy;
  /** Clusters whose counts cannot be had: flags that depend on them are passed over. */
  readonly unknown: readonly ClusterSpan[];
}

/** Report every wrong flag; `wrong` is told of it, too. The counts in `state` are those on disk. */
export async function checkCopiedFlags(
  state: CheckState,
  input: CopiedFlagsInput,
  wrong: (flag: WrongFlag) => void = () => undefined,
): Promise<void> {
  const counts = new StoredCounts(state, input.unknown, await countsBeyond(state, input.table));
  const view = viewOf(input.l1);
  for (let at = 0; at < input.l1.length; at += 8) {
    const hi = view.getUint32(at);
    const lo = view.getUint32(at + 4);
    const offset = hostOffset(hi, lo);
    if (offset === 0) continue;
    const count = counts.of(offset);
    if (count === undefined || (count === 1) === isCopied(hi)) continue;
    state.corrupt(`OFLAG_COPIED L2 cluster: l1_index=${at / 8} l1_entry=${hexEntry(hi, lo)} refcount=${count}`);
    wrong({ at: state.image.header.l1TableOffset + at, hi, lo, count });
  }
  await forEachL2(state, input.references, 'active', (table) => checkTable(state, table, counts, wrong));
}

function checkTable(state: CheckState, table: L2Table, counts: StoredCounts, wrong: (flag: WrongFlag) => void): void {
  // Nothing leads to the table at offset 0 but an empty L1 entry with flags.
  if (table.offset === 0) return;
  const { clusterSize, l2EntrySize, extendedL2 } = state.geometry;
  const { view } = table;
  for (let at = table.start; at < table.start + clusterSize; at += l2EntrySize) {
    const hi = view.getUint32(at);
    const lo = view.getUint32(at + 4);
    if ((hi === 0 && lo === 0) || isCompressed(hi)) continue;
    const offset = hostOffset(hi, lo);
    if (offset === 0 && ((isZeroFlagged(lo) && !extendedL2) || !state.dataFile || !isCopied(hi))) continue;
    const count = state.dataFile ? 1 : counts.of(offset);
    if (count === undefined || (count === 1) === isCopied(hi)) continue;
    state.corrupt(`OFLAG_COPIED data cluster: l2_entry=${hexEntry(hi, lo)} refcount=${count}`, table.active);
    wrong({ at: table.offset + (at - table.start), hi, lo, count });
  }
}

/** Counts on disk of referenced clusters. */
class StoredCounts {
  readonly #state: CheckState;
  readonly #unknown: readonly ClusterSpan[];
  readonly #beyond: ReadonlyMap<number, number>;
  readonly #clusterSize: number;

  constructor(state: CheckState, unknown: readonly ClusterSpan[], beyond: ReadonlyMap<number, number>) {
    this.#state = state;
    this.#unknown = unknown;
    this.#beyond = beyond;
    this.#clusterSize = state.geometry.clusterSize;
  }

  of(offset: number): number | undefined {
    const cluster = Math.floor(offset / this.#clusterSize);
    if (this.#unknown.some(({ first, end }) => cluster >= first && cluster < end)) return undefined;
    if (cluster < this.#state.clusters) return this.#state.counts.get(cluster);
    return this.#beyond.get(cluster) ?? 0;
  }
}

/** Counts of clusters past the end of the file, which normally are 0. */
async function countsBeyond(state: CheckState, table: RefcountTableCopy): Promise<Map<number, number>> {
  const { clusterSize, refcountBlockEntries, refcountOrder } = state.geometry;
  const counts = new Map<number, number>();
  let loaded = -1;
  let view = viewOf(new Uint8Array(0));
  for (const cluster of [...state.beyond].sort((a, b) => a - b)) {
    const index = Math.floor(cluster / refcountBlockEntries);
    const offset = table.offsets[index] ?? 0;
    if (offset === 0 || offset % clusterSize !== 0 || offset >= state.fileSize) continue;
    if (index !== loaded) {
      const bytes = new Uint8Array(clusterSize);
      await state.image.file.read(offset, bytes);
      view = viewOf(bytes);
      loaded = index;
      await state.breathe();
    }
    counts.set(cluster, countAt(view, cluster - index * refcountBlockEntries, refcountOrder));
  }
  return counts;
}
