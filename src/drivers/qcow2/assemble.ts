/** The parts of an open disk, put together: caches, reference counts, the allocator, the writer. */
import { Allocator } from './allocator.ts';
import { CompressedSpace } from './compressed-space.ts';
import type { Disk } from './disk.ts';
import { refreshPlaces } from './first-write.ts';
import { cacheSizes, overlapKinds, type Qcow2Options } from './options.ts';
import { OverlapCheck } from './overlap-check.ts';
import { RefcountTable } from './refcount-table.ts';
import { Refcounts } from './refcounts.ts';
import { TableCache } from './table-cache.ts';
import { WriteOut } from './write-out.ts';

/** `refcountTable` is that table as it is on disk. */
export function assemble(disk: Disk, refcountTable: Uint8Array, options: Qcow2Options): void {
  const { geometry, header, file, fileName } = disk;
  const sizes = cacheSizes(options, geometry, header.size);
  const writer = new WriteOut(disk);
  const overlap = new OverlapCheck(geometry.clusterSize, overlapKinds(options));
  const l2 = new TableCache({
    source: () => ({
      read: (offset, buf) => disk.announcing('l2_load', () => disk.file.read(offset, buf)),
    }),
    entrySize: sizes.l2Entry,
    maxBytes: sizes.l2,
    writeUnit: 512,
    relieve: () => writer.run(),
  });
  const refcounts = new Refcounts({
    table: new RefcountTable({
      offset: header.refcountTableOffset,
      bytes: refcountTable,
      clusterSize: geometry.clusterSize,
      corrupt: (what) => disk.corrupt(what),
    }),
    cache: new TableCache({
      source: () => disk.file,
      entrySize: geometry.clusterSize,
      maxBytes: sizes.refcount,
      writeUnit: 512,
      relieve: () => writer.writeCounts(),
    }),
    geometry,
    fileName,
  });
  const allocator = new Allocator({
    refcounts,
    geometry,
    fileName,
    fileSize: file.size,
    blockAdded: (offset) => overlap.add('refcount-block', offset),
    assertVacant: (space) => disk.assertVacant(space),
    tableMoved: () => refreshPlaces(disk),
    get announces() {
      return disk.announces;
    },
    announce: (event) => file.event(event),
  });
  const compressedSpace = new CompressedSpace({ allocator, refcounts, geometry });
  const again = (table: Uint8Array): void => assemble(disk, table, options);
  disk.assemble({ l2, refcounts, allocator, writer, overlap, compressedSpace, again });
}
