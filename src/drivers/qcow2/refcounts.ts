/**
 * Reference counts of host clusters. All functions work on memory and complete at once when the blocks they
 * need are cached. Callers that change counts hold the allocation mutex (`allocator.ts`).
 *
 * A block may reach the disk at any time: counts are raised before anything points at a cluster, and lowered
 * only after what pointed at it is gone from the disk, so an old or a new block is right or counts too much.
 */
import { after, type Maybe } from '../../core/async/maybe.ts';
import { CorruptImage } from '../../core/errors/block-error.ts';
import type { Geometry } from './meta/geometry.ts';
import { getRefcount, lowerLargeRefcount, refcountByteRange, setRefcount } from './meta/refcount-entry.ts';
import type { RefcountTable } from './refcount-table.ts';
import type { Table, TableCache } from './table-cache.ts';

export class Refcounts {
  readonly table: RefcountTable;
  readonly cache: TableCache;
  readonly #geometry: Geometry;
  readonly #fileName: string;

  constructor(init: { table: RefcountTable; cache: TableCache; geometry: Geometry; fileName: string }) {
    this.table = init.table;
    this.cache = init.cache;
    this.#geometry = init.geometry;
    this.#fileName = init.fileName;
  }

  get blockEntries(): number {
    return this.#geometry.refcountBlockEntries;
  }

  blockIndex(cluster: number): number {
    return Math.floor(cluster / this.#geometry.refcountBlockEntries);
  }

  /** The block of that index; undefined when there is none, and all its counts are 0. */
  block(index: number): Maybe<Table | undefined> {
    const offset = this.table.blockOffset(index);
    return offset === 0 ? undefined : this.cache.get(offset);
  }

  /** The count of one cluster. */
  get(cluster: number): Maybe<number> {
    const index = this.blockIndex(cluster);
    return after(this.block(index), (block) =>
      block ? getRefcount(block.view, cluster - index * this.blockEntries, this.#geometry.refcountOrder) : 0,
    );
  }

  /** Set the counts of `count` clusters in a cached block, which must hold them all. */
  fill(block: Table, first: number, count: number, value: number): void {
    const order = this.#geometry.refcountOrder;
    const start = first % this.blockEntries;
    for (let index = start; index < start + count; index++) setRefcount(block.view, index, order, value);
    const { from, to } = refcountByteRange(start, count, order);
    this.cache.markDirty(block, from, to);
  }

  /** The entry of a new block, in memory only. */
  addBlock(index: number, offset: number): Table {
    this.table.set(index, offset);
    return this.cache.create(offset);
  }

  /**
   * Add `delta` to the counts of a range; `freed` is called for each cluster whose count became 0.
   * Throws CorruptImage when a count would leave its bounds, with the clusters before it already changed.
   */
  add(first: number, count: number, delta: number, freed?: (cluster: number) => void): Maybe<void> {
    let cluster = first;
    const end = first + count;
    while (cluster < end) {
      const index = this.blockIndex(cluster);
      const block = this.block(index);
      const here = cluster;
      if (block instanceof Promise) return block.then(() => this.add(here, end - here, delta, freed));
      const stop = Math.min(end, (index + 1) * this.blockEntries);
      if (!block) throw this.#outOfBounds(cluster, 0, delta);
      this.#addInBlock(block, cluster, stop, delta, freed);
      cluster = stop;
    }
  }

  #addInBlock(block: Table, from: number, to: number, delta: number, freed?: (cluster: number) => void): void {
    const order = this.#geometry.refcountOrder;
    const base = this.blockIndex(from) * this.blockEntries;
    let done = from;
    try {
      for (; done < to; done++) {
        const old = getRefcount(block.view, done - base, order);
        const value = old + delta;
        if (old > Number.MAX_SAFE_INTEGER && delta < 0) {
          lowerLargeRefcount(block.view, done - base, -delta);
          continue;
        }
        if (value < 0 || value > this.#geometry.refcountMax) throw this.#outOfBounds(done, old, delta);
        setRefcount(block.view, done - base, order, value);
        if (value === 0) freed?.(done);
      }
    } finally {
      if (done > from) {
        const range = refcountByteRange(from - base, done - from, order);
        this.cache.markDirty(block, range.from, range.to);
      }
    }
  }

  #outOfBounds(cluster: number, old: number, delta: number): CorruptImage {
    const change = delta < 0 ? `lowered by ${-delta}` : `raised by ${delta}`;
    return new CorruptImage(
      `'${this.#fileName}': the refcount of cluster ${cluster} is ${old} and cannot be ${change}, the limit is ${this.#geometry.refcountMax}`,
      { code: delta > 0 ? 'EFBIG' : 'EIO', data: { structure: 'refcount', cluster } },
    );
  }
}
