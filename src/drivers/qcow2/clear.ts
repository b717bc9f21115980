/**
 * Zeroing and discarding: entries change, data stays untouched or is given back. A stretch that an allocating
 * write has in flight is waited for.
 */
import { after, all, type Maybe } from '../../core/async/maybe.ts';
import type { Flags } from '../../core/block/driver.ts';
import { Flag } from '../../core/block/driver.ts';
import { merge, type Range } from '../../core/bytes/ranges.ts';
import { NotSupported } from '../../core/errors/block-error.ts';
import { relieveDeferred } from './allocating-write.ts';
import type { FreeReason } from './allocator.ts';
import { type Cleared, discarded, type OldCell, zeroed } from './cleared-entry.ts';
import type { Disk } from './disk.ts';
import { l2SliceForWrite } from './l2-tables.ts';
import { freeEntry } from './link.ts';
import { mapRun, RunKind } from './mapping.ts';
import { ClusterKind, clusterKind, hostOffset } from './meta/entries.ts';
import { inOrder, type Pending, walk } from './sequence.ts';
import type { Table } from './table-cache.ts';
import type { Turn } from './turns.ts';
import { assertStillEmpty, unitToZero } from './zero-part.ts';

type Change = (cell: OldCell) => Cleared;

interface Clearing {
  readonly offset: number;
  readonly length: number;
  readonly change: Change;
  readonly reason: FreeReason;
  /** Entries of nothing need no change, so their tables need not be made. */
  readonly skipUnallocated: boolean;
  readonly turn?: Turn | undefined;
}

/** A range, and whoever is to go on when it has the tables that it needs. */
export interface Zeroing {
  readonly offset: number;
  readonly length: number;
  readonly turn?: Turn | undefined;
}

/**
 * Make a range read as zeroes; NotSupported where only writing can do that. A range that is not whole units must lie
 * within one.
 */
export function zero(disk: Disk, { offset, length, turn }: Zeroing, flags: Flags): Maybe<void> {
  const { subclusterSize, version } = disk.geometry;
  const end = offset + length;
  if (version < 3 && disk.backing) {
    throw new NotSupported(`version 2 of qcow2 has no zero clusters to hide the backing file of '${disk.fileName}'`);
  }
  if (offset % subclusterSize === 0 && (end % subclusterSize === 0 || end >= disk.size)) {
    return zeroUnits(disk, { offset, length, turn }, flags);
  }
  return after(unitToZero(disk, { offset, length }), (unit) =>
    zeroUnits(disk, { ...unit, turn }, flags, (cell) => assertStillEmpty(disk, cell)),
  );
}

/** `allowed` throws for an entry that must not be changed. */
function zeroUnits(
  disk: Disk,
  { offset, length, turn }: Zeroing,
  flags: Flags,
  allowed?: (cell: OldCell) => void,
): Maybe<void> {
  const { version } = disk.geometry;
  const unmap = (flags & Flag.MAY_UNMAP) !== 0;
  const clearing: Clearing = {
    offset,
    length,
    change: (cell) => {
      allowed?.(cell);
      return version < 3 ? discarded(disk, cell, true) : zeroed(disk, cell, unmap);
    },
    reason: 'request',
    skipUnallocated: version < 3,
    turn,
  };
  return inOrder([() => forwardZero(disk, offset, length, flags), () => clear(disk, clearing)]);
}

/** Give back whole clusters, which then read as zeroes; `full` also forgets that they hid the backing file. */
export function discard(
  disk: Disk,
  range: { readonly offset: number; readonly length: number },
  options: { readonly full: boolean; readonly reason: FreeReason } = { full: false, reason: 'request' },
): Maybe<void> {
  const { clusterSize, version } = disk.geometry;
  if (version < 3 && disk.backing && !options.full) {
    throw new NotSupported(`version 2 of qcow2 has no zero clusters to hide the backing file of '${disk.fileName}'`);
  }
  const start = Math.ceil(range.offset / clusterSize) * clusterSize;
  const requested = range.offset + range.length;
  const end = requested >= disk.size ? requested : Math.floor(requested / clusterSize) * clusterSize;
  if (end <= start) return;
  const clearing: Clearing = {
    offset: start,
    length: end - start,
    change: (cell) => discarded(disk, cell, options.full),
    reason: options.reason,
    skipUnallocated: options.full || disk.backing === undefined,
  };
  return inOrder([
    () => (options.full ? undefined : forwardZero(disk, start, end - start, Flag.MAY_UNMAP)),
    () => clear(disk, clearing),
  ]);
}

/** A raw data file must show the zeroes itself. */
function forwardZero(disk: Disk, offset: number, length: number, flags: Flags): Maybe<void> {
  if (!disk.dataFile || !disk.dataFileRaw) return;
  const inside = Math.min(length, disk.size - offset);
  return disk.dataFile.zero(offset, inside, flags & Flag.MAY_UNMAP);
}

