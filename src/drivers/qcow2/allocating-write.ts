/**
 * A write that changes L2 entries: old content around the data is read (head and tail side by side), all of it
 * goes to the host in one request where it is contiguous, and then the entries are linked in memory.
 */
import { after, type Maybe } from '../../core/async/maybe.ts';
import { oldContent } from './cow.ts';
import { type CowBounds, cowBounds } from './cow-bounds.ts';
import type { Disk } from './disk.ts';
import type { InFlightRange } from './in-flight.ts';
import { l2Slice } from './l2-tables.ts';
import { linkClusters } from './link.ts';
import { orUndo, Pending } from './sequence.ts';
import type { Table } from './table-cache.ts';
import { Treatment, type WritePlan } from './write-plan.ts';

/** Zeroes up to this length are written along with the data; longer ones are zeroed by the host file. */
const INLINE_ZEROES = 64 * 1024;
const zeroes = Buffer.alloc(INLINE_ZEROES);

export interface Allocation {
  readonly plan: WritePlan;
  /** Host offset of the first cluster. */
  readonly host: number;
  /** The host clusters were never written and read as zeroes. */
  readonly fresh: boolean;
  readonly bufs: readonly Uint8Array[];
  readonly range: InFlightRange;
}

/** Clusters waiting to be freed beyond which a write-out is made to free them. */
const MAX_DEFERRED_BYTES = 256 * 1024 * 1024;
const MAX_DEFERRED_CLUSTERS = 1 << 18;

/** Carry out an allocation; its range is no longer in flight when this ends, well or not. */
export function allocatingWrite(disk: Disk, allocation: Allocation): Maybe<void> {
  const { plan, host, range } = allocation;
  const failed = (): void => {
    disk.inFlight.end(range);
    if (plan.treatment === Treatment.ALLOCATE) {
      disk.allocator.free(host / disk.geometry.clusterSize, plan.clusters, 'never');
    }
  };
  const done = orUndo(() => transfer(disk, allocation), failed);
  return after(done, () => {
    disk.inFlight.end(range);
    return relieveDeferred(disk);
  });
}

/** Free what is deferred when it has become a lot. */
export function relieveDeferred(disk: Disk): Maybe<void> {
  const { deferred } = disk.allocator;
  if (deferred * disk.geometry.clusterSize < MAX_DEFERRED_BYTES && deferred < MAX_DEFERRED_CLUSTERS) return;
  return disk.writer.run();
}

function transfer(disk: Disk, allocation: Allocation): Maybe<void> {
  const { plan, host } = allocation;
  const { clusterSize } = disk.geometry;
  if (!disk.dataFile) disk.assertNoOverlap(host, plan.clusters * clusterSize);
  return withSlice(disk, plan.cluster, (table) => {
    const bounds = cowBounds(disk, table, plan);
    const start = plan.cluster * clusterSize;
    const head = start + bounds.headFrom;
    const tail = start + plan.inCluster + plan.length;
    const headBytes = plan.inCluster - bounds.headFrom;
    const tailBytes = bounds.tailTo - (plan.inCluster + plan.length);
    if (headBytes === 0 && tailBytes === 0) return put(disk, allocation, bounds, undefined, undefined);
    const before = headBytes > 0 ? oldContent(disk, head, headBytes) : undefined;
    const readTail = (): Maybe<Old> => (tailBytes > 0 ? oldContent(disk, tail, tailBytes) : undefined);
    if (before instanceof Promise) {
      // What fails at once, too, must not leave the other one to nobody.
      const behind = (async () => readTail())();
      return both(before, behind).then(([first, second]) => put(disk, allocation, bounds, first, second));
    }
    return after(readTail(), (behind) => put(disk, allocation, bounds, before, behind));
  });
}

type Old = Uint8Array | undefined;

/** Both have ended when this does, so that no read is left behind a failed request. */
async function both(before: Promise<Old>, behind: Promise<Old>): Promise<[Old, Old]> {
  const [first, second] = await Promise.allSettled([before, behind]);
  if (first.status === 'rejected') throw first.reason;
  if (second.status === 'rejected') throw second.reason;
  return [first.value, second.value];
}

/** Data and what surrounds it, to the host; then the entries. */
function put(disk: Disk, allocation: Allocation, bounds: CowBounds, head: Old, tail: Old): Maybe<void> {
  const { plan, host, fresh } = allocation;
  const pending = new Pending();
  const guest = plan.cluster * disk.geometry.clusterSize;
  const dataEnd = plan.inCluster + plan.length;
  let from = plan.inCluster;
  let { bufs } = allocation;
  const headBytes = from - bounds.headFrom;
  const tailBytes = bounds.tailTo - dataEnd;
  if (head ?? (headBytes > 0 && headBytes <= INLINE_ZEROES && !fresh)) {
    bufs = [head ?? zeroes.subarray(0, headBytes), ...bufs];
    from = bounds.headFrom;
  } else if (headBytes > 0 && !fresh) {
    pending.start(() => zeroAround(disk, host + bounds.headFrom, headBytes, guest + bounds.headFrom));
  }
  if (tail ?? (tailBytes > 0 && tailBytes <= INLINE_ZEROES && !fresh)) {
    bufs = [...bufs, tail ?? zeroes.subarray(0, tailBytes)];
  } else if (tailBytes > 0 && !fresh) {
    pending.start(() => zeroAround(disk, host + dataEnd, tailBytes, guest + dataEnd));
  }
  const write = () => disk.content.writev(host + from, bufs, 0, guest + from);
  // One write carries both, so that there are two events before it.
  const withOld = bufs === allocation.bufs ? write : () => disk.announcing('cow_write', write);
  pending.start(() => disk.announcing('write_aio', withOld));
  return after(pending.end(), () => {
    disk.unsettled = true;
    return withSlice(disk, plan.cluster, (table) => linkClusters(disk, table, { plan, host, bounds }));
  });
}

function zeroAround(disk: Disk, offset: number, length: number, guest: number): Maybe<void> {
  return disk.announcing('cluster_alloc_space', () => disk.content.zero(offset, length, 0, guest));
}

/** Run `action` on the slice of a guest cluster whose table is known to exist, without a wait in between. */
function withSlice(disk: Disk, cluster: number, action: (table: Table) => Maybe<void>): Maybe<void> {
  const { l2Entries } = disk.geometry;
  const l1Index = Math.floor(cluster / l2Entries);
  const slice = l2Slice(disk, l1Index, cluster % l2Entries);
  if (slice instanceof Promise) return slice.then(() => withSlice(disk, cluster, action));
  if (!slice) throw new Error(`L2 table ${l1Index} went away under a write`);
  return action(slice);
}
