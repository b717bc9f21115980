/**
 * The references that an L1 table makes: to its L2 tables, and through them to data clusters. A snapshot counts each of
 * them once more, a cluster that two of its entries share twice. No request may be in flight while they are changed.
 *
 * The walk visits everything in the same order each time, so that what was counted up to a failure can be taken back.
 */

import { nextTurn } from '../../../core/async/turn.ts';
import { CorruptImage } from '../../../core/errors/block-error.ts';
import { relieveDeferred } from '../allocating-write.ts';
import type { FreeReason } from '../allocator.ts';
import type { Disk } from '../disk.ts';
import type { L1Table } from '../l1-table.ts';
import { ClusterKind, clusterKind, compressedRange, hostOffset, isCopied, withCopied } from '../meta/entries.ts';
import type { Table } from '../table-cache.ts';

/** Contiguous host clusters with one reference each. */
export interface HostRun {
  readonly first: number;
  count: number;
  readonly compressed: boolean;
}

/** What a walk finds, in its order. */
interface Visitor {
  /** The clusters that the entries of the slice at this host offset point at. */
  slice(offset: number, runs: readonly HostRun[]): Promise<void> | void;
  /** The L2 table itself, after its slices. */
  table(cluster: number, l1Index: number): Promise<void> | void;
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
      const slice = await disk.l2.get(offset + at);
      await visitor.slice(offset + at, hostRuns(disk, slice));
    }
    await visitor.table(offset / clusterSize, index);
    tables++;
    if (tables % BREATH === 0) await nextTurn();
  }
}

function assertPlace(disk: Disk, offset: number, length: number, what: string): void {
  const { fileName, file, geometry } = disk;
  if (offset % geometry.clusterSize === 0 && offset + length <= file.size + geometry.clusterSize) return;
  throw new CorruptImage(
    `'${fileName}': the ${what} lies at ${offset}, not in a cluster of the file of ${file.size} bytes`,
    { data: { offset } },
  );
}

/** The host clusters of a slice, neighbours together. */
function hostRuns(disk: Disk, { view, offset, bytes }: Table): HostRun[] {
  const { geometry } = disk;
  const { clusterSize, l2EntrySize } = geometry;
  const runs: HostRun[] = [];
  const append = (first: number, count: number, compressed: boolean): void => {
    const last = runs.at(-1);
    if (last && !compressed && !last.compressed && last.first + last.count === first) last.count += count;
    else runs.push({ first, count, compressed });
  };
  for (let at = 0; at < bytes.length; at += l2EntrySize) {
    const hi = view.getUint32(at);
    const lo = view.getUint32(at + 4);
    if (hi === 0 && lo === 0) continue;
    const kind = clusterKind(geometry, hi, lo, false);
    if (kind === ClusterKind.COMPRESSED) {
      const range = compressedRange(geometry, hi, lo);
      const first = Math.floor(range.offset / clusterSize);
      append(first, Math.floor((range.offset + range.length - 1) / clusterSize) - first + 1, true);
    } else if (kind === ClusterKind.NORMAL || kind === ClusterKind.ZERO_ALLOC) {
      const host = hostOffset(hi, lo);
      if (host % clusterSize !== 0) {
        throw new CorruptImage(`'${disk.fileName}': an entry of the L2 table at ${offset} points at ${host}`, {
          data: { offset: host },
        });
      }
      append(host / clusterSize, 1, false);
    }
  }
  return runs;
}

/** Clusters counted so far, for taking that back. */
export interface Raised {
  clusters: number;
}

/** Count everything once more. What `l1` points at is shared from now on, so the flags for "mine alone" go. */
export async function raiseReferences(disk: Disk, l1: L1Table, raised: Raised): Promise<void> {
  await walk(disk, l1, {
    slice: async (offset, runs) => {
      for (const run of runs) await addOne(disk, run.first, run.count, raised);
      clearFlags(disk, await disk.l2.get(offset));
    },
    table: async (cluster, index) => {
      await addOne(disk, cluster, 1, raised);
      if (l1.isCopied(index)) l1.set(index, withCopied(l1.hi(index), false), l1.lo(index));
    },
  });
}

async function addOne(disk: Disk, first: number, count: number, raised: Raised): Promise<void> {
  try {
    await disk.allocator.mutex.run(() => disk.refcounts.add(first, count, 1));
    raised.clusters += count;
  } catch (error) {
    // Those before the one that cannot be counted have been.
    const at = error instanceof CorruptImage ? error.data?.cluster : undefined;
    if (typeof at === 'number') raised.clusters += Math.max(0, Math.min(count, at - first));
    throw error;
  }
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
    slice: (_offset, runs) => {
      for (const { first, count } of runs) drop(first, count);
    },
    table: async (cluster) => {
      drop(cluster, 1);
      if (relieve) await relieveDeferred(disk);
    },
  });
}

/** Set and clear the flags of the active disk as the counts have it. */
export async function refreshFlags(disk: Disk): Promise<void> {
  const { l1 } = disk;
  await walk(disk, l1, {
    slice: async (offset) => {
      const alone = await flagsOf(disk, offset);
      if (alone) setFlags(disk, await disk.l2.get(offset), alone);
    },
    table: async (cluster, index) => {
      const alone = (await disk.refcounts.get(cluster)) === 1;
      if (alone !== l1.isCopied(index)) l1.set(index, withCopied(l1.hi(index), alone), l1.lo(index));
    },
  });
}

/** For each entry of a slice that has a cluster of its own whether it is counted once; undefined when all fit. */
async function flagsOf(disk: Disk, offset: number): Promise<Map<number, boolean> | undefined> {
  const { geometry } = disk;
  const { view, bytes } = await disk.l2.get(offset);
  // A copy: the table must not be held across the waits below.
  const entries: { at: number; host: number; copied: boolean }[] = [];
  for (let at = 0; at < bytes.length; at += geometry.l2EntrySize) {
    const hi = view.getUint32(at);
    const lo = view.getUint32(at + 4);
    const kind = clusterKind(geometry, hi, lo, false);
    if (kind === ClusterKind.NORMAL || kind === ClusterKind.ZERO_ALLOC) {
      entries.push({ at, host: hostOffset(hi, lo), copied: isCopied(hi) });
    }
  }
  const wrong = new Map<number, boolean>();
  for (const { at, host, copied } of entries) {
    const count = disk.refcounts.get(host / geometry.clusterSize);
    const alone = (count instanceof Promise ? await count : count) === 1;
    if (alone !== copied) wrong.set(at, alone);
  }
  return wrong.size > 0 ? wrong : undefined;
}

function setFlags(disk: Disk, table: Table, flags: ReadonlyMap<number, boolean>): void {
  let from = table.bytes.length;
  let to = 0;
  for (const [at, alone] of flags) {
    table.view.setUint32(at, withCopied(table.view.getUint32(at), alone));
    from = Math.min(from, at);
    to = Math.max(to, at + disk.geometry.l2EntrySize);
  }
  disk.l2.markDirty(table, from, to);
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
    slice: async (_offset, runs) => {
      for (const { first, count: length, compressed } of runs) {
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
