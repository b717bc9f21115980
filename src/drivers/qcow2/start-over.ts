/**
 * Emptying an image without looking at what it holds: everything is to go, so nothing needs to be counted down. The
 * header stays, and gets new tables right behind it, as a new image has them:
 *
 *   dirty bit → L1 entries cleared → room for the tables cleared → header → counts → dirty bit off → file cut off
 *
 * each stable before the next. Once the L1 table is clear the image is an empty one, whatever else of it is overwritten.
 * Until the counts are written they are wrong, and the dirty bit has the next one who opens the image for writing build
 * them anew. For that it takes version 3, and there must be nothing but the disk in the file.
 */
import type { Edge } from '../../core/block/graph/edge.ts';
import type { Disk } from './disk.ts';
import { clearDirtyBit, markDirty } from './first-write.ts';
import { ExtensionType, findExtension } from './meta/extensions.ts';
import { clustersFor } from './meta/geometry.ts';
import { setRefcount } from './meta/refcount-entry.ts';
import { viewOf } from './meta/struct.ts';

/** Clusters of the tables, which follow the one of the header: one of the refcount table, its block, the L1 table. */
const TABLE_AT = 1;
const BLOCK_AT = 2;
const L1_AT = 3;

/** Clusters of an empty image. */
function clustersOfEmpty({ geometry, header }: Disk): number {
  return L1_AT + clustersFor(geometry, header.l1Size * 8);
}

export function canStartOver(disk: Disk): boolean {
  const { header, geometry, dataFile, encryption, parts } = disk;
  if (header.version < 3 || header.nbSnapshots > 0 || dataFile || encryption?.format === 'luks') return false;
  if (findExtension(parts.extensions, ExtensionType.BITMAPS)) return false;
  return clustersOfEmpty(disk) <= geometry.refcountBlockEntries;
}

/** Nobody else uses the image meanwhile. After a failure it is written to no more until it is opened anew. */
export async function startOver(disk: Disk): Promise<void> {
  await disk.writer.settle();
  await markDirty(disk);
  try {
    await clearL1(disk);
    await makeRoom(disk);
    await moveTables(disk);
    await writeCounts(disk);
    await clearDirtyBit(disk);
  } catch (error) {
    disk.retire('emptying it broke off');
    throw error;
  }
  takeOver(disk);
  await cutOff(disk);
}

async function clearL1({ file, l1 }: Disk): Promise<void> {
  await file.event('l1_update');
  if (l1.entries > 0) await file.zero(l1.offset, l1.entries * 8);
  await file.flush();
}

async function makeRoom(disk: Disk): Promise<void> {
  const { file, geometry } = disk;
  const end = clustersOfEmpty(disk) * geometry.clusterSize;
  await file.event('empty_image_prepare');
  if (file.size < end) await file.truncate(end, { exact: false });
  await file.zero(geometry.clusterSize, end - geometry.clusterSize);
  await file.flush();
}

/** All places change in one sector of the header. */
async function moveTables(disk: Disk): Promise<void> {
  const { file, header, geometry } = disk;
  await file.event('l1_update');
  await file.event('reftable_update');
  header.l1TableOffset = L1_AT * geometry.clusterSize;
  header.refcountTableOffset = TABLE_AT * geometry.clusterSize;
  header.refcountTableClusters = 1;
  await disk.writeHeaderFields();
  await file.flush();
}

async function writeCounts(disk: Disk): Promise<void> {
  const { file, geometry } = disk;
  const { clusterSize, refcountOrder } = geometry;
  await file.event('refblock_alloc');
  await file.write(TABLE_AT * clusterSize, refcountTable(disk));
  const block = Buffer.alloc(clusterSize);
  const view = viewOf(block);
  for (let cluster = 0; cluster < clustersOfEmpty(disk); cluster++) setRefcount(view, cluster, refcountOrder, 1);
  await file.write(BLOCK_AT * clusterSize, block);
  await file.flush();
}

function refcountTable({ geometry: { clusterSize } }: Disk): Buffer {
  const table = Buffer.alloc(clusterSize);
  table.writeBigUInt64BE(BigInt(BLOCK_AT * clusterSize));
  return table;
}

/** What is in memory, as it now is on disk. */
function takeOver(disk: Disk): void {
  const { header, l1 } = disk;
  l1.replaceBy(header.l1TableOffset, new Uint8Array(header.l1Size * 8));
  disk.decompressed.clear();
  disk.preallocated = undefined;
  disk.unsettled = false;
  disk.reassemble(refcountTable(disk));
}

/** Give the rest of the file back; what cannot be cut off (a device) is discarded. */
async function cutOff(disk: Disk): Promise<void> {
  const { file, geometry } = disk;
  const end = clustersOfEmpty(disk) * geometry.clusterSize;
  if (file.size > end) await file.truncate(end, { exact: false });
  await discardFrom(file, end);
}

async function discardFrom(file: Edge, offset: number): Promise<void> {
  if (file.size > offset) await file.discard(offset, file.size - offset);
}
