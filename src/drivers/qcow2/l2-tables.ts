/**
 * Finding and making L2 tables. A table is cached in slices of `disk.l2.entrySize` bytes; a slice is found by
 * its own host offset. Never hold a slice across a wait: ask again.
 */
import { after, type Maybe } from '../../core/async/maybe.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import type { Disk } from './disk.ts';
import type { DiskView } from './disk-view.ts';
import { entryHi, entryLo } from './meta/entries.ts';
import { copyOf } from './meta/struct.ts';
import { orUndo } from './sequence.ts';
import type { Table } from './table-cache.ts';

/** Host offset of the L2 table, 0 for none; a damaged entry is reported. */
function tableOffset(disk: DiskView, l1Index: number): number {
  const offset = disk.l1.l2Offset(l1Index);
  if (offset % disk.geometry.clusterSize !== 0 || offset > Number.MAX_SAFE_INTEGER) {
    throw disk.corrupt(`L2 table offset ${offset} is not a multiple of the cluster size (L1 index ${l1Index})`, {
      structure: 'L1',
      index: l1Index,
      offset,
    });
  }
  return offset;
}

/** The slice of that L1 entry's table that holds `l2Index`, or undefined when there is no table. */
export function l2Slice(disk: DiskView, l1Index: number, l2Index: number): Maybe<Table | undefined> {
  if (l1Index >= disk.l1.entries) return undefined;
  const offset = tableOffset(disk, l1Index);
  if (offset === 0) return undefined;
  const slice = Math.floor(l2Index / disk.sliceEntries);
  return disk.l2.get(offset + slice * disk.l2.entrySize);
}

/** The same slice where it is in memory, for looking at it only: undefined for any other case. */
export function cachedSlice(disk: DiskView, l1Index: number, l2Index: number): Table | undefined {
  if (l1Index >= disk.l1.entries) return undefined;
  const slice = Math.floor(l2Index / disk.sliceEntries);
  return disk.l2.peek(tableOffset(disk, l1Index) + slice * disk.l2.entrySize);
}

/**
 * The slice, which may be changed: the table exists and belongs to the active disk alone. When it had to wait
 * it gives undefined, and the caller starts over.
 */
export function l2SliceForWrite(disk: Disk, l1Index: number, l2Index: number): Maybe<Table | undefined> {
  if (l1Index >= disk.l1.entries) {
    throw new BlockError(`'${disk.fileName}': L1 entry ${l1Index} is past the end of the L1 table`, { code: 'EIO' });
  }
  if (!disk.l1.isCopied(l1Index)) {
    const made = disk.l2InMaking.get(l1Index) ?? makeWritable(disk, l1Index);
    if (made instanceof Promise) return made.then(() => undefined);
  }
  const slice = l2Slice(disk, l1Index, l2Index);
  return slice instanceof Promise ? slice.then(() => undefined) : slice;
}

function makeWritable(disk: Disk, l1Index: number): Maybe<void> {
  const old = tableOffset(disk, l1Index);
  const made = old === 0 ? createTable(disk, l1Index) : copyTable(disk, l1Index, old);
  if (!(made instanceof Promise)) return;
  const done = made.finally(() => disk.l2InMaking.delete(l1Index));
  disk.l2InMaking.set(l1Index, done);
  return done;
}

function createTable(disk: Disk, l1Index: number): Maybe<void> {
  return after(allocateTable(disk), (offset) => {
    const { entrySize } = disk.l2;
    for (let at = 0; at < disk.geometry.clusterSize; at += entrySize) disk.l2.create(offset + at);
    setL1(disk, l1Index, offset);
    return relieve(disk);
  });
}

/** A snapshot shares the table: the active disk gets a copy, the snapshot keeps the old one. */
function copyTable(disk: Disk, l1Index: number, old: number): Maybe<void> {
  const { clusterSize } = disk.geometry;
  const bytes = new Uint8Array(clusterSize);
  const filled = disk.announcing('l2_alloc_cow_read', () => fillFromCache(disk, old, bytes, 0));
  return after(filled, () =>
    after(allocateTable(disk), (offset) => {
      const { entrySize } = disk.l2;
      for (let at = 0; at < clusterSize; at += entrySize)
        disk.l2.create(offset + at, copyOf(bytes, at, at + entrySize));
      setL1(disk, l1Index, offset);
      disk.overlap.remove('active-l2', old);
      disk.overlap.add('inactive-l2', old);
      disk.allocator.free(old / clusterSize, 1, 'other');
      return relieve(disk);
    }),
  );
}

function fillFromCache(disk: Disk, offset: number, bytes: Uint8Array, from: number): Maybe<void> {
  for (let at = from; at < bytes.length; at += disk.l2.entrySize) {
    const slice = disk.l2.get(offset + at);
    if (slice instanceof Promise) {
      const next = at + disk.l2.entrySize;
      return slice.then((table) => {
        bytes.set(table.bytes, at);
        return fillFromCache(disk, offset, bytes, next);
      });
    }
    bytes.set(slice.bytes, at);
  }
}

function allocateTable(disk: Disk): Maybe<number> {
  return after(disk.allocator.allocate(1, 'L2 table'), (cluster) => {
    const offset = cluster * disk.geometry.clusterSize;
    disk.allocator.touch(cluster + 1);
    // Of metadata the count is on disk even where others may lag behind: there is little of it, and much depends on it.
    const counted = orUndo(
      () => (disk.lazyRefcounts ? disk.writer.writeCounts() : undefined),
      () => disk.allocator.free(cluster, 1, 'never'),
    );
    return after(counted, () => disk.announcing('l2_alloc_write', () => offset));
  });
}

function setL1(disk: Disk, l1Index: number, offset: number): void {
  disk.l1.set(l1Index, entryHi(offset, true), entryLo(offset));
  disk.overlap.add('active-l2', offset);
}

function relieve(disk: Disk): Maybe<void> {
  return disk.l2.crowded ? disk.writer.run() : undefined;
}
