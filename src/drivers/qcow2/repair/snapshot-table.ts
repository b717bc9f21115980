/**
 * The snapshot table put right. Entries at its end are cut off by one write of their number. A table that needs other
 * entries is written to a free place, counted there, and the header switched over; then the old place is free.
 */
import type { FoundSnapshots } from '../check/count-references.ts';
import type { RefcountTableCopy } from '../check/refcount-blocks.ts';
import type { CheckState } from '../check/state.ts';
import { HEADER_OFFSET } from '../meta/header.ts';
import { encodeSnapshotTable } from '../meta/snapshot-table.ts';
import { setU64, viewOf } from '../meta/struct.ts';
import { FreeClusters } from './free-clusters.ts';
import type { FreedSpace } from './freed-space.ts';
import { hasAllBlocks, overwriteCounts } from './overwrite-counts.ts';
import { rebuildCounts } from './rebuild-counts.ts';

/** Give up entries past the limits. What only they referred to is leaked afterwards. */
export async function cutSnapshots(state: CheckState, found: FoundSnapshots): Promise<void> {
  if (found.overhanging === 0) return;
  const { header, file } = state.image;
  const bytes = new Uint8Array(4);
  viewOf(bytes).setUint32(0, found.snapshots.length);
  await file.write(HEADER_OFFSET.nbSnapshots, bytes);
  await file.flush();
  header.nbSnapshots = found.snapshots.length;
  state.result.corruptionsFixed += found.overhanging;
}

export interface RewriteOptions {
  /** The counts in `state` are those of this table. */
  readonly table: RefcountTableCopy;
  /** Nothing below this cluster is written to. */
  readonly from: number;
  readonly freed: FreedSpace;
}

/** Write the entries anew where some have to change. Returns the refcount table that is now the image's. */
export async function rewriteSnapshots(
  state: CheckState,
  found: FoundSnapshots,
  { table, from, freed }: RewriteOptions,
): Promise<RefcountTableCopy> {
  if (found.cut.length === 0 && found.incomplete.length === 0) return table;
  const { header, file } = state.image;
  const { clusterSize } = state.geometry;
  const snapshots = found.snapshots.map((snapshot) => ({ ...snapshot, diskSize: snapshot.diskSize ?? header.size }));
  const bytes = encodeSnapshotTable(snapshots);
  const first = new FreeClusters(state, from).take(Math.ceil(bytes.length / clusterSize));
  await file.write(first * clusterSize, bytes);
  state.clusters = Math.max(state.clusters, Math.ceil(file.size / clusterSize));
  let current = table;
  if (hasAllBlocks(state, table)) await overwriteCounts(state, table);
  else current = await rebuildCounts(state, table, { from, freed });
  await file.flush();

  const old = header.snapshotsOffset / clusterSize;
  const pointer = new Uint8Array(8);
  setU64(viewOf(pointer), 0, first * clusterSize);
  await file.write(HEADER_OFFSET.snapshotsOffset, pointer);
  await file.flush();
  header.snapshotsOffset = first * clusterSize;
  for (let index = 0; index < Math.ceil(found.byteLength / clusterSize); index++) {
    if (state.counts.add(old + index, -1) === 0) freed.add(old + index);
  }
  await overwriteCounts(state, current);
  for (const index of found.incomplete) state.note(`Repairing snapshot table entry ${index} is incomplete`);
  state.result.corruptionsFixed += found.cut.length + found.incomplete.length;
  return current;
}
