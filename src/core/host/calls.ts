/**
 * The transfers a host file is made of, each one attempt: what was moved, or a negated errno. Synchronous ones are there
 * only where the C library is; those on the thread pool are node's and always there. The loops over them stand in
 * transfer.ts, so that tests can hand in calls that transfer short or fail.
 */
import fs from 'node:fs';
import { constants } from 'node:os';
import { addressOf, MAX_VECTORS, Vectors } from './address.ts';
import { type LibcFunction, libc, negativeErrno } from './libc.ts';

/** Answer only from memory: fail with EAGAIN rather than wait for a device. */
const RWF_NOWAIT = 8;
/** One call moves at most this much (the kernel stops a page short of 2 GiB); a power of two keeps O_DIRECT aligned. */
export const MAX_TRANSFER = 1024 * 1024 * 1024;

/** Synchronous calls on the part of `buffer` from `start`. Results: bytes, or a negated errno. */
export interface SyncCalls {
  /** Read what is cached; -EAGAIN when nothing of it is. */
  readonly readCached?: (fd: number, buffer: Uint8Array, start: number, offset: number) => number;
  readonly read: (fd: number, buffer: Uint8Array, start: number, offset: number) => number;
  readonly write: (fd: number, buffer: Uint8Array, start: number, offset: number) => number;
  /** At most {@link MAX_VECTORS} buffers. */
  readonly readv?: (fd: number, buffers: readonly Uint8Array[], offset: number, cached: boolean) => number;
  readonly writev?: (fd: number, buffers: readonly Uint8Array[], offset: number) => number;
}

/** Calls on the thread pool. At most {@link MAX_TRANSFER} bytes and {@link MAX_VECTORS} buffers each. */
export interface PoolCalls {
  read(fd: number, buffer: Uint8Array, start: number, offset: number): Promise<number>;
  write(fd: number, buffer: Uint8Array, start: number, offset: number): Promise<number>;
  readv(fd: number, buffers: readonly Uint8Array[], offset: number): Promise<number>;
  writev(fd: number, buffers: readonly Uint8Array[], offset: number): Promise<number>;
  flush(fd: number): Promise<number>;
}

export interface HostCalls {
  readonly sync: SyncCalls | undefined;
  readonly pool: PoolCalls;
}

/** A callback of node's that turns its outcome into bytes or a negated errno. */
function settle(resolve: (result: number) => void): (error: NodeJS.ErrnoException | null, bytes?: number) => void {
  return (error, bytes = 0) => resolve(error === null ? bytes : -errnoNumber(error.code));
}

function errnoNumber(code: string | undefined): number {
  const numbers: Readonly<Record<string, number>> = constants.errno;
  return numbers[code ?? 'EIO'] ?? constants.errno.EIO;
}

function span(buffer: Uint8Array, start: number): number {
  return Math.min(buffer.length - start, MAX_TRANSFER);
}

export const poolCalls: PoolCalls = {
  read: (fd, buffer, start, offset) =>
    new Promise((resolve) => fs.read(fd, buffer, start, span(buffer, start), offset, settle(resolve))),
  write: (fd, buffer, start, offset) =>
    new Promise((resolve) => fs.write(fd, buffer, start, span(buffer, start), offset, settle(resolve))),
  readv: (fd, buffers, offset) => new Promise((resolve) => fs.readv(fd, buffers, offset, settle(resolve))),
  writev: (fd, buffers, offset) => new Promise((resolve) => fs.writev(fd, buffers, offset, settle(resolve))),
  flush: (fd) => new Promise((resolve) => fs.fdatasync(fd, settle(resolve))),
};

/** One block of records serves all calls: they are synchronous, so it is never in use twice. */
let vectors: Vectors | undefined;

function fill(buffers: readonly Uint8Array[]): Vectors {
  vectors ??= new Vectors(MAX_VECTORS);
  for (const [index, buffer] of buffers.entries()) vectors.set(index, buffer, 0, buffer.length);
  return vectors;
}

type PreadvFlags = LibcFunction<[number, number, number, number, number]>;
type Preadv = LibcFunction<[number, number, number, number]>;

function cachedRead(preadv2: PreadvFlags): NonNullable<SyncCalls['readCached']> {
  const single = new Vectors(1);
  return (fd, buffer, start, offset) => {
    single.set(0, buffer, start, span(buffer, start));
    const result = preadv2(fd, single.address, 1, offset, RWF_NOWAIT);
    return result < 0 ? negativeErrno() : result;
  };
}

function vectorRead(preadv: Preadv, preadv2: PreadvFlags | undefined): NonNullable<SyncCalls['readv']> {
  return (fd, buffers, offset, cached) => {
    const { address } = fill(buffers);
    if (cached && preadv2 === undefined) return -constants.errno.EAGAIN;
    const result =
      cached && preadv2 !== undefined
        ? preadv2(fd, address, buffers.length, offset, RWF_NOWAIT)
        : preadv(fd, address, buffers.length, offset);
    return result < 0 ? negativeErrno() : result;
  };
}

function vectorWrite(pwritev: Preadv): NonNullable<SyncCalls['writev']> {
  return (fd, buffers, offset) => {
    const result = pwritev(fd, fill(buffers).address, buffers.length, offset);
    return result < 0 ? negativeErrno() : result;
  };
}

function plain(call: Preadv): SyncCalls['read'] {
  return (fd, buffer, start, offset) => {
    const result = call(fd, addressOf(buffer) + start, span(buffer, start), offset);
    return result < 0 ? negativeErrno() : result;
  };
}

/** The synchronous calls of this system, or `undefined` where node:fs is all there is. */
export function syncCalls(): SyncCalls | undefined {
  const pread = libc('pread');
  const pwrite = libc('pwrite');
  if (pread === undefined || pwrite === undefined) return undefined;
  const preadv2 = libc('preadv2');
  const preadv = libc('preadv');
  const pwritev = libc('pwritev');
  return {
    read: plain(pread),
    write: plain(pwrite),
    ...(preadv2 === undefined ? {} : { readCached: cachedRead(preadv2) }),
    ...(preadv === undefined ? {} : { readv: vectorRead(preadv, preadv2) }),
    ...(pwritev === undefined ? {} : { writev: vectorWrite(pwritev) }),
  };
}

/** The calls host files are made of on this system. */
export function hostCalls(): HostCalls {
  return { sync: syncCalls(), pool: poolCalls };
}
