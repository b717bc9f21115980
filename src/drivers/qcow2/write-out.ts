/**
 * Metadata on its way to the disk, in the order that makes a crash harmless at every moment:
 *
 *   1. refcount blocks; flush; refcount table entries (or the whole table at its new place; flush; header)
 *   2. flush — covers the counts and all data written so far
 *   3. L2 tables
 *   4. flush; L1 table
 *   5. flush; then clusters that nothing points at any more are counted down, in memory
 *
 * A round works on copies taken at one moment, in which every entry's target is counted; what changes later
 * belongs to the next round. Steps with nothing to write are skipped with their flush. With lazy refcounts
 * step 1 waits for the image to be closed. One round runs at a time.
 */
import { after, all, type Maybe } from '../../core/async/maybe.ts';
import type { BlockEvent } from '../../core/block/events.ts';
import type { FreedClusters, FreeReason } from './allocator.ts';
import type { Disk } from './disk.ts';
import type { L1Piece } from './l1-table.ts';
import { Mutex } from './mutex.ts';
import type { RefcountTablePiece } from './refcount-table.ts';
import { inOrder, orUndo, Pending } from './sequence.ts';
import type { DirtyPiece, Table, TableCache } from './table-cache.ts';

interface Round {
  readonly blocks: DirtyPiece[];
  readonly table: RefcountTablePiece | undefined;
  readonly l2: DirtyPiece[];
  readonly l1: L1Piece | undefined;
  readonly freed: FreedClusters[];
  readonly unsettled: boolean;
}

