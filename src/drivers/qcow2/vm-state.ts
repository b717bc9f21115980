/**
 * The state of a suspended machine: it lies behind the disk, from the first L2 table on that the disk does not need.
 * It is written in whole clusters, and the backing file does not show through it.
 */
import { after, type Maybe } from '../../core/async/maybe.ts';
import type { VmStateCapability } from '../../core/block/driver.ts';
import { alignDown, alignUp } from '../../core/bytes/ranges.ts';
import { BlockError, NotSupported } from '../../core/errors/block-error.ts';
import type { Disk } from './disk.ts';
import { viewOfDisk } from './disk-view.ts';
import { beforeWrite } from './first-write.ts';
import { growL1 } from './grow-l1.ts';
import { L1Table } from './l1-table.ts';
import { l1EntriesFor } from './meta/geometry.ts';
import { Limit } from './meta/limits.ts';
import { copyOf } from './meta/struct.ts';
import { Mutex } from './mutex.ts';
import { readv } from './read.ts';
import { inOrder } from './sequence.ts';
import { dropReferences } from './snapshots/references.ts';
import { writev } from './write.ts';

/** Offset of the state behind the disk, in bytes. */
export function vmStateOffset({ geometry, header }: Pick<Disk, 'geometry' | 'header'>): number {
  return l1EntriesFor(geometry, header.size) * geometry.l2Coverage;
}

export function vmStateOf(disk: Disk): VmStateCapability {
  const writing = new Mutex();
  return {
    read: (offset, buf) => {
      checkRange(disk, offset, buf.length);
      return disk.announcing('vmstate_load', () => disk.grace.during(() => readState(disk, offset, buf)));
    },
    write: (offset, buf) => {
      checkRange(disk, offset, buf.length);
      if (disk.dataFile) throw new NotSupported(`'${disk.fileName}' keeps its data in another file, not machine state`);
      // Parts of one cluster are written by several requests: one at a time.
      const write = () => disk.announcing('vmstate_save', () => writeState(disk, offset, buf));
      return writing.run(() => after(beforeWrite(disk), write));
    },
  };
}

function checkRange(disk: Disk, offset: number, length: number): void {
  const { geometry, fileName, modes } = disk;
  if (modes.noIo) throw new NotSupported(`'${fileName}' was opened for its header only`);
  const limit = (Limit.MAX_L1_BYTES / 8) * geometry.l2Coverage - vmStateOffset(disk);
  if (offset >= 0 && offset + length <= limit) return;
  throw new BlockError(`machine state of ${length} bytes at ${offset} is out of range, the limit is ${limit}`, {
    code: 'EFBIG',
  });
}

function readState(disk: Disk, offset: number, buf: Uint8Array): Maybe<void> {
  const view = viewOfDisk(disk, { l1: disk.l1, size: Number.MAX_SAFE_INTEGER, hidesBacking: true });
  return readv(view, vmStateOffset(disk) + offset, [buf], buf.length);
}

function writeState(disk: Disk, offset: number, buf: Uint8Array): Maybe<void> {
  const { clusterSize, l2Coverage } = disk.geometry;
  const base = vmStateOffset(disk);
  const start = alignDown(offset, clusterSize);
  const end = alignUp(offset + buf.length, clusterSize);
  const bytes = new Uint8Array(end - start);
  return inOrder([
    () => growL1(disk, Math.ceil((base + end) / l2Coverage)),
    () => (bytes.length === buf.length ? undefined : disk.grace.during(() => readState(disk, start, bytes))),
    () => {
      bytes.set(buf, offset - start);
      return disk.grace.during(() => writev(disk, { offset: base + start, bufs: [bytes], length: bytes.length }));
    },
  ]);
}

/** Free what the active disk holds behind its end: it would come to light when the disk grows. */
export async function dropVmState(disk: Disk): Promise<void> {
  const { l1, geometry, header } = disk;
  const first = l1EntriesFor(geometry, header.size);
  if (l1.nextUsed(first, l1.entries) >= l1.entries) return;
  const state = copyOf(l1.bytes, 0, l1.entries * 8).fill(0, 0, first * 8);
  // Tables that a snapshot shares are let go of as they are, without being copied first.
  await dropReferences(disk, new L1Table(l1.offset, state, 512), { relieve: false });
  for (let index = first; index < l1.entries; index++) {
    disk.overlap.remove('active-l2', l1.l2Offset(index));
    if (l1.l2Offset(index) !== 0) l1.set(index, 0, 0);
  }
}

/** A table past the end of the disk maps nothing any more. */
export function dropTable(disk: Disk, index: number): void {
  const offset = disk.l1.l2Offset(index);
  if (offset === 0) return;
  disk.l1.set(index, 0, 0);
  disk.overlap.remove('active-l2', offset);
  disk.allocator.free(offset / disk.geometry.clusterSize, 1, 'other');
}
