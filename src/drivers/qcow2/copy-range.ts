/** Copying within the kernel: out of the clusters that hold data as they are, and into clusters written whole. */
import { after, type Maybe } from '../../core/async/maybe.ts';
import type { HostExtent } from '../../core/block/driver.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { relieveDeferred } from './allocating-write.ts';
import type { Disk } from './disk.ts';
import { InFlightRange } from './in-flight.ts';
import { l2Slice, l2SliceForWrite } from './l2-tables.ts';
import { linkClusters } from './link.ts';
import { mapRun, type Run, RunKind } from './mapping.ts';
import { orUndo, type Pending, walk } from './sequence.ts';
import type { Turn } from './turns.ts';
import { planWrite, Treatment, type WritePlan } from './write-plan.ts';

/** Thrown inside a walk where the kernel cannot do it; the caller then reads and writes. */
class Declined extends Error {}

function accepted(done: Maybe<void>): Maybe<boolean> {
  if (!(done instanceof Promise)) return true;
  return done.then(() => true, falseWhenDeclined);
}

function falseWhenDeclined(error: unknown): boolean {
  if (error instanceof Declined) return false;
  throw error;
}

function insist(copied: Maybe<boolean>): Maybe<void> {
  return after(copied, (done) => {
    if (!done) throw new Declined();
  });
}

export interface CopyOut {
  readonly offset: number;
  readonly length: number;
  readonly target: Edge;
  readonly targetOffset: number;
}

/** Copy guest data to `target`; false when some of it is compressed or the hosts cannot do it. */
export function copyRangeFrom(disk: Disk, copy: CopyOut): Maybe<boolean> {
  if (disk.encryption) return false;
  try {
    return accepted(
      walk(copy.length, (at, pending) =>
        after(mapRun(disk, copy.offset + at, copy.length - at), (run) => {
          pending.start(() => insist(copyRun(disk, run, copy, at)));
          return run.length;
        }),
      ),
    );
  } catch (error) {
    return falseWhenDeclined(error);
  }
}

function copyRun(disk: Disk, run: Run, copy: CopyOut, at: number): Maybe<boolean> {
  const { target } = copy;
  const targetOffset = copy.targetOffset + at;
  if (run.kind === RunKind.DATA) return disk.data.copyRangeFrom(run.host, target, targetOffset, run.length);
  if (run.kind === RunKind.COMPRESSED) return false;
  if (run.kind === RunKind.UNALLOCATED && disk.backing) {
    const offset = copy.offset + at;
    if (offset + run.length > disk.backing.size) return false;
    return disk.backing.copyRangeFrom(offset, target, targetOffset, run.length);
  }
  return after(target.zero(targetOffset, run.length), () => true);
}

/** Copy from a host file into the disk; false when clusters would be covered in part or the hosts cannot do it. */
export function copyRangeTo(disk: Disk, copy: CopyIn, turn?: Turn): Maybe<boolean> {
  if (disk.encryption) return false;
  try {
    return accepted(walk(copy.length, (at, pending) => copyStep(disk, copy, at, pending), turn));
  } catch (error) {
    return falseWhenDeclined(error);
  }
}

export interface CopyIn {
  readonly offset: number;
  readonly source: HostExtent;
  readonly length: number;
}

function copyStep(disk: Disk, copy: CopyIn, at: number, pending: Pending): Maybe<number> {
  disk.assertUsable();
  const { l2Coverage, clusterSize } = disk.geometry;
  const offset = copy.offset + at;
  const l1Index = Math.floor(offset / l2Coverage);
  const l2Index = Math.floor((offset - l1Index * l2Coverage) / clusterSize);
  const again = (): Maybe<number> => copyStep(disk, copy, at, pending);
  const slice = l2SliceForWrite(disk, l1Index, l2Index);
  if (slice instanceof Promise) return slice.then(again);
  if (!slice) return again();
  const plan = planWrite(disk, slice, offset, copy.length - at);
  if (plan instanceof InFlightRange) return plan.whenEnded().then(again);
  const source: HostExtent = { ...copy.source, offset: copy.source.offset + at };
  if (plan.treatment === Treatment.IN_PLACE) {
    const host = plan.host + plan.inCluster;
    if (!disk.dataFile) disk.assertNoOverlap(host, plan.length);
    pending.start(() => insist(copyBelow(disk, host, source, plan.length)));
    return plan.length;
  }
  if (plan.inCluster !== 0 || plan.length !== plan.clusters * clusterSize) throw new Declined();
  return copyIntoNew(disk, plan, source, pending);
}

function copyIntoNew(disk: Disk, plan: WritePlan, source: HostExtent, pending: Pending): Maybe<number> {
  const { clusterSize } = disk.geometry;
  const range = disk.inFlight.begin(plan.cluster, plan.cluster + plan.clusters);
  const begin = (host: number): number => {
    const failed = (): void => {
      disk.inFlight.end(range);
      if (plan.treatment === Treatment.ALLOCATE) disk.allocator.free(host / clusterSize, plan.clusters, 'never');
    };
    pending.start(() =>
      after(
        orUndo(() => transfer(disk, plan, host, source), failed),
        () => {
          disk.inFlight.end(range);
          return relieveDeferred(disk);
        },
      ),
    );
    return plan.length;
  };
  if (plan.treatment === Treatment.KEEP) return begin(plan.host);
  const allocated = orUndo(
    () => disk.allocator.allocate(plan.clusters),
    () => disk.inFlight.end(range),
  );
  return after(allocated, (first) => {
    disk.allocator.touch(first + plan.clusters);
    return begin(first * clusterSize);
  });
}

function transfer(disk: Disk, plan: WritePlan, host: number, source: HostExtent): Maybe<void> {
  if (!disk.dataFile) disk.assertNoOverlap(host, plan.length);
  return after(insist(copyBelow(disk, host, source, plan.length)), () => {
    disk.unsettled = true;
    return link(disk, plan, host);
  });
}

/** A fault injector below hears of it as of any write, and may decline. */
function copyBelow(disk: Disk, host: number, source: HostExtent, length: number): Maybe<boolean> {
  return disk.announcing('write_aio', () => disk.data.copyRangeTo(host, source, length));
}

function link(disk: Disk, plan: WritePlan, host: number): Maybe<void> {
  const { l2Entries } = disk.geometry;
  const slice = l2Slice(disk, Math.floor(plan.cluster / l2Entries), plan.cluster % l2Entries);
  if (slice instanceof Promise) return slice.then(() => link(disk, plan, host));
  if (slice) linkClusters(disk, slice, { plan, host, bounds: { headFrom: 0, tailTo: plan.length } });
}