export class WriteOut {
  readonly #disk: Disk;
  readonly #mutex = new Mutex();
  #queued: Promise<void> | undefined;
  #active = false;
  /** Clusters being counted down after requests in flight have ended. */
  readonly #releasing = new Set<Promise<void>>();
  #releaseFailure: { error: unknown } | undefined;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** Write all that is dirty now. A call that finds a round running shares the next one with others like it. */
  run(): Maybe<void> {
    if (!this.#active) return this.#whole(!this.#disk.lazyRefcounts);
    this.#queued ??= Promise.resolve(
      this.#whole(!this.#disk.lazyRefcounts, () => {
        this.#queued = undefined;
      }),
    );
    return this.#queued;
  }

  /** Write all, refcounts too, until nothing is left; for close and for operations that need exact counts. */
  async settle(): Promise<void> {
    for (;;) {
      await this.#whole(true);
      await this.#released();
      if (this.#idle) break;
    }
    await this.barrier();
  }

  /** Nothing has changed that is not written. */
  get #idle(): boolean {
    const { l2, l1, refcounts, allocator } = this.#disk;
    const pending = l2.dirtyCount + refcounts.cache.dirtyCount + allocator.deferred;
    return pending === 0 && !l1.dirty && !refcounts.table.dirty && this.#releaseFailure === undefined;
  }

  /** Counts may be written at any time: for a cache that is full of changed ones, and for those that are not to wait. */
  writeCounts(): Maybe<void> {
    return this.#locked(() => {
      const { cache, table } = this.#disk.refcounts;
      const pieces = cache.takeDirty();
      const entries = table.takeDirty();
      return orUndo(
        () =>
          inOrder([
            () => this.#writePieces(cache, pieces, blockEvents(entries)),
            () => this.#writeRefcountTable(entries, pieces.length > 0),
          ]),
        () => {
          for (const piece of pieces) cache.written(piece, true);
          if (entries) table.restore(entries);
        },
      );
    });
  }

  /** Write all that is dirty, then run `action` before any further round. */
  exclusively(action: () => Maybe<void>): Maybe<void> {
    let freed: readonly FreedClusters[] = [];
    const done = this.#locked(() =>
      after(this.#round(!this.#disk.lazyRefcounts), (list) => {
        freed = list;
        return action();
      }),
    );
    return after(done, () => this.#release(freed));
  }

  /** All that was written before, data and metadata, is stable. */
  barrier(): Maybe<void> {
    const { file, dataFile } = this.#disk;
    if (!dataFile) return file.flush();
    return all([dataFile.flush(), file.flush()]);
  }

  /** A round, and the release of what it freed: outside of the lock, since that may have to write blocks out. */
  #whole(withRefcounts: boolean, begun?: () => void): Maybe<void> {
    const freed = this.#locked(() => {
      begun?.();
      return this.#round(withRefcounts);
    });
    return after(freed, (list) => this.#release(list));
  }

  #locked<T>(action: () => Maybe<T>): Maybe<T> {
    return this.#mutex.run(() => {
      this.#active = true;
      return after(
        orUndo(action, () => {
          this.#active = false;
        }),
        (result) => {
          this.#active = false;
          return result;
        },
      );
    });
  }

  #round(withRefcounts: boolean): Maybe<readonly FreedClusters[]> {
    const disk = this.#disk;
    // A damaged image can still be flushed when nothing of it waits for that.
    if (this.#idle) return [];
    disk.assertUsable();
    this.#throwReleaseFailure();
    const round: Round = {
      blocks: withRefcounts ? disk.refcounts.cache.takeDirty() : [],
      table: withRefcounts ? disk.refcounts.table.takeDirty() : undefined,
      l2: disk.l2.takeDirty(),
      l1: disk.l1.takeDirty(),
      freed: disk.allocator.takeFreed(),
      unsettled: disk.unsettled,
    };
    const undone = this.#undo(round);
    return after(
      orUndo(() => this.#steps(round), undone),
      () => round.freed,
    );
  }

  #steps(round: Round): Maybe<void> {
    const { blocks, table, l2, l1, freed } = round;
    const disk = this.#disk;
    const counts = blocks.length > 0 || table !== undefined;
    const entries = l2.length > 0 || l1 !== undefined;
    if (!counts && !entries && freed.length === 0) return;
    return inOrder([
      () => this.#writePieces(disk.refcounts.cache, blocks, blockEvents(table)),
      () => this.#writeRefcountTable(table, blocks.length > 0),
      () => (entries && (counts || round.unsettled) ? this.#settleData() : undefined),
      () => this.#writePieces(disk.l2, l2, () => 'l2_update'),
      () => (l1 && l2.length > 0 ? this.barrier() : undefined),
      () => (l1 ? disk.announcing('l1_update', () => disk.file.write(l1.offset, l1.bytes)) : undefined),
      () => (freed.length > 0 ? this.barrier() : undefined),
    ]);
  }

  #settleData(): Maybe<void> {
    this.#disk.unsettled = false;
    return orUndo(
      () => this.barrier(),
      () => {
        this.#disk.unsettled = true;
      },
    );
  }

  #writeRefcountTable(table: RefcountTablePiece | undefined, blocksWritten: boolean): Maybe<void> {
    if (!table) return;
    const { file, header } = this.#disk;
    const steps: (() => Maybe<void>)[] = [
      () => (blocksWritten ? file.flush() : undefined),
      () => file.event('refblock_alloc_hookup'),
      () => (table.moved ? file.event('refblock_alloc_write_table') : undefined),
      () => file.write(table.offset, table.bytes),
    ];
    if (table.moved) {
      steps.push(
        () => file.flush(),
        () => file.event('refblock_alloc_switch_table'),
        () => {
          header.refcountTableOffset = table.offset;
          header.refcountTableClusters = table.bytes.length / this.#disk.geometry.clusterSize;
          return this.#disk.writeHeaderFields();
        },
      );
    }
    return inOrder(steps);
  }

  #writePieces(cache: TableCache, pieces: readonly DirtyPiece[], event: (table: Table) => BlockEvent): Maybe<void> {
    if (pieces.length === 0) return;
    const disk = this.#disk;
    const pending = new Pending();
    for (const piece of pieces) {
      const write = () => disk.file.write(piece.table.offset + piece.from, piece.bytes);
      pending.start(() => after(disk.announcing(event(piece.table), write), () => cache.written(piece, false)));
    }
    return pending.end();
  }

  /** After a failure everything of the round counts as changed again, so that nothing is ever skipped. */
  #undo(round: Round): () => void {
    return () => {
      const { refcounts, l2, l1, allocator } = this.#disk;
      for (const piece of round.blocks) refcounts.cache.written(piece, true);
      for (const piece of round.l2) l2.written(piece, true);
      if (round.table) refcounts.table.restore(round.table);
      if (round.l1) l1.restore(round.l1);
      allocator.restoreFreed(round.freed);
      this.#disk.unsettled ||= round.unsettled;
    };
  }

  /** Count clusters down, at once or when the requests in flight have ended. */
  #release(freed: readonly FreedClusters[]): Maybe<void> {
    if (freed.length === 0) return;
    const passed = this.#disk.grace.passed();
    if (!(passed instanceof Promise)) return this.#countDown(freed);
    const work: Promise<void> = passed
      .then(() => this.#countDown(freed))
      .catch((error: unknown) => {
        this.#releaseFailure ??= { error };
      })
      .finally(() => this.#releasing.delete(work));
    this.#releasing.add(work);
  }

  async #released(): Promise<void> {
    while (this.#releasing.size > 0) await Promise.all(this.#releasing);
    this.#throwReleaseFailure();
  }

  #throwReleaseFailure(): void {
    const failure = this.#releaseFailure;
    this.#releaseFailure = undefined;
    if (failure) throw failure.error;
  }

  #countDown(freed: readonly FreedClusters[]): Maybe<void> {
    const { allocator, settings, geometry, file } = this.#disk;
    const { clusterSize } = geometry;
    this.#disk.decompressed.clear();
    const release = () =>
      allocator.release(freed, {
        vacant: (cluster) => forget(this.#disk, cluster * clusterSize),
        passes: (reason: FreeReason) => settings.passDiscard[reason],
        discard: (first, count) => file.discard(first * clusterSize, count * clusterSize),
      });
    return this.#disk.announcing('cluster_free', release);
  }
}

/** What writing a refcount block is called, by whether it may be new and where its entry is. */
function blockEvents(table: RefcountTablePiece | undefined): (block: Table) => BlockEvent {
  if (!table) return () => 'refblock_update_part';
  return ({ offset }) => (table.grownFor.has(offset) ? 'refblock_alloc_write_blocks' : 'refblock_alloc_write');
}

/** A cluster has become free: no cached table lies there, and no structure has to be protected. */
function forget(disk: Disk, offset: number): void {
  for (let at = 0; at < disk.geometry.clusterSize; at += disk.l2.entrySize) disk.l2.forget(offset + at);
  disk.refcounts.cache.forget(offset);
  disk.compressedSpace.vacated(offset);
  disk.overlap.remove('active-l2', offset);
  disk.overlap.remove('inactive-l1', offset);
  disk.overlap.remove('inactive-l2', offset);
  disk.overlap.remove('refcount-block', offset);
}
