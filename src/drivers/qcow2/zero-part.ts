/**
 * Zeroing less than a unit (cluster or subcluster). Where the unit holds no data of its own and the rest of it reads
 * as zeroes already, all of it becomes a zero unit: no cluster is taken, nothing is copied. Elsewhere the request
 * is declined, and zeroes are written.
 */
import { after, type Maybe } from '../../core/async/maybe.ts';
import { chainStatus } from '../../core/block/own-node.ts';
import { NotSupported } from '../../core/errors/block-error.ts';
import type { OldCell } from './cleared-entry.ts';
import type { Disk } from './disk.ts';
import { mapRun, RunKind } from './mapping.ts';
import { ClusterKind, clusterKind, subclusterMask } from './meta/entries.ts';

interface Range {
  readonly offset: number;
  readonly length: number;
}

/** The whole unit around `part`, which lies in one; NotSupported when zeroing all of it would change more. */
export function unitToZero(disk: Disk, part: Range): Maybe<Range> {
  const { subclusterSize: size } = disk.geometry;
  const offset = Math.floor(part.offset / size) * size;
  const unit = { offset, length: Math.min(size, disk.size - offset) };
  const end = offset + unit.length;
  const partEnd = part.offset + part.length;
  // A raw data file would be zeroed before it is known whether the entry allows it.
  if (partEnd > end || disk.dataFileRaw) throw declined(part);
  return after(mapRun(disk, offset, unit.length), (run) => {
    if (run.length < unit.length) throw declined(part);
    if (run.kind === RunKind.ZERO) return unit;
    if (run.kind !== RunKind.UNALLOCATED) throw declined(part);
    const head = { offset, length: part.offset - offset };
    const tail = { offset: partEnd, length: end - partEnd };
    return after(hiddenIsZero(disk, head), (headZero) =>
      after(headZero && hiddenIsZero(disk, tail), (zero) => {
        if (!zero) throw declined(part);
        return unit;
      }),
    );
  });
}

/** Throws when data came into the subclusters of `cell` since {@link unitToZero} looked. */
export function assertStillEmpty(disk: Disk, cell: OldCell): void {
  const { geometry } = disk;
  const kind = clusterKind(geometry, cell.hi, cell.lo, disk.dataFile !== undefined);
  const { subclusterSize, extendedL2 } = geometry;
  const mask = extendedL2
    ? subclusterMask(Math.floor(cell.from / subclusterSize), Math.ceil(cell.to / subclusterSize))
    : 0;
  const data = extendedL2 ? (cell.allocated & mask) !== 0 : kind === ClusterKind.NORMAL;
  if (data || kind === ClusterKind.COMPRESSED) throw declined({ offset: cell.from, length: cell.to - cell.from });
}

/** Whether the status of the backing chain, without reading it, says that a range is zero. */
function hiddenIsZero(disk: Disk, { offset, length }: Range): Maybe<boolean> {
  const { backing } = disk;
  if (!backing || length === 0 || offset >= backing.size) return true;
  return after(chainStatus(backing.node, undefined, { offset, length }), (extent) => {
    if (!extent.zero) return false;
    if (extent.length === 0) return true;
    return hiddenIsZero(disk, { offset: offset + extent.length, length: length - extent.length });
  });
}

function declined({ offset, length }: Range): NotSupported {
  return new NotSupported(`the unit around the ${length} bytes at ${offset} cannot become zero as a whole`);
}
