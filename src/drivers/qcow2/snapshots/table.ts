/** The snapshot table and the L1 tables of snapshots: reading and placing them. */
import { BlockError, CorruptImage } from '../../../core/errors/block-error.ts';
import type { Disk } from '../disk.ts';
import { collectSnapshot, tableBytes } from '../first-write.ts';
import { L1Table } from '../l1-table.ts';
import { Limit } from '../meta/limits.ts';
import { decodeSnapshotTable, encodeSnapshotTable, type Snapshot, validateSnapshotL1 } from '../meta/snapshot-table.ts';

/** A change that is made by one write of the header: up to there it can be taken back, from there on it cannot. */
export interface Switch {
  done: boolean;
}

/** The L1 table of a snapshot, in memory. */
export async function snapshotL1(disk: Disk, snapshot: Snapshot): Promise<L1Table> {
  const { fileName, file, geometry } = disk;
  validateSnapshotL1(snapshot, geometry.clusterSize, fileName);
  const { l1TableOffset, l1Size, id } = snapshot;
  const end = l1TableOffset + l1Size * 8;
  if (l1Size > 0 && (l1TableOffset === 0 || end > file.size)) {
    throw new CorruptImage(
      `'${fileName}': the L1 table of snapshot '${id}' lies at ${l1TableOffset} and ends at ${end}, the file at ${file.size}`,
    );
  }
  const bytes = new Uint8Array(l1Size * 8);
  if (bytes.length > 0) await file.read(l1TableOffset, bytes);
  return new L1Table(l1TableOffset, bytes, 512);
}

/** Clusters for a table of `length` bytes, counted in memory; returns the host offset, 0 for an empty one. */
export async function allocateTable(disk: Disk, length: number): Promise<number> {
  if (length === 0) return 0;
  const { clusterSize } = disk.geometry;
  const clusters = Math.ceil(length / clusterSize);
  const first = await disk.allocator.allocate(clusters, 'snapshot table');
  disk.allocator.touch(first + clusters);
  return first * clusterSize;
}

export function freeTable(disk: Disk, offset: number, length: number): void {
  const { clusterSize } = disk.geometry;
  if (offset !== 0) disk.allocator.free(offset / clusterSize, Math.ceil(length / clusterSize), 'snapshot');
}

/** Write a table in whole clusters, so that nothing of what was there before stays behind it. */
export async function writeTable(disk: Disk, offset: number, bytes: Uint8Array): Promise<void> {
  if (bytes.length === 0) return;
  const { clusterSize } = disk.geometry;
  const whole = new Uint8Array(Math.ceil(bytes.length / clusterSize) * clusterSize);
  whole.set(bytes);
  await disk.file.write(offset, whole);
}

/**
 * Make `snapshots` the image's: a new table at a new place, stable before the header names it. The old table is given
 * back with the next write-out. Whatever the new table points at must be counted already; that is written out here.
 */
export async function replaceSnapshots(disk: Disk, snapshots: readonly Snapshot[], change: Switch): Promise<void> {
  const { header, file } = disk;
  const old = { offset: header.snapshotsOffset, count: header.nbSnapshots, bytes: storedBytes(disk) };
  // Version 2 does not have to say how long the disk was; there it has not changed since.
  const complete = snapshots.map((each) => ({ ...each, diskSize: each.diskSize ?? header.size }));
  const bytes = encodeSnapshotTable(complete);
  if (bytes.length > Limit.MAX_SNAPSHOT_TABLE_BYTES) {
    throw new BlockError(
      `'${disk.fileName}': the snapshot table would have ${bytes.length} bytes, the limit is ${Limit.MAX_SNAPSHOT_TABLE_BYTES}`,
      { code: 'EFBIG' },
    );
  }
  const stored = decodeSnapshotTable(bytes, complete.length, disk.fileName);
  if (!('snapshots' in stored)) throw new Error('an encoded snapshot table cannot be decoded');
  const offset = await allocateTable(disk, bytes.length);
  try {
    await writeTable(disk, offset, bytes);
    await disk.writer.settle();
  } catch (error) {
    freeTable(disk, offset, bytes.length);
    throw error;
  }
  header.snapshotsOffset = offset;
  header.nbSnapshots = complete.length;
  change.done = true;
  try {
    // Both fields lie in one sector.
    await disk.writeHeaderFields();
    await file.flush();
  } catch (error) {
    // Which of the two is on disk is not known: both stay counted.
    header.snapshotsOffset = old.offset;
    header.nbSnapshots = old.count;
    throw error;
  }
  disk.snapshots = stored.snapshots;
  await protect(disk);
  freeTable(disk, old.offset, old.bytes);
}

/** Bytes that the table takes in the file now: all entries padded, as they were read or written. */
function storedBytes({ snapshots, header }: Disk): number {
  if (header.snapshotsOffset === 0 || header.nbSnapshots === 0) return 0;
  return snapshots.reduce((sum, each) => {
    const idLength = each.idBytes?.length ?? Buffer.byteLength(each.id);
    const nameLength = each.nameBytes?.length ?? Buffer.byteLength(each.name);
    const variable = each.extra.length + idLength + nameLength;
    return sum + 40 + Math.ceil(variable / 8) * 8;
  }, 0);
}

/** Keep writes off the new places. */
async function protect(disk: Disk): Promise<void> {
  const { overlap, header, snapshots } = disk;
  overlap.setRange('snapshot-table', header.snapshotsOffset, tableBytes(snapshots));
  const newest = snapshots.at(-1);
  if (newest) await collectSnapshot(disk, newest);
}
