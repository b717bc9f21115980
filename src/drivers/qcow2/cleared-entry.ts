/** What an L2 entry becomes when its cluster, or some of its subclusters, are zeroed or discarded. */
import { NotSupported } from '../../core/errors/block-error.ts';
import type { Disk } from './disk.ts';
import {
  ALL_SUBCLUSTERS,
  ClusterKind,
  clusterKind,
  entryLo,
  isCompressed,
  subclusterMask,
  ZERO_PLAIN_HI,
  ZERO_PLAIN_LO,
} from './meta/entries.ts';

/** An entry and the bytes [from, to) of its cluster that are concerned. */
export interface OldCell {
  readonly hi: number;
  readonly lo: number;
  /** Subcluster bitmaps; 0 without extended entries. */
  readonly zero: number;
  readonly allocated: number;
  readonly from: number;
  readonly to: number;
}

export interface Cleared {
  readonly hi: number;
  readonly lo: number;
  readonly zero: number;
  readonly allocated: number;
  /** The entry does not refer to its old host cluster any more. */
  readonly dropsHost: boolean;
}

const NOTHING: Cleared = { hi: 0, lo: 0, zero: 0, allocated: 0, dropsHost: true };
const ZERO_PLAIN: Cleared = { hi: ZERO_PLAIN_HI, lo: ZERO_PLAIN_LO, zero: 0, allocated: 0, dropsHost: true };
const ALL_ZERO: Cleared = { hi: 0, lo: 0, zero: ALL_SUBCLUSTERS, allocated: 0, dropsHost: true };

/** Version 3 only: reads as zeroes; the host cluster is kept unless it may go. */
export function zeroed(disk: Disk, cell: OldCell, unmap: boolean): Cleared {
  const { extendedL2, clusterSize } = disk.geometry;
  if (cell.from > 0 || cell.to < clusterSize) return zeroedPart(disk, cell);
  const kind = clusterKind(disk.geometry, cell.hi, cell.lo, disk.dataFile !== undefined);
  const hosted = kind === ClusterKind.NORMAL || kind === ClusterKind.ZERO_ALLOC;
  const drops = kind === ClusterKind.COMPRESSED || (hosted && unmap && !disk.settings.discardNoUnref);
  if (drops || !hosted) return extendedL2 ? ALL_ZERO : ZERO_PLAIN;
  return keptAsZero(disk, cell);
}

function keptAsZero(disk: Disk, cell: OldCell): Cleared {
  if (disk.geometry.extendedL2) {
    return { hi: cell.hi, lo: cell.lo, zero: ALL_SUBCLUSTERS, allocated: 0, dropsHost: false };
  }
  return { hi: cell.hi, lo: entryLo(cell.lo, true), zero: 0, allocated: 0, dropsHost: false };
}

/** Whole subclusters of an extended entry. */
function zeroedPart(disk: Disk, cell: OldCell): Cleared {
  const { subclusterSize, extendedL2 } = disk.geometry;
  if (!extendedL2 || isCompressed(cell.hi)) throw new NotSupported('part of a cluster cannot be zeroed in its entry');
  const mask = subclusterMask(Math.floor(cell.from / subclusterSize), Math.ceil(cell.to / subclusterSize));
  return {
    hi: cell.hi,
    lo: cell.lo,
    zero: (cell.zero | mask) >>> 0,
    allocated: (cell.allocated & ~mask) >>> 0,
    dropsHost: false,
  };
}

/**
 * A whole cluster is given back. It reads as zeroes afterwards, which needs an entry only where something
 * else would show; `full` removes the entry in any case.
 */
export function discarded(disk: Disk, cell: OldCell, full: boolean): Cleared {
  const { version, extendedL2 } = disk.geometry;
  if (full) return NOTHING;
  const kind = clusterKind(disk.geometry, cell.hi, cell.lo, disk.dataFile !== undefined);
  const hosted = kind === ClusterKind.NORMAL || kind === ClusterKind.ZERO_ALLOC;
  if (disk.backing === undefined && !hosted && kind !== ClusterKind.COMPRESSED) {
    return { ...cell, dropsHost: false };
  }
  if (version < 3) return NOTHING;
  if (hosted && disk.settings.discardNoUnref) return keptAsZero(disk, cell);
  return extendedL2 ? ALL_ZERO : ZERO_PLAIN;
}
