/** From guest offsets to what lies there: the largest run that one look at the tables can tell. */
import { after, type Maybe } from '../../core/async/maybe.ts';
import type { DiskView } from './disk-view.ts';
import { cachedSlice, l2Slice } from './l2-tables.ts';
import { ClusterKind, clusterKind, hostOffset, isCopied, similarEntries } from './meta/entries.ts';
import type { Table } from './table-cache.ts';

export const RunKind = {
  /** Nothing here: the backing file decides. */
  UNALLOCATED: 0,
  ZERO: 1,
  DATA: 2,
  COMPRESSED: 3,
} as const;
export type RunKind = (typeof RunKind)[keyof typeof RunKind];

/** `length` bytes of the disk of one kind. */
export interface Run {
  readonly kind: RunKind;
  readonly length: number;
  /** Host offset of the first byte, for data and for whatever else keeps a cluster; else -1. */
  readonly host: number;
  /** Halves of the L2 entry of a compressed cluster. */
  readonly hi: number;
  readonly lo: number;
}

/** The run at `offset`, at most `length` bytes long. */
export function mapRun(disk: DiskView, offset: number, length: number): Maybe<Run> {
  const { l2Coverage, clusterSize } = disk.geometry;
  const l1Index = Math.floor(offset / l2Coverage);
  const inTable = offset - l1Index * l2Coverage;
  const l2Index = Math.floor(inTable / clusterSize);
  const slice = l2Slice(disk, l1Index, l2Index);
  if (slice instanceof Promise) {
    return slice.then((table) =>
      table ? mapInSlice(disk, table, { l2Index, offset, length }) : mapRun(disk, offset, length),
    );
  }
  if (!slice) return withoutTable(disk, l1Index, inTable, length);
  return mapInSlice(disk, slice, { l2Index, offset, length });
}

/**
 * Host offset of `length` bytes at `offset` where they are plain data in one piece, told by tables that are in memory:
 * the answer for nearly all requests, without an object or a promise. -1 for whatever else, also for what is damaged:
 * {@link mapRun} tells then. With `own`, only clusters that are the active disk's alone.
 */
export function plainHost(disk: DiskView, offset: number, length: number, own: boolean): number {
  const { l2Coverage, clusterSize, extendedL2 } = disk.geometry;
  if (extendedL2 || disk.dataFile !== undefined) return -1;
  const l1Index = Math.floor(offset / l2Coverage);
  const inTable = offset - l1Index * l2Coverage;
  const l2Index = Math.floor(inTable / clusterSize);
  const table = cachedSlice(disk, l1Index, l2Index);
  if (table === undefined || (own && !disk.l1.isCopied(l1Index))) return -1;
  const { view } = table;
  const at = (l2Index & (disk.sliceEntries - 1)) * 8;
  const hi = view.getUint32(at);
  const lo = view.getUint32(at + 4);
  if (clusterKind(disk.geometry, hi, lo, false) !== ClusterKind.NORMAL || (own && !isCopied(hi))) return -1;
  const host = hostOffset(hi, lo);
  if (host % clusterSize !== 0) return -1;
  const inCluster = inTable - l2Index * clusterSize;
  if (inCluster + length > clusterSize) {
    const to = at + Math.ceil((inCluster + length) / clusterSize) * 8;
    if (to > view.byteLength || similarEntries(view, { from: at, to, entrySize: 8 }, clusterSize) * 8 < to - at)
      return -1;
  }
  return host + inCluster;
}

/** All that the L1 entries without table cover, in one step. */
function withoutTable(disk: DiskView, l1Index: number, inTable: number, length: number): Run {
  const { l2Coverage } = disk.geometry;
  const end = Math.min(disk.l1.entries, l1Index + Math.ceil((inTable + length) / l2Coverage));
  const next = l1Index >= end ? end : disk.l1.nextUsed(l1Index + 1, end);
  const covered = next >= end ? length : Math.min(length, (next - l1Index) * l2Coverage - inTable);
  return { kind: RunKind.UNALLOCATED, length: covered, host: -1, hi: 0, lo: 0 };
}

interface Wanted {
  readonly l2Index: number;
  readonly offset: number;
  readonly length: number;
}

