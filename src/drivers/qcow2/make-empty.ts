/**
 * Emptying an image, so that its backing file shows everywhere. A crash at any moment leaves some of it not emptied.
 *
 * Where there is nothing but the disk in it, all of it goes at once (`start-over.ts`). Else, without snapshots, nothing
 * but the active tables leads to a cluster, so whole tables go, unread by anybody afterwards:
 *
 *   L1 entries → flush → counts down → file cut off → what is free below its new end is given back
 */
import { discard } from './clear.ts';
import type { Disk } from './disk.ts';
import { L1Table } from './l1-table.ts';
import { copyOf } from './meta/struct.ts';
import { dropReferences } from './snapshots/references.ts';
import { canStartOver, startOver } from './start-over.ts';
import { truncateFile } from './truncate.ts';

/** Bytes emptied at a time: what is freed is counted down in between. */
const STEP = 64 * 1024 * 1024 * 1024;

export async function makeEmpty(disk: Disk): Promise<void> {
  if (canStartOver(disk)) return startOver(disk);
  // Tables that snapshots share stay, and what lies in a data file is not counted.
  if (disk.header.nbSnapshots > 0 || disk.dataFile) return discardAll(disk);
  const { l1, geometry } = disk;
  const tables = Math.max(1, Math.floor(STEP / geometry.l2Coverage));
  for (let first = 0; first < l1.entries; first += tables) await dropTables(disk, first, first + tables);
  await truncateFile(disk);
  await giveBackFree(disk);
}

async function discardAll(disk: Disk): Promise<void> {
  const { size } = disk;
  for (let offset = 0; offset < size; offset += STEP) {
    const generation = disk.grace.enter();
    try {
      const range = { offset, length: Math.min(STEP, size - offset) };
      await discard(disk, range, { full: true, reason: 'always' });
    } finally {
      disk.grace.leave(generation);
    }
  }
  await disk.writer.settle();
  if (disk.dataFile) await truncateFile(disk);
}

/** Let go of the L2 tables of the L1 entries [from, to), and of all they lead to. */
async function dropTables(disk: Disk, from: number, to: number): Promise<void> {
  const { l1, overlap } = disk;
  const end = Math.min(to, l1.entries);
  if (l1.nextUsed(from, end) >= end) return;
  const bytes = copyOf(l1.bytes, 0, end * 8).fill(0, 0, from * 8);
  await dropReferences(disk, new L1Table(l1.offset, bytes, 512), { relieve: false, reason: 'never' });
  for (let index = l1.nextUsed(from, end); index < end; index = l1.nextUsed(index + 1, end)) {
    overlap.remove('active-l2', l1.l2Offset(index));
    l1.set(index, 0, 0);
  }
  await disk.writer.settle();
}

/** Make holes where the file has clusters that nobody counts. Nobody may take them meanwhile. */
async function giveBackFree(disk: Disk): Promise<void> {
  const { clusterSize } = disk.geometry;
  const { file, refcounts, allocator } = disk;
  const clusters = Math.floor(file.size / clusterSize);
  await allocator.mutex.run(async () => {
    let start = 0;
    for (let cluster = 0; cluster <= clusters; cluster++) {
      const count = cluster < clusters ? refcounts.get(cluster) : 1;
      const used = (count instanceof Promise ? await count : count) > 0;
      if (!used) continue;
      if (cluster > start) await file.discard(start * clusterSize, (cluster - start) * clusterSize);
      start = cluster + 1;
    }
  });
}
