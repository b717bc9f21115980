/** Changing the length of the disk. */
import type { Maybe } from '../../core/async/maybe.ts';
import type { TruncateOptions } from '../../core/block/driver.ts';
import { alignUp } from '../../core/bytes/ranges.ts';
import { BlockError, NotSupported } from '../../core/errors/block-error.ts';
import { discard, zero } from './clear.ts';
import type { Disk } from './disk.ts';
import { bitmapsOf } from './first-write.ts';
import { growL1 } from './grow-l1.ts';
import { readsZero } from './mapping.ts';
import { l1EntriesFor } from './meta/geometry.ts';
import { preallocate } from './preallocate.ts';
import { dropTable, dropVmState } from './vm-state.ts';
import { writev } from './write.ts';

const SECTOR = 512;

/** Grow or shrink to `size` bytes, a multiple of 512. New space reads as zeroes. */
export async function truncate(disk: Disk, size: number, options: TruncateOptions): Promise<void> {
  const { fileName, header } = disk;
  if (size % SECTOR !== 0) throw new BlockError(`the new size ${size} is not a multiple of ${SECTOR}`);
  if (disk.bitmaps?.hasForeign ?? bitmapsOf(disk)) {
    throw new NotSupported(`'${fileName}' has bitmaps of an unknown kind and cannot be resized`);
  }
  if (header.nbSnapshots > 0 && header.version < 3) {
    throw new NotSupported(`'${fileName}' is of version 2 and has snapshots, so it cannot be resized`);
  }
  const mode = options.preallocation ?? 'off';
  await dropVmState(disk);
  if (size < header.size) {
    if (mode !== 'off') throw new NotSupported(`preallocation '${mode}' makes no sense when an image is made smaller`);
    return shrink(disk, size);
  }
  const old = header.size;
  await grow(disk, size, mode !== 'off');
  if (mode !== 'off') await asRequest(disk, () => preallocate(disk, old, size, mode));
}

/** The clusters that `action` reads and writes are not given to others meanwhile. */
async function asRequest(disk: Disk, action: () => Maybe<void>): Promise<void> {
  const generation = disk.grace.enter();
  try {
    await action();
  } finally {
    disk.grace.leave(generation);
  }
}

/** With `takesTail`, the cluster in which the disk ended is given its place too. */
async function grow(disk: Disk, size: number, takesTail: boolean): Promise<void> {
  const { header, geometry, dataFile, backing } = disk;
  const old = header.size;
  if (size === old) return;
  const hidden = backing !== undefined && backing.size > old;
  if (hidden && header.version < 3) {
    throw new NotSupported(
      `the backing file of '${disk.fileName}' is longer than the image, and version 2 cannot hide it`,
    );
  }
  await growL1(disk, l1EntriesFor(geometry, size));
  if (dataFile && dataFile.size < size) await dataFile.truncate(size, { exact: false });
  const tailEnd = Math.min(size, alignUp(old, geometry.clusterSize));
  header.size = size;
  try {
    await asRequest(disk, () => zeroTail(disk, { from: old, to: tailEnd, takesTail }));
    if (hidden) {
      const start = alignUp(old, geometry.clusterSize);
      const end = Math.min(size, alignUp(backing.size, geometry.clusterSize));
      if (end > start) await asRequest(disk, () => zero(disk, { offset: start, length: end - start }, 0));
    }
    await disk.writer.settle();
    await writeSize(disk);
  } catch (error) {
    header.size = old;
    throw error;
  }
}

interface Tail {
  readonly from: number;
  readonly to: number;
  readonly takesTail: boolean;
}

/** The rest of the cluster in which the disk ended may hold anything. */
async function zeroTail(disk: Disk, { from, to, takesTail }: Tail): Promise<void> {
  if (to <= from || (!(takesTail && disk.backing) && (await readsZero(disk, from, to - from)))) return;
  const length = to - from;
  await writev(disk, { offset: from, bufs: [Buffer.alloc(length)], length });
}

async function shrink(disk: Disk, size: number): Promise<void> {
  const { header, geometry, l1, dataFile, refcounts } = disk;
  const { clusterSize } = geometry;
  // What is given back here cannot be had again: not by counts that contradict themselves.
  refcounts.table.assertCovered(refcounts.blockEntries);
  const from = alignUp(size, clusterSize);
  if (from < header.size) {
    const range = { offset: from, length: header.size - from };
    await asRequest(disk, () => discard(disk, range, { full: true, reason: 'always' }));
  }
  for (let index = l1EntriesFor(geometry, size); index < l1.entries; index++) dropTable(disk, index);
  header.size = size;
  await disk.file.event('l1_shrink_write_table');
  await disk.writer.settle();
  await disk.file.event('l1_shrink_free_l2_clusters');
  await writeSize(disk);
  if (dataFile && dataFile.size > size) await dataFile.truncate(size, { exact: false });
  await truncateFile(disk);
}

async function writeSize(disk: Disk): Promise<void> {
  await disk.writeHeaderFields();
  await disk.file.flush();
}

/** Cut the file off behind its last used cluster. */
export async function truncateFile(disk: Disk): Promise<void> {
  const { clusterSize } = disk.geometry;
  const clusters = Math.ceil(disk.file.size / clusterSize);
  let last = clusters;
  while (last > 0 && (await disk.refcounts.get(last - 1)) === 0) last--;
  const end = last * clusterSize;
  if (end >= disk.file.size) return;
  await disk.file.truncate(end, { exact: false });
}