function mapInSlice(disk: DiskView, table: Table, { l2Index, offset, length }: Wanted): Run {
  const { clusterSize, extendedL2 } = disk.geometry;
  const { sliceEntries } = disk;
  const cluster = Math.floor(offset / clusterSize);
  const index = l2Index & (sliceEntries - 1);
  const inCluster = offset - cluster * clusterSize;
  const limit = Math.min(length, (sliceEntries - index) * clusterSize - inCluster);
  const at: Position = { index, cluster, inCluster, limit };
  return extendedL2 ? mapSubclusters(disk, table, at) : mapClusters(disk, table, at);
}

interface Position {
  readonly index: number;
  /** Guest cluster number. */
  readonly cluster: number;
  readonly inCluster: number;
  readonly limit: number;
}

function mapClusters(disk: DiskView, table: Table, at: Position): Run {
  const { geometry } = disk;
  const { clusterSize } = geometry;
  const { view } = table;
  const dataFile = disk.dataFile !== undefined;
  const hi = view.getUint32(at.index * 8);
  const lo = view.getUint32(at.index * 8 + 4);
  const kind = clusterKind(geometry, hi, lo, dataFile);
  if (kind === ClusterKind.COMPRESSED) return compressedRun(disk, at, hi, lo);
  const hosted = kind === ClusterKind.NORMAL || kind === ClusterKind.ZERO_ALLOC;
  const host = hosted ? hostOffset(hi, lo) : -1;
  if (hosted) checkHost(disk, host, at.cluster);
  if (lo & 1 && geometry.version < 3) throw zeroInVersion2(disk, at.cluster);
  const clusters = Math.ceil((at.inCluster + at.limit) / clusterSize);
  const span = { from: at.index * 8, to: (at.index + clusters) * 8, entrySize: 8 };
  let index = at.index + similarEntries(view, span, hosted ? clusterSize : 0);
  for (; index < at.index + clusters; index++) {
    const nextHi = view.getUint32(index * 8);
    const nextLo = view.getUint32(index * 8 + 4);
    if (clusterKind(geometry, nextHi, nextLo, dataFile) !== kind) break;
    if (hosted && hostOffset(nextHi, nextLo) !== host + (index - at.index) * clusterSize) break;
  }
  return {
    kind: RUN_OF_CLUSTER[kind],
    length: Math.min((index - at.index) * clusterSize - at.inCluster, at.limit),
    host: hosted ? host + at.inCluster : -1,
    hi,
    lo,
  };
}

const RUN_OF_CLUSTER: Readonly<Record<ClusterKind, RunKind>> = {
  [ClusterKind.UNALLOCATED]: RunKind.UNALLOCATED,
  [ClusterKind.ZERO_PLAIN]: RunKind.ZERO,
  [ClusterKind.ZERO_ALLOC]: RunKind.ZERO,
  [ClusterKind.NORMAL]: RunKind.DATA,
  [ClusterKind.COMPRESSED]: RunKind.COMPRESSED,
};

/** Extended entries: runs of subclusters, going on over clusters as long as kind and place continue. */
function mapSubclusters(disk: DiskView, table: Table, at: Position): Run {
  const { clusterSize, subclusterSize } = disk.geometry;
  const { view } = table;
  const firstHi = view.getUint32(at.index * 16);
  const firstLo = view.getUint32(at.index * 16 + 4);
  const dataFile = disk.dataFile !== undefined;
  const first = clusterKind(disk.geometry, firstHi, firstLo, dataFile);
  if (first === ClusterKind.COMPRESSED) return compressedRun(disk, at, firstHi, firstLo);
  const hosted = first === ClusterKind.NORMAL;
  const host = hosted ? hostOffset(firstHi, firstLo) : -1;
  if (hosted) checkHost(disk, host, at.cluster);
  const startSub = Math.floor(at.inCluster / subclusterSize);
  const kind = subclusterKind(disk, view, { index: at.index, sub: startSub, hosted });
  let covered = -(at.inCluster - startSub * subclusterSize);
  let sub = startSub;
  for (let index = at.index; covered < at.limit; index++, sub = 0) {
    if (index > at.index) {
      const hi = view.getUint32(index * 16);
      const lo = view.getUint32(index * 16 + 4);
      const next = clusterKind(disk.geometry, hi, lo, dataFile);
      if (next === ClusterKind.COMPRESSED || (next === ClusterKind.NORMAL) !== hosted) break;
      if (hosted && hostOffset(hi, lo) !== host + (index - at.index) * clusterSize) break;
    }
    while (sub < 32 && subclusterKind(disk, view, { index, sub, hosted }) === kind) {
      covered += subclusterSize;
      sub++;
    }
    if (sub < 32) break;
  }
  const length = Math.min(covered, at.limit);
  return { kind, length, host: hosted ? host + at.inCluster : -1, hi: firstHi, lo: firstLo };
}

