/**
 * What happens once, before an opened image is changed for the first time:
 * the places of its metadata are collected for the overlap check; enabled bitmaps are marked as not in step
 * with the disk any more; with lazy refcounts the dirty bit is set. All of it is stable before the change.
 */
import { after, all, type Maybe } from '../../core/async/maybe.ts';
import type { Disk } from './disk.ts';
import { hostOffset } from './meta/entries.ts';
import { type BitmapsExtension, decodeBitmapsExtension, ExtensionType, findExtension } from './meta/extensions.ts';
import { Autoclear, Incompatible, KNOWN_AUTOCLEAR } from './meta/features.ts';
import { type Snapshot, validateSnapshotL1 } from './meta/snapshot-table.ts';
import { viewOf } from './meta/struct.ts';
import { renewGeneration } from './own-extensions.ts';
import { inOrder, orUndo } from './sequence.ts';

/** Nothing when it has been done; every changing operation begins with this. */
export function beforeWrite(disk: Disk): Maybe<void> {
  const state = disk.writeState;
  if (state.ready) return;
  if (state.preparing) return state.preparing;
  const done = inOrder([
    () => disk.assertUsable(),
    () => dropUnknownAutoclear(disk),
    () => collectPlaces(disk),
    () => disk.bitmaps?.beginWriting(),
    () => renewGeneration(disk),
    () => setDirtyBit(disk),
    () => {
      state.ready = true;
    },
  ]);
  if (!(done instanceof Promise)) return;
  state.preparing = done.finally(() => {
    state.preparing = undefined;
  });
  return state.preparing;
}

/** Unknown autoclear bits go, since what they stand for will not be kept in step. */
export function dropUnknownAutoclear(disk: Disk): Maybe<void> {
  const { header } = disk;
  const known = header.autoclear & KNOWN_AUTOCLEAR;
  const kept = disk.dataFile === undefined ? known & ~Autoclear.DATA_FILE_RAW : known;
  if (kept === header.autoclear) return;
  header.autoclear = kept;
  return inOrder([() => disk.writeHeaderFields(), () => disk.file.flush()]);
}

function collectPlaces(disk: Disk): Maybe<void> {
  const { overlap, header, geometry, l1, refcounts } = disk;
  const { clusterSize } = geometry;
  overlap.setRange('main-header', 0, clusterSize);
  refreshPlaces(disk);
  if (overlap.watches('active-l2')) {
    for (let index = 0; index < l1.entries; index++) {
      const offset = l1.l2Offset(index);
      if (offset > 0 && offset % clusterSize === 0) overlap.add('active-l2', offset);
    }
  }
  if (overlap.watches('refcount-block')) {
    for (let index = 0; index < refcounts.table.entries; index++) {
      const offset = refcounts.table.blockOffset(index);
      if (offset > 0) overlap.add('refcount-block', offset);
    }
  }
  if (header.nbSnapshots > 0) overlap.setRange('snapshot-table', header.snapshotsOffset, tableBytes(disk.snapshots));
  const bitmaps = bitmapsOf(disk);
  if (bitmaps) overlap.setRange('bitmap-directory', bitmaps.directoryOffset, bitmaps.directorySize);
  return all(disk.snapshots.map((snapshot) => collectSnapshot(disk, snapshot)));
}

/** The L1 and refcount tables may have moved. */
export function refreshPlaces(disk: Disk): void {
  disk.overlap.setRange('active-l1', disk.l1.offset, disk.l1.entries * 8);
  const { table } = disk.refcounts;
  disk.overlap.setRange('refcount-table', table.offset, table.clusters * disk.geometry.clusterSize);
}

/** At least the length of the snapshot table: fixed parts, and the variable ones without their padding. */
export function tableBytes(snapshots: readonly Snapshot[]): number {
  return snapshots.reduce((sum, { id, name, extra }) => sum + 40 + extra.length + id.length + name.length, 0);
}

export function collectSnapshot(disk: Disk, snapshot: Snapshot): Maybe<void> {
  const { overlap, geometry, fileName } = disk;
  validateSnapshotL1(snapshot, geometry.clusterSize, fileName);
  if (snapshot.l1Size === 0) return;
  overlap.add('inactive-l1', snapshot.l1TableOffset, snapshot.l1Size * 8);
  if (!overlap.watches('inactive-l2')) return;
  const bytes = new Uint8Array(snapshot.l1Size * 8);
  return after(disk.file.read(snapshot.l1TableOffset, bytes), () => {
    const view = viewOf(bytes);
    for (let index = 0; index < snapshot.l1Size; index++) {
      const offset = hostOffset(view.getUint32(index * 8), view.getUint32(index * 8 + 4));
      if (offset > 0 && offset % geometry.clusterSize === 0) overlap.add('inactive-l2', offset);
    }
  });
}

/** The bitmaps extension, when the header vouches for it. */
export function bitmapsOf(disk: Disk): BitmapsExtension | undefined {
  if ((disk.header.autoclear & Autoclear.BITMAPS) === 0n) return undefined;
  const data = findExtension(disk.parts.extensions, ExtensionType.BITMAPS);
  return data && decodeBitmapsExtension(data, disk.geometry.clusterSize, disk.fileName);
}

function setDirtyBit(disk: Disk): Maybe<void> {
  if (!disk.settings.lazyRefcounts || disk.dirtyBit) return;
  return putDirtyBit(disk);
}

/** From now on, and after a crash, counts are not to be relied on. */
export function markDirty(disk: Disk): Maybe<void> {
  return disk.dirtyBit ? undefined : putDirtyBit(disk);
}

function putDirtyBit(disk: Disk): Maybe<void> {
  disk.header.incompatible |= Incompatible.DIRTY;
  return orUndo(
    () => inOrder([() => disk.writeHeaderFields(), () => disk.file.flush()]),
    () => {
      disk.header.incompatible &= ~Incompatible.DIRTY;
    },
  );
}

/**
 * Run `action`, which changes counts and the flags that go with them in many places: after a crash in the middle the
 * dirty bit has the next one who opens the image for writing put them right. Version 2 has no such bit; there a check
 * complains of flags, which do no harm. After a failure the bit stays until the image is closed.
 */
export async function withDirtyBit<T>(disk: Disk, action: () => Promise<T>): Promise<T> {
  if (disk.header.version < 3 || disk.dirtyBit) return action();
  await putDirtyBit(disk);
  const result = await action();
  disk.header.incompatible &= ~Incompatible.DIRTY;
  await disk.writeHeaderFields();
  await disk.file.flush();
  return result;
}

/** At close, after everything is written: counts on disk are right again. */
export function clearDirtyBit(disk: Disk): Maybe<void> {
  if (!disk.dirtyBit) return;
  disk.header.incompatible &= ~Incompatible.DIRTY;
  disk.writeState.ready = false;
  return inOrder([() => disk.writeHeaderFields(), () => disk.file.flush()]);
}
