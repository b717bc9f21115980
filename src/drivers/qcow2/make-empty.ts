/** Emptying an image, so that its backing file shows everywhere. A crash at any moment leaves some of it not emptied. */
import { discard } from './clear.ts';
import type { Disk } from './disk.ts';
import { truncateFile } from './truncate.ts';
import { dropTable } from './vm-state.ts';

/** Bytes emptied at a time: what is freed is counted down in between. */
const STEP = 64 * 1024 * 1024 * 1024;

export async function makeEmpty(disk: Disk): Promise<void> {
  const { size, l1, header } = disk;
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
  // Tables that snapshots share stay; so do those of an image that has any, to keep it simple.
  if (header.nbSnapshots > 0) return;
  for (let index = 0; index < l1.entries; index++) dropTable(disk, index);
  await disk.writer.settle();
  await truncateFile(disk);
}
