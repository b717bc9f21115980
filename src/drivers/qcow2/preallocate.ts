/** Allocating clusters ahead of writing, with entries that point at them. */

import { after, type Maybe } from '../../core/async/maybe.ts';
import type { Preallocation } from '../../core/block/driver.ts';
import { NotSupported } from '../../core/errors/block-error.ts';
import type { Disk } from './disk.ts';
import { beforeWrite } from './first-write.ts';
import { l2SliceForWrite } from './l2-tables.ts';
import { ALL_SUBCLUSTERS, ClusterKind, clusterKind, entryHi, entryLo, isCopied } from './meta/entries.ts';
import type { Table } from './table-cache.ts';

/**
 * Give every cluster of the disk from `from` to `to` (bytes) its place. `metadata` only makes the entries;
 * `falloc` and `full` also reserve the space in the file, or fill it with zeroes. What was allocated stays. All of it
 * reads as zeroes; over a backing file only subclusters can be without content, so that it shows.
 */
export async function preallocate(disk: Disk, from: number, to: number, mode: Preallocation): Promise<void> {
  if (mode === 'off' || to <= from) return;
  if (disk.backing && disk.geometry.version < 3) {
    throw new NotSupported('version 2 cannot preallocate clusters over a backing file');
  }
  await beforeWrite(disk);
  const { clusterSize } = disk.geometry;
  const end = Math.ceil(to / clusterSize);
  // What the backing file shows in a part of the first cluster stays.
  const first =
    disk.backing && !disk.geometry.extendedL2 ? Math.ceil(from / clusterSize) : Math.floor(from / clusterSize);
  for (let cluster = first; cluster < end; ) {
    await disk.inFlight.settle(cluster, cluster + 1);
    const done = step(disk, cluster, end);
    cluster += done instanceof Promise ? await done : done;
  }
  const preallocation = mode === 'metadata' ? 'off' : mode;
  if (disk.dataFile) {
    if (disk.dataFile.size < to || preallocation !== 'off')
      await disk.dataFile.truncate(to, { exact: false, preallocation });
  } else if (disk.allocator.endOfFile > disk.file.size) {
    await disk.file.truncate(disk.allocator.endOfFile, { exact: false, preallocation });
  }
  disk.preallocated = undefined;
  await disk.writer.run();
}

/** As many clusters as one L2 slice and the allocator give in one piece; returns how many were dealt with. */
function step(disk: Disk, cluster: number, end: number): Maybe<number> {
  const { l2Entries, clusterSize } = disk.geometry;
  const l2Index = cluster % l2Entries;
  const slice = l2SliceForWrite(disk, Math.floor(cluster / l2Entries), l2Index);
  if (slice instanceof Promise || !slice) return after(slice, () => step(disk, cluster, end));
  const index = l2Index % disk.sliceEntries;
  const most = Math.min(end - cluster, disk.sliceEntries - index);
  const count = emptyRun(disk, slice, index, most);
  if (count === 0) return 1;
  if (disk.dataFile) {
    fill(disk, slice, { index, count, host: cluster * clusterSize, fresh: !disk.encryption });
    return count;
  }
  const range = disk.inFlight.begin(cluster, cluster + count);
  return after(disk.allocator.allocate(count), (first) => {
    const fresh = disk.isBlank(first);
    disk.allocator.touch(first + count);
    const link = (): Maybe<number> => {
      const again = l2SliceForWrite(disk, Math.floor(cluster / l2Entries), l2Index);
      if (again instanceof Promise || !again) return after(again, link);
      fill(disk, again, { index, count, host: first * clusterSize, fresh });
      disk.inFlight.end(range);
      return count;
    };
    return link();
  });
}

/** How many entries from `index` on have no host cluster. */
function emptyRun(disk: Disk, slice: Table, index: number, most: number): number {
  const { l2EntrySize } = disk.geometry;
  let count = 0;
  while (count < most) {
    const at = (index + count) * l2EntrySize;
    const hi = slice.view.getUint32(at);
    const kind = clusterKind(disk.geometry, hi, slice.view.getUint32(at + 4), disk.dataFile !== undefined);
    if (isCopied(hi) || (kind !== ClusterKind.UNALLOCATED && kind !== ClusterKind.ZERO_PLAIN)) break;
    count++;
  }
  return count;
}

interface Filling {
  readonly index: number;
  readonly count: number;
  readonly host: number;
  /** The host clusters read as zeroes by themselves. */
  readonly fresh: boolean;
}

/** Entries for clusters without content: over a backing file subclusters stay unallocated, clusters are zero. */
function fill(disk: Disk, slice: Table, { index, count, host, fresh }: Filling): void {
  const { clusterSize, l2EntrySize, extendedL2, version } = disk.geometry;
  const { view } = slice;
  if (!fresh && version < 3 && !extendedL2)
    throw new NotSupported('version 2 cannot preallocate clusters that were used before');
  const zero = (!fresh || disk.backing !== undefined) && !extendedL2;
  for (let n = 0; n < count; n++) {
    const at = (index + n) * l2EntrySize;
    view.setUint32(at, entryHi(host + n * clusterSize, true));
    view.setUint32(at + 4, entryLo(host + n * clusterSize, zero));
    if (!extendedL2 || disk.backing) continue;
    view.setUint32(at + 8, fresh ? 0 : ALL_SUBCLUSTERS);
    view.setUint32(at + 12, fresh ? ALL_SUBCLUSTERS : 0);
  }
  disk.l2.markDirty(slice, index * l2EntrySize, (index + count) * l2EntrySize);
}
