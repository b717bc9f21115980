/** Making L2 entries point at clusters whose data has been written, and letting go of what they pointed at. */
import type { FreeReason } from './allocator.ts';
import type { CowBounds } from './cow-bounds.ts';
import type { Disk } from './disk.ts';
import {
  ClusterKind,
  clusterKind,
  compressedRange,
  entryHi,
  entryLo,
  hostOffset,
  subclusterMask,
} from './meta/entries.ts';
import type { Table } from './table-cache.ts';
import type { WritePlan } from './write-plan.ts';

export interface Link {
  readonly plan: WritePlan;
  /** Host offset of the first cluster. */
  readonly host: number;
  /** Bytes [headFrom, tailTo) from the start of the first cluster hold content. */
  readonly bounds: CowBounds;
}

/** Point the entries of a stretch at contiguous host clusters. */
export function linkClusters(disk: Disk, table: Table, link: Link): void {
  const { clusterSize, l2Entries, l2EntrySize, extendedL2 } = disk.geometry;
  const { cluster, clusters } = link.plan;
  const { view } = table;
  const first = (cluster % l2Entries) % disk.sliceEntries;
  for (let n = 0; n < clusters; n++) {
    const at = (first + n) * l2EntrySize;
    const host = link.host + n * clusterSize;
    const oldHi = view.getUint32(at);
    const oldLo = view.getUint32(at + 4);
    view.setUint32(at, entryHi(host, true));
    view.setUint32(at + 4, entryLo(host));
    if (extendedL2) linkSubclusters(disk, view, { at, n, bounds: link.bounds, oldHi, oldLo });
    if (oldHi !== 0 || oldLo !== 0) freeEntry(disk, { hi: oldHi, lo: oldLo, unless: host, reason: 'never' });
  }
  disk.l2.markDirty(table, first * l2EntrySize, (first + clusters) * l2EntrySize);
}

interface SubclusterLink {
  /** Byte offset of the entry in its slice. */
  readonly at: number;
  /** Which cluster of the stretch. */
  readonly n: number;
  readonly bounds: CowBounds;
  readonly oldHi: number;
  readonly oldLo: number;
}

/** Written subclusters become allocated; others keep their state. */
function linkSubclusters(disk: Disk, view: DataView, link: SubclusterLink): void {
  const { clusterSize, subclusterSize } = disk.geometry;
  const start = link.n * clusterSize;
  const from = Math.max(0, link.bounds.headFrom - start);
  const to = Math.min(clusterSize, link.bounds.tailTo - start);
  const written = subclusterMask(Math.floor(from / subclusterSize), Math.ceil(to / subclusterSize));
  const kept = clusterKind(disk.geometry, link.oldHi, link.oldLo, !!disk.dataFile) !== ClusterKind.COMPRESSED;
  const zero = kept ? view.getUint32(link.at + 8) : 0;
  const allocated = kept ? view.getUint32(link.at + 12) : 0;
  view.setUint32(link.at + 8, (zero & ~written) >>> 0);
  view.setUint32(link.at + 12, (allocated | written) >>> 0);
}

export interface OldEntry {
  readonly hi: number;
  readonly lo: number;
  /** A host offset that stays in use. */
  readonly unless?: number;
  readonly reason: FreeReason;
}

/** Drop the reference that an old L2 entry held in the image file. Guest clusters in a data file are not counted. */
export function freeEntry(disk: Disk, old: OldEntry): void {
  if (disk.dataFile) return;
  const { clusterSize } = disk.geometry;
  const kind = clusterKind(disk.geometry, old.hi, old.lo, false);
  if (kind === ClusterKind.COMPRESSED) {
    const { offset, length } = compressedRange(disk.geometry, old.hi, old.lo);
    const first = Math.floor(offset / clusterSize);
    disk.allocator.free(first, Math.floor((offset + length - 1) / clusterSize) - first + 1, old.reason);
    return;
  }
  if (kind !== ClusterKind.NORMAL && kind !== ClusterKind.ZERO_ALLOC) return;
  const host = hostOffset(old.hi, old.lo);
  if (host !== old.unless) disk.allocator.free(host / clusterSize, 1, old.reason);
}
