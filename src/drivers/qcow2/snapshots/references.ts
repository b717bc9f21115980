/**
 * The references that an L1 table makes: to its L2 tables, and through them to data clusters. A snapshot counts each of
 * them once more, a cluster that two of its entries share twice. No request may be in flight while they are changed.
 *
 * The walk visits everything in the same order each time, so that what was counted up to a failure can be taken back.
 */

import { after, type Maybe } from '../../../core/async/maybe.ts';
import { nextTurn } from '../../../core/async/turn.ts';
import { CorruptImage } from '../../../core/errors/block-error.ts';
import type { FreeReason } from '../allocator.ts';
import type { Disk } from '../disk.ts';
import type { L1Table } from '../l1-table.ts';
import {
  ClusterKind,
  clusterKind,
  compressedRange,
  hostOffset,
  isCopied,
  similarEntries,
  withCopied,
} from '../meta/entries.ts';
import { getRefcount } from '../meta/refcount-entry.ts';
import { inOrder } from '../sequence.ts';
import type { Table } from '../table-cache.ts';

/** Contiguous host clusters with one reference each. */
export interface HostRun {
  readonly first: number;
  count: number;
  readonly compressed: boolean;
}

/** What a walk finds, in its order. */
interface Visitor {
  /** A slice of an L2 table; not to be held across a wait. */
  slice(table: Table): Maybe<void>;
  /** The L2 table itself, after its slices. */
  table(cluster: number, l1Index: number): Maybe<void>;
}

/** Tables after which the walk lets others have a turn. */
const BREATH = 64;

async function walk(disk: Disk, l1: L1Table, visitor: Visitor): Promise<void> {
  const { clusterSize } = disk.geometry;
  let tables = 0;
  for (let index = l1.nextUsed(0, l1.entries); index < l1.entries; index = l1.nextUsed(index + 1, l1.entries)) {
    const offset = l1.l2Offset(index);
    if (offset === 0) continue;
    assertPlace(disk, offset, clusterSize, `L2 table of L1 entry ${index}`);
    for (let at = 0; at < clusterSize; at += disk.l2.entrySize) {
      const visited = after(disk.l2.get(offset + at), (slice) => visitor.slice(slice));
      if (visited) await visited;
    }
    const visited = visitor.table(offset / clusterSize, index);
    if (visited) await visited;
    tables++;
    if (tables % BREATH === 0) await nextTurn();
  }
}

/** Throws CorruptImage for what does not lie in a cluster of the file. */
export function assertPlace(disk: Disk, offset: number, length: number, what: string): void {
  const { fileName, file, geometry } = disk;
  if (offset % geometry.clusterSize === 0 && offset + length <= file.size + geometry.clusterSize) return;
  throw new CorruptImage(
    `'${fileName}': the ${what} lies at ${offset}, not in a cluster of the file of ${file.size} bytes`,
    { data: { offset } },
  );
}

/** The host clusters of a slice, neighbours together. */
function hostRuns(disk: Disk, table: Table): HostRun[] {
  const { view, bytes } = table;
  const { geometry } = disk;
  const { clusterSize, l2EntrySize } = geometry;
  const runs: HostRun[] = [];
  for (let at = 0; at < bytes.length; at += l2EntrySize) {
    const hi = view.getUint32(at);
    const lo = view.getUint32(at + 4);
    if (hi === 0 && lo === 0) continue;
    const kind = clusterKind(geometry, hi, lo, false);
    if (kind === ClusterKind.COMPRESSED) {
      const range = compressedRange(geometry, hi, lo);
      const first = Math.floor(range.offset / clusterSize);
      const count = Math.floor((range.offset + range.length - 1) / clusterSize) - first + 1;
      runs.push({ first, count, compressed: true });
    } else if (kind === ClusterKind.NORMAL || kind === ClusterKind.ZERO_ALLOC) {
      const first = hostCluster(disk, table, hi, lo);
      const count = similarEntries(view, { from: at, to: bytes.length, entrySize: l2EntrySize }, clusterSize);
      at += (count - 1) * l2EntrySize;
      runs.push({ first, count, compressed: false });
    }
  }
  return runs;
}

function hostCluster(disk: Disk, { offset }: Table, hi: number, lo: number): number {
  const host = hostOffset(hi, lo);
  const cluster = host / disk.geometry.clusterSize;
  if (Number.isInteger(cluster)) return cluster;
  throw new CorruptImage(`'${disk.fileName}': an entry of the L2 table at ${offset} points at ${host}`, {
    data: { offset: host },
  });
}

/** Clusters counted so far, for taking that back. */
export interface Raised {
  clusters: number;
}

/** Count everything once more. What `l1` points at is shared from now on, so the flags for "mine alone" go. */
export async function raiseReferences(disk: Disk, l1: L1Table, raised: Raised): Promise<void> {
  await walk(disk, l1, {
    slice: (table) => {
      const steps = hostRuns(disk, table).map((run) => () => addOne(disk, run.first, run.count, raised));
      const counted = inOrder(steps);
      // It may have been dropped meanwhile.
      if (counted) return counted.then(() => after(disk.l2.get(table.offset), (again) => clearFlags(disk, again)));
      clearFlags(disk, table);
    },
    table: (cluster, index) =>
      after(addOne(disk, cluster, 1, raised), () => {
        if (l1.isCopied(index)) l1.set(index, withCopied(l1.hi(index), false), l1.lo(index));
      }),
  });
}

