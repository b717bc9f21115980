/** Moving the active L1 table to a larger place. */
import { after, type Maybe } from '../../core/async/maybe.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import type { Disk } from './disk.ts';
import { refreshPlaces } from './first-write.ts';
import { Limit } from './meta/limits.ts';
import { inOrder, orUndo } from './sequence.ts';

/**
 * Make the L1 table hold at least `entries`. The new table is a copy of what the old place holds on disk, made
 * while no write-out runs: whatever has changed in memory since is still dirty and follows later.
 */
export function growL1(disk: Disk, entries: number): Maybe<void> {
  const { l1, geometry, allocator, header, file, writer } = disk;
  if (entries <= l1.entries) return;
  if (entries * 8 > Limit.MAX_L1_BYTES) {
    throw new BlockError(`the L1 table would need ${entries} entries, the limit is ${Limit.MAX_L1_BYTES / 8}`, {
      code: 'EFBIG',
    });
  }
  const { clusterSize } = geometry;
  const clusters = Math.ceil((entries * 8) / clusterSize);
  const allocate = () => allocator.allocate(clusters, 'L1 table');
  return after(disk.announcing('l1_grow_alloc_table', allocate), (first) => {
    const offset = first * clusterSize;
    allocator.touch(first + clusters);
    const bytes = new Uint8Array(entries * 8);
    const old = { offset: l1.offset, clusters: Math.ceil((l1.entries * 8) / clusterSize), bytes: l1.entries * 8 };
    return writer.exclusively(() =>
      inOrder([
        () => (old.bytes > 0 ? file.read(old.offset, bytes.subarray(0, old.bytes)) : undefined),
        () => disk.announcing('l1_grow_write_table', () => file.write(offset, bytes)),
        () => file.flush(),
        () => file.event('l1_grow_activate_table'),
        () => {
          header.l1Size = entries;
          header.l1TableOffset = offset;
          return orUndo(
            () => inOrder([() => disk.writeHeaderFields(), () => file.flush()]),
            () => {
              header.l1Size = l1.entries;
              header.l1TableOffset = l1.offset;
            },
          );
        },
        () => {
          l1.moveTo(offset, entries);
          refreshPlaces(disk);
          allocator.free(old.offset / clusterSize, old.clusters, 'other');
        },
      ]),
    );
  });
}
