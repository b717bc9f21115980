/**
 * Reference counts from nothing: new blocks and a new table are written to clusters that nothing refers to, made stable,
 * and then the header is switched over to them. Until that moment the image is as it was, from then on the new counts
 * hold, in which the old structures are free.
 */
import { CorruptImage } from '../../../core/errors/block-error.ts';
import { isCountedBlock, type RefcountTableCopy } from '../check/refcount-blocks.ts';
import type { CheckState } from '../check/state.ts';
import { entryHi, entryLo } from '../meta/entries.ts';
import { encodeHeader } from '../meta/header.ts';
import { Limit } from '../meta/limits.ts';
import { viewOf } from '../meta/struct.ts';
import { encodeBlock, neededBlocks } from './count-blocks.ts';
import { FreeClusters } from './free-clusters.ts';
import type { FreedSpace } from './freed-space.ts';

export interface RebuildOptions {
  /** Nothing below this cluster is written to. */
  readonly from: number;
  readonly freed?: FreedSpace;
}

interface Placement {
  /** Cluster of each block, by index. */
  readonly blocks: ReadonlyMap<number, number>;
  readonly tableAt: number;
  readonly tableClusters: number;
}

/** Write a new table and new blocks, and make them the image's. Returns the new table. */
export async function rebuildCounts(
  state: CheckState,
  old: RefcountTableCopy,
  options: RebuildOptions,
): Promise<RefcountTableCopy> {
  const { file, header } = state.image;
  const { clusterSize } = state.geometry;
  const placement = place(state, options.from);
  forgetOldStructures(state, old, options.freed);
  const table = new Uint8Array(placement.tableClusters * clusterSize);
  const view = viewOf(table);
  const offsets = new Float64Array(table.length / 8);
  for (const [index, cluster] of placement.blocks) {
    const offset = cluster * clusterSize;
    offsets[index] = offset;
    view.setUint32(index * 8, entryHi(offset, false));
    view.setUint32(index * 8 + 4, entryLo(offset));
    await file.write(offset, encodeBlock(state, index));
    await state.breathe();
  }
  await file.write(placement.tableAt * clusterSize, table);
  await file.flush();
  header.refcountTableOffset = placement.tableAt * clusterSize;
  header.refcountTableClusters = placement.tableClusters;
  // Place and width are in the first sector: they change together.
  await file.write(0, encodeHeader(header));
  await file.flush();
  state.clusters = Math.max(state.clusters, Math.ceil(file.size / clusterSize));
  return { offsets, reserved: new Set(), clusters: placement.tableClusters };
}

/** Room for table and blocks, counted; the counts of these clusters may need further blocks. */
function place(state: CheckState, from: number): Placement {
  const { clusterSize } = state.geometry;
  const free = new FreeClusters(state, from);
  const blocks = new Map<number, number>();
  let tableAt = 0;
  let tableClusters = 0;
  for (;;) {
    const needed = neededBlocks(state);
    const missing = needed.filter((index) => !blocks.has(index));
    const wanted = Math.max(1, Math.ceil((((needed.at(-1) ?? 0) + 1) * 8) / clusterSize));
    if (missing.length === 0 && wanted <= tableClusters) return { blocks, tableAt, tableClusters };
    for (const index of missing) blocks.set(index, free.take(1));
    if (wanted <= tableClusters) continue;
    assertTableSize(state, wanted);
    for (let at = 0; at < tableClusters; at++) state.counts.add(tableAt + at, -1);
    tableAt = free.take(wanted);
    tableClusters = wanted;
  }
}

function assertTableSize(state: CheckState, clusters: number): void {
  const { clusterSize } = state.geometry;
  if (clusters * clusterSize <= Limit.MAX_REFCOUNT_TABLE_BYTES) return;
  const limit = Limit.MAX_REFCOUNT_TABLE_BYTES / clusterSize;
  throw new CorruptImage(
    `'${state.image.fileName}': the refcount table would take ${clusters} clusters, the limit is ${limit}`,
    { code: 'EFBIG' },
  );
}

function forgetOldStructures(state: CheckState, table: RefcountTableCopy, freed: FreedSpace | undefined): void {
  const { counts, image, fileSize } = state;
  const { clusterSize } = state.geometry;
  const from = image.header.refcountTableOffset;
  const old: number[] = [];
  if (from + table.clusters * clusterSize - fileSize < clusterSize) {
    for (let index = 0; index < table.clusters; index++) old.push(from / clusterSize + index);
  }
  for (const [index, offset] of table.offsets.entries()) {
    if (isCountedBlock(state, table, index)) old.push(offset / clusterSize);
  }
  old.sort((a, b) => a - b);
  for (let at = 0; at < old.length; ) {
    const cluster = old[at] ?? 0;
    const before = counts.get(cluster);
    let left = before;
    // A damaged table can name one block many times.
    for (; old[at] === cluster; at++) left = counts.add(cluster, -1);
    state.note(`Repairing cluster ${cluster} refcount=${before} reference=${left}`);
    if (left === 0) freed?.add(cluster);
  }
}
