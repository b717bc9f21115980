/**
 * Giving out and taking back host clusters.
 *
 * Giving out: clusters are found and their counts set to 1 in memory, under a mutex that is held across a wait
 * only when a refcount block has to be read. New refcount blocks, and a larger refcount table, are taken from
 * the same space; a block that lies in the range it describes counts itself.
 *
 * Taking back is deferred: `free` only notes the clusters. After the entries that pointed at them are gone
 * from the disk (`write-out.ts`) and the requests that may still use them have ended (`grace.ts`), `release`
 * lowers the counts, and only then can the clusters be given out again.
 */
import { after, all, type Maybe } from '../../core/async/maybe.ts';
import type { BlockEvent } from '../../core/block/events.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import type { Geometry } from './meta/geometry.ts';
import { Limit } from './meta/limits.ts';
import { getRefcount } from './meta/refcount-entry.ts';
import { Mutex } from './mutex.ts';
import type { Refcounts } from './refcounts.ts';
import { inOrder, orUndo } from './sequence.ts';

/** Why clusters are freed: decides whether the space is given back to the host. */
export type FreeReason = 'never' | 'request' | 'snapshot' | 'other' | 'always';

export interface FreedClusters {
  first: number;
  count: number;
  readonly reason: FreeReason;
}

export interface AllocatorInit {
  readonly refcounts: Refcounts;
  readonly geometry: Geometry;
  readonly fileName: string;
  /** Bytes of the file when it was opened. */
  readonly fileSize: number;
  /** A cluster now holds a refcount block. */
  readonly blockAdded: (offset: number) => void;
  readonly tableMoved: () => void;
  /** Throws when the image's own structures lie in these bytes, although their count says that they are free. */
  readonly assertVacant: (space: Allocated) => void;
  readonly announces: boolean;
  /** Tell a fault injector what comes next. */
  readonly announce: (event: BlockEvent) => Maybe<void>;
}

/** Space about to be given out, in bytes, and what for, in words. */
export interface Allocated {
  readonly offset: number;
  readonly length: number;
  readonly use: string;
}

/** What clusters are wanted for unless they say. */
const DATA = 'data cluster';

interface Search {
  cluster: number;
  start: number;
}

export class Allocator {
  readonly mutex = new Mutex();
  readonly #init: AllocatorInit;
  readonly #refcounts: Refcounts;
  readonly #clusterSize: number;
  /** No free cluster is looked for below this one. */
  #hint = 0;
  /** From this cluster on the file has never been written: it reads as zeroes. */
  #freshFrom: number;
  /** Clusters before that of which the same is true: a refcount block was put behind them. */
  #spared = { from: 0, to: 0 };
  #freed: FreedClusters[] = [];
  #freedClusters = 0;
  #discardedClusters = 0;
  /** The refcount table has grown in memory and is looking for its new place. */
  #growing = false;

  constructor(init: AllocatorInit) {
    this.#init = init;
    this.#refcounts = init.refcounts;
    this.#clusterSize = init.geometry.clusterSize;
    this.#freshFrom = Math.ceil(init.fileSize / this.#clusterSize);
  }