interface Subcluster {
  readonly index: number;
  readonly sub: number;
  /** Its cluster has a place. */
  readonly hosted: boolean;
}

function subclusterKind(disk: DiskView, view: DataView, { index, sub, hosted }: Subcluster): RunKind {
  const zero = (view.getUint32(index * 16 + 8) >>> sub) & 1;
  const allocated = (view.getUint32(index * 16 + 12) >>> sub) & 1;
  if (zero && allocated) {
    throw disk.corrupt(`subcluster ${sub} of L2 entry ${index} is marked both allocated and zero`, {
      structure: 'L2',
      index,
    });
  }
  if (allocated && !hosted) {
    throw disk.corrupt(`subcluster ${sub} of L2 entry ${index} is marked allocated, but its cluster is not`, {
      structure: 'L2',
      index,
    });
  }
  if (zero) return RunKind.ZERO;
  return allocated ? RunKind.DATA : RunKind.UNALLOCATED;
}

/** Throws for an entry, not of a compressed cluster, whose bitmaps contradict each other or it. */
export function checkSubclusters(disk: DiskView, view: DataView, index: number, hosted: boolean): void {
  const zero = view.getUint32(index * 16 + 8);
  const allocated = view.getUint32(index * 16 + 12);
  const bad = hosted ? zero & allocated : allocated;
  if (bad !== 0) subclusterKind(disk, view, { index, sub: 31 - Math.clz32(bad & -bad), hosted });
}

function compressedRun(disk: DiskView, at: Position, hi: number, lo: number): Run {
  if (disk.dataFile) {
    throw disk.corrupt(`guest cluster ${at.cluster} is compressed although an external data file is used`);
  }
  const length = Math.min(at.limit, disk.geometry.clusterSize - at.inCluster);
  return { kind: RunKind.COMPRESSED, length, host: -1, hi, lo };
}

/** Host offsets are cluster aligned; in an external data file they are the guest's. */
export function checkHost(disk: DiskView, host: number, guestCluster: number): void {
  const { clusterSize } = disk.geometry;
  if (host % clusterSize !== 0 || host > Number.MAX_SAFE_INTEGER) {
    throw disk.corrupt(`guest cluster ${guestCluster} lies at ${host}, not a multiple of the cluster size`, {
      structure: 'L2',
      offset: host,
    });
  }
  if (disk.dataFile && host !== guestCluster * clusterSize) {
    throw disk.corrupt(`guest cluster ${guestCluster} lies at ${host} of the data file, not at its own offset`, {
      structure: 'L2',
      offset: host,
    });
  }
}

function zeroInVersion2(disk: DiskView, guestCluster: number): Error {
  return disk.corrupt(`guest cluster ${guestCluster} has the zero flag, which version 2 does not define`);
}

/** True when [offset, offset + length) has no content of its own and no backing content: it reads as zeroes. */
export function readsZero(disk: DiskView, offset: number, length: number): Maybe<boolean> {
  const end = Math.min(offset + length, disk.size);
  const step = (at: number): Maybe<boolean> => {
    if (at >= end) return true;
    return after(mapRun(disk, at, end - at), (run) => {
      if (run.kind === RunKind.ZERO || (run.kind === RunKind.UNALLOCATED && !hasBacking(disk, at))) {
        return step(at + run.length);
      }
      return false;
    });
  };
  return step(offset);
}

function hasBacking(disk: DiskView, offset: number): boolean {
  return disk.backing !== undefined && offset < disk.backing.size;
}
