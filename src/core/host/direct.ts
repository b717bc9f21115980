/**
 * O_DIRECT: which multiples the kernel wants, and the detour for memory that does not keep to them.
 *
 * Offsets and lengths are aligned by the layer above (it alone can read, modify and write); only the address of the
 * caller's memory is put right here, by going through a buffer of our own.
 */
import { constants } from 'node:os';
import { NotSupported } from '../errors/block-error.ts';
import { addressOf, alignedBuffer, isAligned } from './address.ts';
import { AlignedPool } from './aligned-pool.ts';
import { logicalBlockSize } from './block-device.ts';
import type { PoolCalls } from './calls.ts';
import { libc } from './libc.ts';
import { totalLength } from './vectors.ts';

/** What transfers must be multiples of, in bytes: offsets and lengths, and addresses. 1 means anything goes. */
export interface Alignment {
  readonly request: number;
  readonly memory: number;
}

export const UNALIGNED: Alignment = { request: 1, memory: 1 };

const AT_EMPTY_PATH = 0x1000;
const STATX_DIOALIGN = 0x2000;
/** Offsets in `struct statx`, and its size. */
const STX = { mask: 0, dioMemoryAlign: 152, dioOffsetAlign: 156, bytes: 256 } as const;

/** Sizes tried where nobody says: from a classic sector to a page. */
const CANDIDATES: readonly number[] = [512, 1024, 2048, 4096];
const LARGEST = 4096;

/** The alignment of a file that is open with O_DIRECT. Throws where the filesystem has no direct I/O for it after all. */
export async function probeAlignment(fd: number, path: string, calls: PoolCalls): Promise<Alignment> {
  const told = statxAlignment(fd);
  if (told !== undefined) {
    if (told.memory === 0 || told.request === 0) throw directRefused(path);
    return told;
  }
  const request = logicalBlockSize(fd) ?? (await probeRequest(fd, calls));
  return { request, memory: await probeMemory(fd, calls, request) };
}

/** The one line for a filesystem without direct I/O. */
export function directRefused(path: string, cause?: unknown): NotSupported {
  return new NotSupported(`Could not open '${path}': its filesystem does not support direct I/O (O_DIRECT)`, {
    hint: 'Use a cache mode without cache.direct=on, such as writeback',
    cause,
  });
}

/** What the kernel says itself (Linux 6.1 and later, not on every filesystem); zeroes where it says "no direct I/O". */
function statxAlignment(fd: number): Alignment | undefined {
  const statx = libc('statx');
  if (statx === undefined) return undefined;
  const record = new DataView(new ArrayBuffer(STX.bytes));
  const emptyPath = new Uint8Array(8);
  if (statx(fd, addressOf(emptyPath), AT_EMPTY_PATH, STATX_DIOALIGN, addressOf(record)) !== 0) return undefined;
  if ((record.getUint32(STX.mask, true) & STATX_DIOALIGN) === 0) return undefined;
  return { request: record.getUint32(STX.dioOffsetAlign, true), memory: record.getUint32(STX.dioMemoryAlign, true) };
}

async function readable(fd: number, calls: PoolCalls, buffer: Uint8Array): Promise<boolean> {
  return (await calls.read(fd, buffer, 0, 0)) !== -constants.errno.EINVAL;
}

async function probeRequest(fd: number, calls: PoolCalls): Promise<number> {
  const page = alignedBuffer(LARGEST, LARGEST);
  // A file that lets even one byte pass is empty or does not check: nothing was learnt, so the largest is taken.
  if (await readable(fd, calls, page.subarray(0, 1))) return LARGEST;
  for (const size of CANDIDATES) if (await readable(fd, calls, page.subarray(0, size))) return size;
  return LARGEST;
}

async function probeMemory(fd: number, calls: PoolCalls, request: number): Promise<number> {
  const room = alignedBuffer(LARGEST + request, LARGEST);
  if (await readable(fd, calls, room.subarray(1, 1 + request))) return LARGEST;
  for (const shift of CANDIDATES) {
    if (shift < LARGEST && (await readable(fd, calls, room.subarray(shift, shift + request)))) return shift;
  }
  return LARGEST;
}

/** The same calls for memory at any address: what is not aligned goes through a buffer that is. */
export function bouncing(calls: PoolCalls, alignment: Alignment): PoolCalls {
  const pool = new AlignedPool(alignment.memory);
  const fits = (buffer: Uint8Array): boolean =>
    isAligned(buffer, alignment.memory) && buffer.length % alignment.request === 0;

  async function lend<T>(length: number, use: (bounce: Uint8Array) => Promise<T>): Promise<T> {
    const bounce = pool.take(length);
    try {
      return await use(bounce);
    } finally {
      pool.give(bounce);
    }
  }

  function readv(fd: number, buffers: readonly Uint8Array[], offset: number): Promise<number> {
    if (buffers.every(fits)) return calls.readv(fd, buffers, offset);
    return lend(totalLength(buffers), async (bounce) => {
      const result = await calls.read(fd, bounce, 0, offset);
      scatter(bounce.subarray(0, Math.max(result, 0)), buffers);
      return result;
    });
  }

  function writev(fd: number, buffers: readonly Uint8Array[], offset: number): Promise<number> {
    if (buffers.every(fits)) return calls.writev(fd, buffers, offset);
    return lend(totalLength(buffers), (bounce) => {
      gather(buffers, bounce);
      return calls.write(fd, bounce, 0, offset);
    });
  }

  return {
    read: (fd, buffer, start, offset) =>
      fits(buffer.subarray(start))
        ? calls.read(fd, buffer, start, offset)
        : readv(fd, [buffer.subarray(start)], offset),
    write: (fd, buffer, start, offset) =>
      fits(buffer.subarray(start))
        ? calls.write(fd, buffer, start, offset)
        : writev(fd, [buffer.subarray(start)], offset),
    readv,
    writev,
    flush: (fd) => calls.flush(fd),
  };
}

function scatter(from: Uint8Array, buffers: readonly Uint8Array[]): void {
  let at = 0;
  for (const buffer of buffers) {
    buffer.set(from.subarray(at, at + buffer.length));
    at += buffer.length;
    if (at >= from.length) return;
  }
}

function gather(buffers: readonly Uint8Array[], to: Uint8Array): void {
  let at = 0;
  for (const buffer of buffers) {
    to.set(buffer, at);
    at += buffer.length;
  }
}
