/** Writing compressed clusters: packed side by side on the thread pool, placed in the order they were given. */
import { after, type Maybe } from '../../core/async/maybe.ts';
import { BlockError, NotSupported } from '../../core/errors/block-error.ts';
import { relieveDeferred } from './allocating-write.ts';
import { compress } from './codec.ts';
import type { Disk } from './disk.ts';
import { l2SliceForWrite } from './l2-tables.ts';
import { freeEntry } from './link.ts';
import { compressedEntry } from './meta/entries.ts';
import { orUndo, walk } from './sequence.ts';
import { writev } from './write.ts';

/** Store `buf` compressed; whole clusters, of which the last may end at the end of the disk. */
export function writeCompressed(disk: Disk, offset: number, buf: Uint8Array): Maybe<void> {
  const { clusterSize } = disk.geometry;
  if (disk.dataFile) {
    throw new NotSupported(`'${disk.fileName}' has an external data file, which cannot hold compressed clusters`);
  }
  if (disk.encryption) {
    throw new NotSupported(`'${disk.fileName}' is encrypted and cannot hold compressed clusters`);
  }
  const end = offset + buf.length;
  if (offset % clusterSize !== 0 || (end % clusterSize !== 0 && end !== disk.size)) {
    throw new BlockError(
      `a compressed write of ${buf.length} bytes at ${offset} does not cover whole clusters of ${clusterSize} bytes`,
      { code: 'EINVAL' },
    );
  }
  return walk(buf.length, (at, pending) => {
    const part = buf.subarray(at, at + clusterSize);
    pending.start(() => writeOne(disk, offset + at, part));
    return part.length;
  });
}

async function writeOne(disk: Disk, offset: number, part: Uint8Array): Promise<void> {
  // Room is taken in the order of the calls, although the sizes are known in another: the same input gives the same image.
  const turn = disk.turns.take();
  const place = async () => {
    const packed = await compress(disk.header.compressionType, padded(part, disk.geometry.clusterSize));
    if (turn.ready) await turn.ready;
    if (!packed) return undefined;
    // The table comes before the data, as with other writes, so that compressed clusters are not torn apart by it.
    await tableReady(disk, Math.floor(offset / disk.geometry.clusterSize));
    return { packed, host: await disk.compressedSpace.allocate(packed.length) };
  };
  const placed = await place().catch((error: unknown) => {
    turn.pass();
    throw error;
  });
  if (!placed) return writev(disk, { offset, bufs: [part], length: part.length }, turn);
  turn.pass();
  const { packed, host } = placed;
  await orUndo(
    () => store(disk, offset, host, packed),
    () => freeBytes(disk, host, packed.length),
  );
  await relieveDeferred(disk);
}

/** Wait until there is a table for that cluster that may be changed. */
async function tableReady(disk: Disk, cluster: number): Promise<void> {
  const { l2Entries } = disk.geometry;
  while (!(await l2SliceForWrite(disk, Math.floor(cluster / l2Entries), cluster % l2Entries))) {}
}

/** The end of the disk within a cluster is filled up with zeroes: a compressed cluster is always whole. */
function padded(part: Uint8Array, clusterSize: number): Uint8Array {
  if (part.length === clusterSize) return part;
  const whole = Buffer.alloc(clusterSize);
  whole.set(part);
  return whole;
}

async function store(disk: Disk, offset: number, host: number, packed: Uint8Array): Promise<void> {
  disk.assertUsable();
  disk.assertNoOverlap(host, packed.length);
  await disk.announcing('write_compressed', () => disk.file.write(host, packed));
  await disk.file.event('l2_update_compressed');
  const cluster = Math.floor(offset / disk.geometry.clusterSize);
  await disk.inFlight.settle(cluster, cluster + 1);
  await link(disk, cluster, host, packed.length);
}

/** From the check for requests in flight to the change of the entry there is no wait but for tables. */
function link(disk: Disk, cluster: number, host: number, length: number): Maybe<void> {
  const { geometry } = disk;
  const l1Index = Math.floor(cluster / geometry.l2Entries);
  const l2Index = cluster % geometry.l2Entries;
  const slice = l2SliceForWrite(disk, l1Index, l2Index);
  const again = (): Maybe<void> =>
    after(disk.inFlight.settle(cluster, cluster + 1), () => link(disk, cluster, host, length));
  if (slice instanceof Promise) return slice.then(again);
  if (!slice || disk.inFlight.overlapping(cluster, cluster + 1)) return again();
  const at = (l2Index % disk.sliceEntries) * geometry.l2EntrySize;
  const old = { hi: slice.view.getUint32(at), lo: slice.view.getUint32(at + 4) };
  const entry = compressedEntry(geometry, host, length);
  slice.view.setUint32(at, entry.hi);
  slice.view.setUint32(at + 4, entry.lo);
  if (geometry.extendedL2) {
    slice.view.setUint32(at + 8, 0);
    slice.view.setUint32(at + 12, 0);
  }
  disk.l2.markDirty(slice, at, at + geometry.l2EntrySize);
  disk.unsettled = true;
  freeEntry(disk, { ...old, reason: 'never' });
}

/** Give back what `inTurn` counted. */
function freeBytes(disk: Disk, host: number, length: number): void {
  const { clusterSize } = disk.geometry;
  const first = Math.floor(host / clusterSize);
  disk.allocator.free(first, Math.floor((host + length - 1) / clusterSize) - first + 1, 'never');
}