function addOne(disk: Disk, first: number, count: number, raised: Raised): Maybe<void> {
  const failed = (error: unknown): never => {
    // Those before the one that cannot be counted have been.
    const at = error instanceof CorruptImage ? error.data?.cluster : undefined;
    if (typeof at === 'number') raised.clusters += Math.max(0, Math.min(count, at - first));
    throw error;
  };
  try {
    const added = disk.allocator.mutex.run(() => disk.refcounts.add(first, count, 1));
    if (added) {
      return added.then(() => {
        raised.clusters += count;
      }, failed);
    }
  } catch (error) {
    failed(error);
  }
  raised.clusters += count;
}

function clearFlags(disk: Disk, table: Table): void {
  const { l2EntrySize } = disk.geometry;
  const { view, bytes } = table;
  let from = bytes.length;
  let to = 0;
  for (let at = 0; at < bytes.length; at += l2EntrySize) {
    const hi = view.getUint32(at);
    if (!isCopied(hi)) continue;
    view.setUint32(at, withCopied(hi, false));
    from = Math.min(from, at);
    to = at + l2EntrySize;
  }
  if (from < to) disk.l2.markDirty(table, from, to);
}

/** What waits to be counted down at most: it takes memory, and counting holds up everybody else. */
const MAX_RUNS = 1 << 16;
const MAX_CLUSTERS = 1 << 22;

interface Dropping {
  /** No more clusters than that. */
  readonly most?: number;
  /** Count down on the way when there is a lot: not while the table on disk still points there. Default true. */
  readonly relieve?: boolean;
  /** Decides whether the space is given back to the host; default `snapshot`. */
  readonly reason?: FreeReason;
}

/** Let go of what `l1` points at: it is free when written out. */
export async function dropReferences(
  disk: Disk,
  l1: L1Table,
  { most = Number.POSITIVE_INFINITY, relieve = true, reason = 'snapshot' }: Dropping = {},
): Promise<void> {
  let left = most;
  const drop = (first: number, count: number): void => {
    const taken = Math.min(left, count);
    left -= taken;
    disk.allocator.free(first, taken, reason);
  };
  await walk(disk, l1, {
    slice: (table) => {
      for (const { first, count } of hostRuns(disk, table)) drop(first, count);
    },
    table: (cluster) => {
      drop(cluster, 1);
      const { deferred, deferredRuns } = disk.allocator;
      if (relieve && (deferredRuns > MAX_RUNS || deferred > MAX_CLUSTERS)) return disk.writer.run();
    },
  });
}

/** Set and clear the flags of the active disk as the counts have it. */
export async function refreshFlags(disk: Disk): Promise<void> {
  const { l1 } = disk;
  await walk(disk, l1, {
    slice: (table) => refreshSlice(disk, table, 0),
    table: (cluster, index) =>
      after(disk.refcounts.get(cluster), (count) => {
        const alone = count === 1;
        if (alone !== l1.isCopied(index)) l1.set(index, withCopied(l1.hi(index), alone), l1.lo(index));
      }),
  });
}

/** The same for the entries of a slice from byte `from` on. */
function refreshSlice(disk: Disk, table: Table, from: number): Maybe<void> {
  const { geometry, refcounts } = disk;
  const { blockEntries } = refcounts;
  const { view, bytes, offset } = table;
  let changed = bytes.length;
  let changedTo = 0;
  let pending: Promise<Table | undefined> | undefined;
  let counts: Table | undefined;
  /** The cluster that the first count of the block is of. */
  let base = Number.NEGATIVE_INFINITY;
  let at = from;
  for (; at < bytes.length; at += geometry.l2EntrySize) {
    const hi = view.getUint32(at);
    const lo = view.getUint32(at + 4);
    const kind = clusterKind(geometry, hi, lo, false);
    if (kind !== ClusterKind.NORMAL && kind !== ClusterKind.ZERO_ALLOC) continue;
    const cluster = hostCluster(disk, table, hi, lo);
    if (cluster < base || cluster >= base + blockEntries) {
      const index = refcounts.blockIndex(cluster);
      const block = refcounts.block(index);
      if (block instanceof Promise) {
        pending = block;
        break;
      }
      counts = block;
      base = index * blockEntries;
    }
    const alone = counts !== undefined && getRefcount(counts.view, cluster - base, geometry.refcountOrder) === 1;
    if (alone === isCopied(hi)) continue;
    view.setUint32(at, withCopied(hi, alone));
    changed = Math.min(changed, at);
    changedTo = at + geometry.l2EntrySize;
  }
  if (changed < changedTo) disk.l2.markDirty(table, changed, changedTo);
  // The table may have been dropped by then; what was set so far stays.
  return pending?.then(() => after(disk.l2.get(offset), (again) => refreshSlice(disk, again, at)));
}

/** Bytes of clusters that only the references of `l1` hold. */
export async function bytesHeldAlone(disk: Disk, l1: L1Table): Promise<number> {
  const { clusterSize } = disk.geometry;
  /** Host clusters with compressed data, of which a snapshot may hold several pieces. */
  const shared = new Map<number, number>();
  let clusters = 0;
  const count = async (cluster: number, references: number): Promise<void> => {
    const stored = disk.refcounts.get(cluster);
    if ((stored instanceof Promise ? await stored : stored) === references) clusters++;
  };
  await walk(disk, l1, {
    slice: async (table) => {
      for (const { first, count: length, compressed } of hostRuns(disk, table)) {
        for (let cluster = first; cluster < first + length; cluster++) {
          if (compressed) shared.set(cluster, (shared.get(cluster) ?? 0) + 1);
          else await count(cluster, 1);
        }
      }
    },
    table: (cluster) => count(cluster, 1),
  });
  for (const [cluster, references] of shared) await count(cluster, references);
  return (clusters + Math.ceil((l1.entries * 8) / clusterSize)) * clusterSize;
}