function clear(disk: Disk, clearing: Clearing): Maybe<void> {
  return inOrder([
    () => walk(clearing.length, (at, pending) => clearStep(disk, clearing, at, pending), clearing.turn),
    () => relieveDeferred(disk),
  ]);
}

function clearStep(disk: Disk, clearing: Clearing, at: number, pending: Pending): Maybe<number> {
  disk.assertUsable();
  const { l2Coverage, clusterSize, l2Entries } = disk.geometry;
  const offset = clearing.offset + at;
  const left = clearing.length - at;
  if (clearing.skipUnallocated) {
    const run = mapRun(disk, offset, left);
    if (run instanceof Promise) return run.then(() => clearStep(disk, clearing, at, pending));
    const whole = run.length >= left || (offset + run.length) % clusterSize === 0;
    const idle = !disk.inFlight.overlapping(
      Math.floor(offset / clusterSize),
      Math.ceil((offset + run.length) / clusterSize),
    );
    if (run.kind === RunKind.UNALLOCATED && whole && idle) return run.length;
  }
  const cluster = Math.floor(offset / clusterSize);
  const l1Index = Math.floor(offset / l2Coverage);
  const l2Index = cluster % l2Entries;
  const slice = l2SliceForWrite(disk, l1Index, l2Index);
  if (slice instanceof Promise || !slice) return again(slice, () => clearStep(disk, clearing, at, pending));
  const inSlice = disk.sliceEntries - (l2Index % disk.sliceEntries);
  const end = Math.min(Math.ceil((offset + left) / clusterSize), cluster + inSlice);
  const conflict = disk.inFlight.overlapping(cluster, end);
  if (conflict) return conflict.whenEnded().then(() => clearStep(disk, clearing, at, pending));
  const bytes = Math.min(left, end * clusterSize - offset);
  pending.start(() => clearInSlice(disk, slice, clearing, { offset, length: bytes }));
  return bytes;
}

function again<T>(first: Promise<unknown> | undefined, action: () => Maybe<T>): Maybe<T> {
  return first ? first.then(action) : action();
}

function clearInSlice(
  disk: Disk,
  table: Table,
  clearing: Clearing,
  range: { readonly offset: number; readonly length: number },
): Maybe<void> {
  const { clusterSize, l2Entries, l2EntrySize, extendedL2 } = disk.geometry;
  const { view } = table;
  const end = range.offset + range.length;
  const vacated: Range[] = [];
  let dirtyFrom = Number.MAX_SAFE_INTEGER;
  let dirtyTo = 0;
  for (let offset = range.offset; offset < end; ) {
    const cluster = Math.floor(offset / clusterSize);
    const start = cluster * clusterSize;
    const stop = Math.min(end, start + clusterSize);
    const at = ((cluster % l2Entries) % disk.sliceEntries) * l2EntrySize;
    const old: OldCell = {
      hi: view.getUint32(at),
      lo: view.getUint32(at + 4),
      zero: extendedL2 ? view.getUint32(at + 8) : 0,
      allocated: extendedL2 ? view.getUint32(at + 12) : 0,
      from: offset - start,
      to: stop >= disk.size ? clusterSize : stop - start,
    };
    offset = stop;
    const next = clearing.change(old);
    if (same(old, next)) continue;
    view.setUint32(at, next.hi);
    view.setUint32(at + 4, next.lo);
    if (extendedL2) {
      view.setUint32(at + 8, next.zero);
      view.setUint32(at + 12, next.allocated);
    }
    dirtyFrom = Math.min(dirtyFrom, at);
    dirtyTo = at + l2EntrySize;
    if (next.dropsHost) drop(disk, old, { reason: clearing.reason, cluster, vacated });
  }
  if (dirtyFrom < dirtyTo) disk.l2.markDirty(table, dirtyFrom, dirtyTo);
  const { dataFile } = disk;
  if (dataFile && vacated.length > 0)
    return all(merge(vacated).map((gone) => dataFile.discard(gone.offset, gone.length)));
}

function same(old: OldCell, next: Cleared): boolean {
  return old.hi === next.hi && old.lo === next.lo && old.zero === next.zero && old.allocated === next.allocated;
}

interface Dropping {
  readonly reason: FreeReason;
  readonly cluster: number;
  /** Collects what a data file can give back. */
  readonly vacated: Range[];
}

/** The reference to the host cluster is gone. */
function drop(disk: Disk, old: OldCell, { reason, cluster, vacated }: Dropping): void {
  if (!disk.dataFile) {
    freeEntry(disk, { hi: old.hi, lo: old.lo, reason });
    return;
  }
  const { clusterSize } = disk.geometry;
  const kind = clusterKind(disk.geometry, old.hi, old.lo, true);
  const hosted = kind === ClusterKind.NORMAL || kind === ClusterKind.ZERO_ALLOC;
  if (!hosted || disk.dataFileRaw || !disk.settings.passDiscard[reason]) return;
  const length = Math.min(clusterSize, disk.size - cluster * clusterSize);
  if (hostOffset(old.hi, old.lo) === cluster * clusterSize) vacated.push({ offset: cluster * clusterSize, length });
}
