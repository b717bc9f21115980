/** Reading: runs are read side by side, straight into the caller's buffers. */
import { after, type Maybe } from '../../core/async/maybe.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { sliceBuffers } from '../../core/bytes/buffers.ts';
import { readCompressed } from './compressed-read.ts';
import type { DiskView } from './disk-view.ts';
import { mapRun, type Run, RunKind } from './mapping.ts';
import { walk } from './sequence.ts';

/** Fill `buf` from `offset`. What is plain data, and known to be, has gone the straight way already. */
export function read(disk: DiskView, offset: number, buf: Uint8Array): Maybe<void> {
  const run = mapRun(disk, offset, buf.length);
  // The table is there now: what it says is asked again, since it must not be held across a wait.
  if (run instanceof Promise) return run.then(() => readv(disk, offset, [buf], buf.length));
  if (run.length === buf.length) return readRun(disk, run, offset, [buf]);
  return readv(disk, offset, [buf], buf.length);
}

/** Fill several buffers, `length` bytes together. */
export function readv(disk: DiskView, offset: number, bufs: readonly Uint8Array[], length: number): Maybe<void> {
  return walk(length, (at, pending) =>
    after(mapRun(disk, offset + at, length - at), (run) => {
      const parts = at === 0 && run.length === length ? bufs : sliceBuffers(bufs, at, at + run.length);
      pending.start(() => readRun(disk, run, offset + at, parts));
      return run.length;
    }),
  );
}

function readRun(disk: DiskView, run: Run, offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
  switch (run.kind) {
    case RunKind.DATA:
      return disk.announcing('read_aio', () => disk.content.readv(run.host, bufs, offset));
    case RunKind.ZERO:
      for (const buf of bufs) buf.fill(0);
      return;
    case RunKind.COMPRESSED:
      return readCompressed(disk, run, offset % disk.geometry.clusterSize, bufs);
    case RunKind.UNALLOCATED:
      if (disk.backing) return readBacking(disk, disk.backing, offset, bufs);
      for (const buf of bufs) buf.fill(0);
  }
}

function readBacking(disk: DiskView, backing: Edge, offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
  return disk.announcing('read_backing_aio', () => backing.readv(offset, bufs));
}
