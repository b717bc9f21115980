/**
 * Writing. A request is cut into stretches by `write-plan.ts`; each is started as soon as its host clusters
 * are decided, so that those of one request, and those of many requests, run side by side.
 */
import { after, type Maybe } from '../../core/async/maybe.ts';
import { sliceBuffers } from '../../core/bytes/buffers.ts';
import { allocatingWrite } from './allocating-write.ts';
import type { Disk } from './disk.ts';
import { InFlightRange } from './in-flight.ts';
import { l2SliceForWrite } from './l2-tables.ts';
import { orUndo, type Pending, walk } from './sequence.ts';
import type { Turn } from './turns.ts';
import { planWrite, Treatment, type WritePlan } from './write-plan.ts';

interface Request {
  readonly offset: number;
  readonly bufs: readonly Uint8Array[];
  /** Bytes of all buffers together. */
  readonly length: number;
}

/** Write several buffers, `length` bytes together, at `offset`. `turn` is passed when all of it has its place. */
export function writev(disk: Disk, request: Request, turn?: Turn): Maybe<void> {
  return walk(request.length, (at, pending) => writeStep(disk, request, at, pending), turn);
}

function writeStep(disk: Disk, request: Request, at: number, pending: Pending): Maybe<number> {
  disk.assertUsable();
  const { l2Coverage, clusterSize } = disk.geometry;
  const offset = request.offset + at;
  const l1Index = Math.floor(offset / l2Coverage);
  const l2Index = Math.floor((offset - l1Index * l2Coverage) / clusterSize);
  const slice = l2SliceForWrite(disk, l1Index, l2Index);
  if (slice instanceof Promise) return slice.then(() => writeStep(disk, request, at, pending));
  if (!slice) return writeStep(disk, request, at, pending);
  const plan = planWrite(disk, slice, offset, request.length - at);
  if (plan instanceof InFlightRange) {
    return plan.whenEnded().then(() => writeStep(disk, request, at, pending));
  }
  const whole = at === 0 && plan.length === request.length;
  const bufs = whole ? request.bufs : sliceBuffers(request.bufs, at, at + plan.length);
  if (plan.treatment === Treatment.IN_PLACE) {
    const host = plan.host + plan.inCluster;
    if (!disk.dataFile) disk.assertNoOverlap(host, plan.length);
    pending.start(() => disk.announcing('write_aio', () => disk.content.writev(host, bufs, 0, offset)));
    return plan.length;
  }
  return allocateAndStart(disk, plan, bufs, pending);
}

/** The stretch is in flight from here on, before anything waits, until its entries are linked. */
function allocateAndStart(disk: Disk, plan: WritePlan, bufs: readonly Uint8Array[], pending: Pending): Maybe<number> {
  const range = disk.inFlight.begin(plan.cluster, plan.cluster + plan.clusters);
  const begin = (host: number, fresh: boolean): number => {
    pending.start(() => allocatingWrite(disk, { plan, host, fresh, bufs, range }));
    return plan.length;
  };
  if (plan.treatment === Treatment.KEEP) return begin(plan.host, false);
  const allocated = orUndo(
    () => disk.allocator.allocate(plan.clusters),
    () => disk.inFlight.end(range),
  );
  return after(allocated, (first) => {
    const fresh = disk.isBlank(first);
    disk.allocator.touch(first + plan.clusters);
    return begin(first * disk.geometry.clusterSize, fresh);
  });
}