  /** First cluster of `count` contiguous ones, whose counts are now 1; `use` names what they are for. */
  allocate(count: number, use = DATA): Maybe<number> {
    return after(this.#init.announce('cluster_alloc'), () => this.mutex.run(() => this.#allocate(count, use)));
  }

  announce(event: BlockEvent): Maybe<void> {
    return this.#init.announce(event);
  }

  /** The same for a caller that holds the mutex. */
  allocateHeld(count: number, use: string): Maybe<number> {
    return this.#allocate(count, use);
  }

  /** True when the host clusters from `first` on lie past all that was ever written. Ask before {@link touch}. */
  isFresh(first: number): boolean {
    return first >= this.#freshFrom || (first >= this.#spared.from && first < this.#spared.to);
  }

  /** Clusters up to `end` are going to be written. */
  touch(end: number): void {
    if (end > this.#freshFrom) this.#freshFrom = end;
    if (end > this.#spared.from) this.#spared.from = end;
  }

  /** Up to here the file holds, or is going to hold, something. */
  get endOfFile(): number {
    return this.#freshFrom * this.#clusterSize;
  }

  /** Look for free clusters from the start again (counts were changed from outside). */
  resetHint(): void {
    this.#hint = 0;
  }

  #allocate(count: number, use: string): Maybe<number> {
    const search: Search = { cluster: this.#hint, start: this.#hint };
    return after(this.#find(search, count), () => {
      const first = search.start;
      this.#assertReach(first + count);
      this.#assertVacant(first, count, use);
      const missing = this.#firstMissingBlock(first, count);
      if (missing >= 0) {
        const create = () => this.#createBehind(missing, first, first + count);
        return after(after(this.#init.announce('refblock_alloc'), create), () => this.#allocate(count, use));
      }
      const counted = after(this.announceCounting(first, count), () => this.#setOnes(first, count));
      return after(counted, () => {
        this.#hint = first + count;
        return first;
      });
    });
  }

  /** Counts are about to be changed: told for each refcount block that has some of them, cached or not. */
  announceCounting(first: number, count: number): Maybe<void> {
    if (!this.#init.announces) return;
    const { announce } = this.#init;
    const last = this.#refcounts.blockIndex(first + count - 1);
    const steps = [];
    for (let index = this.#refcounts.blockIndex(first); index <= last; index++) {
      steps.push(
        () => announce('refblock_alloc'),
        () => announce('refblock_load'),
      );
    }
    return inOrder(steps);
  }

  #assertVacant(first: number, count: number, use: string): void {
    this.#init.assertVacant({ offset: first * this.#clusterSize, length: count * this.#clusterSize, use });
  }

  #assertReach(end: number): void {
    if (end * this.#clusterSize <= Limit.MAX_HOST_OFFSET) return;
    throw new BlockError(`'${this.#init.fileName}' would grow beyond ${Limit.MAX_HOST_OFFSET} bytes`, {
      code: 'EFBIG',
    });
  }

  /** Move `search.start` to `count` contiguous clusters with count 0. */
  #find(search: Search, count: number): Maybe<void> {
    const entries = this.#refcounts.blockEntries;
    while (search.cluster - search.start < count) {
      const index = Math.floor(search.cluster / entries);
      const block = this.#refcounts.block(index);
      if (block instanceof Promise) return block.then(() => this.#find(search, count));
      const end = (index + 1) * entries;
      if (!block) search.cluster = Math.min(end, search.start + count);
      else this.#scan(block.view, search, { base: index * entries, end, count });
    }
  }

  #scan(view: DataView, search: Search, range: { base: number; end: number; count: number }): void {
    const { refcountOrder } = this.#init.geometry;
    let { cluster, start } = search;
    while (cluster < range.end && cluster - start < range.count) {
      if (getRefcount(view, cluster - range.base, refcountOrder) !== 0) start = cluster + 1;
      cluster++;
    }
    search.cluster = cluster;
    search.start = start;
  }

  #firstMissingBlock(first: number, count: number): number {
    const last = this.#refcounts.blockIndex(first + count - 1);
    for (let index = this.#refcounts.blockIndex(first); index <= last; index++) {
      if (this.#refcounts.table.blockOffset(index) === 0) return index;
    }
    return -1;
  }

  #setOnes(first: number, count: number): Maybe<void> {
    const entries = this.#refcounts.blockEntries;
    for (let cluster = first; cluster < first + count; ) {
      const index = Math.floor(cluster / entries);
      const stop = Math.min(first + count, (index + 1) * entries);
      const block = this.#refcounts.block(index);
      const here = cluster;
      if (block instanceof Promise) return block.then(() => this.#setOnes(here, first + count - here));
      if (block) this.#refcounts.fill(block, cluster, stop - cluster, 1);
      cluster = stop;
    }
  }

  /**
   * A block for index `wanted`, with all that it needs in turn behind the clusters [first, end) that it is made for, so
   * that these stay in one piece.
   */
  #createBehind(wanted: number, first: number, end: number): Maybe<void> {
    const before = this.#hint;
    const from = Math.max(first, this.#freshFrom);
    const restore = (): void => {
      this.#hint = before;
      if (from < end) this.#spared = { from, to: end };
    };
    this.#hint = end;
    return after(
      orUndo(() => this.#createBlock(wanted), restore),
      restore,
    );
  }

  /** A block for index `wanted`; blocks that are missing before it where it would lie are made on the way. */
  #createBlock(wanted: number): Maybe<void> {
    const { table } = this.#refcounts;
    // Growing the table may have made the block already: the table's own new place can lie in its range.
    if (table.blockOffset(wanted) !== 0) return;
    if (this.#lacksPlace(wanted)) return after(this.#growTable(wanted), () => this.#createBlock(wanted));
    const search: Search = { cluster: this.#hint, start: this.#hint };
    return after(this.#find(search, 1), () => {
      const cluster = search.start;
      this.#assertVacant(cluster, 1, 'refcount block');
      const index = this.#refcounts.blockIndex(cluster);
      if (this.#lacksPlace(index)) return after(this.#growTable(index), () => this.#createBlock(wanted));
      const selfDescribing = table.blockOffset(index) === 0;
      return after(selfDescribing ? undefined : this.#refcounts.block(index), (holder) => {
        const offset = cluster * this.#clusterSize;
        const block = this.#refcounts.addBlock(selfDescribing ? index : wanted, offset);
        this.#refcounts.fill(holder ?? block, cluster, 1, 1);
        this.#hint = cluster + 1;
        this.touch(cluster + 1);
        this.#init.blockAdded(offset);
        return this.#createBlock(wanted);
      });
    });
  }

  /** The table has no room on disk for that entry; while it grows, room in memory is enough. */
  #lacksPlace(index: number): boolean {
    const { table } = this.#refcounts;
    return index >= (this.#growing ? table.entries : table.placedEntries);
  }

  #growTable(index: number): Maybe<void> {
    const { table } = this.#refcounts;
    const clusters = table.grow(index + 1);
    if (this.#growing) return;
    this.#growing = true;
    const allocate = () => this.#allocate(clusters, 'refcount table');
    const grown = after(after(this.#init.announce('reftable_grow'), allocate), (first) => {
      // Larger than planned when its own place needed more entries: then once more.
      if (table.clustersNeeded > clusters) {
        this.free(first, clusters, 'other');
        this.#growing = false;
        return this.#growTable(index);
      }
      this.touch(first + clusters);
      const old = table.moveTo(first * this.#clusterSize);
      this.free(old.offset / this.#clusterSize, old.clusters, 'other');
      this.#init.tableMoved();
    });
    return orUndo(
      () =>
        after(grown, () => {
          this.#growing = false;
        }),
      () => {
        this.#growing = false;
      },
    );
  }

  /** Note that one reference to each of `count` clusters is gone. */
  free(first: number, count: number, reason: FreeReason): void {
    if (count === 0) return;
    this.#freedClusters += count;
    if (reason === 'request') this.#discardedClusters += count;
    const last = this.#freed.at(-1);
    if (last && last.reason === reason && last.first + last.count === first) last.count += count;
    else this.#freed.push({ first, count, reason });
  }

  /** Clusters whose references are gone but which are not yet free. */
  get deferred(): number {
    return this.#freedClusters;
  }

  /** Stretches that they form: what noting them takes of memory. */
  get deferredRuns(): number {
    return this.#freed.length;
  }

  /** Those of them that were given back on request. */
  get discarded(): number {
    return this.#discardedClusters;
  }

  takeFreed(): FreedClusters[] {
    const list = this.#freed;
    this.#freed = [];
    this.#freedClusters = 0;
    this.#discardedClusters = 0;
    return list;
  }

  /** A write-out failed: the entries may still be on disk. */
  restoreFreed(list: readonly FreedClusters[]): void {
    for (const { first, count, reason } of list) this.free(first, count, reason);
  }

  /**
   * Lower the counts of clusters that nothing on disk points at any more. Space that is given back to the host
   * is given back before anyone can take it again: the mutex is held until the discards have ended.
   */
  release(list: readonly FreedClusters[], host: ReleaseHost): Maybe<void> {
    return this.mutex.run(() => this.#releaseFrom(0, list, host, { runs: [] }));
  }

  /** `discards` are those that have not been begun yet. */
  #releaseFrom(from: number, list: readonly FreedClusters[], host: ReleaseHost, discards: Discards): Maybe<void> {
    for (let index = from; index < list.length; index++) {
      const item = list[index];
      if (!item) continue;
      const passes = host.passes(item.reason);
      const lower = (): Maybe<void> =>
        this.#refcounts.add(item.first, item.count, -1, (cluster) => {
          if (cluster < this.#hint) this.#hint = cluster;
          host.vacant(cluster);
          if (passes) appendRun(discards, cluster);
        });
      const counted = after(this.announceCounting(item.first, item.count), lower);
      const done = after(counted, () => (discards.runs.length < DISCARDS_AT_ONCE ? undefined : begin(discards, host)));
      if (done instanceof Promise) return done.then(() => this.#releaseFrom(index + 1, list, host, discards));
    }
    return begin(discards, host);
  }
}

/** What happens to clusters that became free. */
export interface ReleaseHost {
  vacant(cluster: number): void;
  /** Is the space given back to the host. */
  passes(reason: FreeReason): boolean;
  discard(first: number, count: number): Maybe<void>;
}

interface Discards {
  runs: { readonly first: number; count: number }[];
}

/** Runs of clusters that are given back to the host side by side. */
const DISCARDS_AT_ONCE = 64;

function begin(discards: Discards, host: ReleaseHost): Maybe<void> {
  const { runs } = discards;
  discards.runs = [];
  return all(runs.map(({ first, count }) => host.discard(first, count)));
}

function appendRun(discards: Discards, cluster: number): void {
  const last = discards.runs.at(-1);
  if (last && last.first + last.count === cluster) last.count++;
  else discards.runs.push({ first: cluster, count: 1 });
}
