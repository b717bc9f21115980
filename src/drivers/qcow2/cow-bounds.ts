/**
 * How far a partial write reaches beyond its data: to the ends of its clusters, or with extended entries to
 * those of its subclusters, as far as these have content that must come along.
 */
import type { Disk } from './disk.ts';
import { ClusterKind, clusterKind } from './meta/entries.ts';
import type { Table } from './table-cache.ts';
import { Treatment, type WritePlan } from './write-plan.ts';

/** Bytes from the start of the plan's first cluster: everything in [headFrom, tailTo) will be on the host. */
export interface CowBounds {
  readonly headFrom: number;
  readonly tailTo: number;
}

export function cowBounds(disk: Disk, table: Table, plan: WritePlan): CowBounds {
  const { clusterSize, extendedL2 } = disk.geometry;
  const dataEnd = plan.inCluster + plan.length;
  const end = plan.clusters * clusterSize;
  if (plan.inCluster === 0 && dataEnd === end) return { headFrom: 0, tailTo: end };
  if (!extendedL2) {
    return {
      headFrom: staysAsIs(disk, table, plan, plan.cluster) ? plan.inCluster : 0,
      tailTo: staysAsIs(disk, table, plan, plan.cluster + plan.clusters - 1) ? dataEnd : end,
    };
  }
  const lastStart = end - clusterSize;
  const firstFrom = plan.inCluster;
  const lastTo = dataEnd - lastStart;
  return {
    headFrom: lowest(disk, table, plan, firstFrom),
    tailTo: lastStart + highest(disk, table, plan, lastTo),
  };
}

/** The cluster holds data and keeps its place: what lies beside the request is there, and others may be writing to it. */
function staysAsIs(disk: Disk, table: Table, plan: WritePlan, cluster: number): boolean {
  if (plan.treatment !== Treatment.KEEP) return false;
  const { geometry, dataFile } = disk;
  const at = indexOf(disk, cluster) * geometry.l2EntrySize;
  const { view } = table;
  return clusterKind(geometry, view.getUint32(at), view.getUint32(at + 4), !!dataFile) === ClusterKind.NORMAL;
}

interface Old {
  readonly compressed: boolean;
  /** Subclusters allocated in the old host cluster. */
  readonly allocated: number;
}

function oldEntry(disk: Disk, table: Table, index: number): Old {
  const { view } = table;
  const kind = clusterKind(disk.geometry, view.getUint32(index * 16), view.getUint32(index * 16 + 4), !!disk.dataFile);
  const allocated = kind === ClusterKind.NORMAL ? view.getUint32(index * 16 + 12) : 0;
  return { compressed: kind === ClusterKind.COMPRESSED, allocated };
}

function indexOf(disk: Disk, cluster: number): number {
  return (cluster % disk.geometry.l2Entries) % disk.sliceEntries;
}

/** Where the first cluster's content must begin, given that its data begins at `from`. */
function lowest(disk: Disk, table: Table, plan: WritePlan, from: number): number {
  const { subclusterSize } = disk.geometry;
  const old = oldEntry(disk, table, indexOf(disk, plan.cluster));
  if (old.compressed) return 0;
  const sub = Math.floor(from / subclusterSize);
  if (plan.treatment === Treatment.KEEP) {
    // An allocated subcluster stays where it is, and other requests may be writing to it.
    return (old.allocated >>> sub) & 1 ? from : sub * subclusterSize;
  }
  const firstAllocated = old.allocated === 0 ? 32 : 31 - Math.clz32(old.allocated & -old.allocated);
  return Math.min(sub, firstAllocated) * subclusterSize;
}

/** Where the last cluster's content must end, given that its data ends at `to`. */
function highest(disk: Disk, table: Table, plan: WritePlan, to: number): number {
  const { subclusterSize, clusterSize } = disk.geometry;
  const old = oldEntry(disk, table, indexOf(disk, plan.cluster + plan.clusters - 1));
  if (old.compressed) return clusterSize;
  const sub = Math.ceil(to / subclusterSize);
  if (plan.treatment === Treatment.KEEP) {
    return (old.allocated >>> (sub - 1)) & 1 ? to : sub * subclusterSize;
  }
  return Math.max(sub, 32 - Math.clz32(old.allocated)) * subclusterSize;
}
