/**
 * Deciding what a write has to do, from the L2 slice alone and without waiting: the longest stretch of guest
 * clusters that want the same treatment.
 */
import type { Disk } from './disk.ts';
import type { InFlightRange } from './in-flight.ts';
import { checkHost, checkSubclusters } from './mapping.ts';
import {
  ALL_SUBCLUSTERS,
  ClusterKind,
  clusterKind,
  hostOffset,
  isCopied,
  similarEntries,
  subclusterMask,
} from './meta/entries.ts';
import type { Table } from './table-cache.ts';

export const Treatment = {
  /** The clusters are the disk's own and hold data: write into them. */
  IN_PLACE: 0,
  /** The host clusters stay, but entries among them change (a zero flag goes, subclusters come). */
  KEEP: 1,
  /** New host clusters, new entries. */
  ALLOCATE: 2,
} as const;
export type Treatment = (typeof Treatment)[keyof typeof Treatment];

export interface WritePlan {
  readonly treatment: Treatment;
  /** Guest cluster number of the first cluster, and how many. */
  readonly cluster: number;
  readonly clusters: number;
  /** Bytes of the request before the data in the first cluster. */
  readonly inCluster: number;
  /** Bytes of the request that this plan covers. */
  readonly length: number;
  /** Host offset of the first cluster, unless it has still to be allocated. */
  readonly host: number;
}

/** The plan for the start of a request, or what has to end first. */
export function planWrite(disk: Disk, table: Table, offset: number, length: number): WritePlan | InFlightRange {
  const { clusterSize } = disk.geometry;
  const cluster = Math.floor(offset / clusterSize);
  const inCluster = offset - cluster * clusterSize;
  const index = (cluster % disk.geometry.l2Entries) % disk.sliceEntries;
  let most = Math.min(disk.sliceEntries - index, Math.ceil((inCluster + length) / clusterSize));
  const conflict = disk.inFlight.overlapping(cluster, cluster + most);
  if (conflict) {
    if (conflict.first <= cluster) return conflict;
    most = conflict.first - cluster;
  }
  const end = inCluster + length;
  const cell = { table, index, cluster, from: inCluster, to: Math.min(end, clusterSize) };
  let treatment = treatmentOf(disk, cell);
  const host = treatment === Treatment.ALLOCATE ? -1 : hostOf(disk, cell);
  let clusters = sameClusters(disk, cell, { most: Math.min(most, Math.floor(end / clusterSize)), hosted: host >= 0 });
  for (; clusters < most; clusters++) {
    const next = {
      table,
      index: index + clusters,
      cluster: cluster + clusters,
      from: 0,
      to: Math.min(end - clusters * clusterSize, clusterSize),
    };
    const wanted = treatmentOf(disk, next);
    if ((wanted === Treatment.ALLOCATE) !== (treatment === Treatment.ALLOCATE)) break;
    if (host >= 0 && hostOf(disk, next) !== host + clusters * clusterSize) break;
    // Clusters that stay where they are go to the host in one request, whether or not their entries change.
    if (wanted === Treatment.KEEP) treatment = Treatment.KEEP;
  }
  return {
    treatment,
    cluster,
    clusters,
    inCluster,
    length: Math.min(length, clusters * clusterSize - inCluster),
    host,
  };
}

/**
 * How many clusters from `cell` on, `most` at most and each covered as a whole, have an entry like it, as nearly all have:
 * they want the same treatment. There may be more that do.
 */
function sameClusters(
  { geometry }: Disk,
  { table, index }: Cell,
  { most, hosted }: { readonly most: number; readonly hosted: boolean },
): number {
  if (geometry.extendedL2 || most <= 1) return 1;
  const span = { from: index * 8, to: (index + most) * 8, entrySize: 8 };
  return similarEntries(table.view, span, hosted ? geometry.clusterSize : 0);
}

/** One cluster of the disk and the bytes [from, to) of it that are to be written. */
interface Cell {
  readonly table: Table;
  readonly index: number;
  readonly cluster: number;
  readonly from: number;
  readonly to: number;
}

function treatmentOf(disk: Disk, cell: Cell): Treatment {
  const { geometry } = disk;
  const at = cell.index * geometry.l2EntrySize;
  const hi = cell.table.view.getUint32(at);
  const lo = cell.table.view.getUint32(at + 4);
  const inDataFile = disk.dataFile !== undefined;
  const kind = clusterKind(geometry, hi, lo, inDataFile);
  if (geometry.extendedL2 && kind !== ClusterKind.COMPRESSED) {
    checkSubclusters(disk, cell.table.view, cell.index, kind === ClusterKind.NORMAL);
  }
  if (kind === ClusterKind.NORMAL || kind === ClusterKind.ZERO_ALLOC) {
    checkHost(disk, hostOffset(hi, lo), cell.cluster);
    if (!inDataFile && !isCopied(hi)) return Treatment.ALLOCATE;
    if (kind === ClusterKind.ZERO_ALLOC) return Treatment.KEEP;
    return geometry.extendedL2 && !hasSubclusters(disk, cell) ? Treatment.KEEP : Treatment.IN_PLACE;
  }
  if (kind === ClusterKind.COMPRESSED && inDataFile) {
    throw disk.corrupt(`guest cluster ${cell.cluster} is compressed although an external data file is used`);
  }
  return inDataFile ? Treatment.KEEP : Treatment.ALLOCATE;
}

/** All subclusters that the cell's bytes touch are allocated. */
function hasSubclusters(disk: Disk, cell: Cell): boolean {
  const allocated = cell.table.view.getUint32(cell.index * 16 + 12);
  if (allocated === ALL_SUBCLUSTERS) return true;
  const { subclusterSize } = disk.geometry;
  const mask = subclusterMask(Math.floor(cell.from / subclusterSize), Math.ceil(cell.to / subclusterSize));
  return (allocated & mask) >>> 0 === mask;
}

function hostOf(disk: Disk, cell: Cell): number {
  if (disk.dataFile) return cell.cluster * disk.geometry.clusterSize;
  const at = cell.index * disk.geometry.l2EntrySize;
  return hostOffset(cell.table.view.getUint32(at), cell.table.view.getUint32(at + 4));
}
