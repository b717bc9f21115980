/**
 * All of a small file that a user names: a password, a key. It may be a pipe or a terminal, whose data comes when it
 * comes. Waiting for it takes no thread, so that the wait can be ended; opening a pipe in the usual way would block one
 * of the few threads there are until somebody opens the other end, and the process with it.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { sleep } from '../async/sleep.ts';
import { BlockError, Cancelled } from '../errors/block-error.ts';
import { addressOf } from './address.ts';
import { libc } from './libc.ts';

/** Milliseconds between two looks at whether there is data. */
const WAIT_MS = 20;

/** `struct pollfd`: a descriptor, what is asked for, and what is the case. */
const POLLFD = { revents: 6, bytes: 8 } as const;
/** Somebody had it open for writing, and has no more. */
const POLLHUP = 0x10;

/**
 * Read `file` to its end.
 * @param limit Bytes that it may have.
 * @throws BlockError: the error of the system, EFBIG for a longer file, Cancelled when `signal` is aborted.
 */
export async function readAll(file: string, limit: number, signal?: AbortSignal): Promise<Uint8Array> {
  const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const isPipe = fstatSync(fd).isFIFO();
    const buf = Buffer.alloc(limit + 1);
    let length = 0;
    while (length < buf.length) {
      if (signal?.aborted) throw new Cancelled();
      const count = readSome(fd, buf.subarray(length));
      // A pipe that nobody has opened for writing yet looks as if it had ended.
      const waits = count === undefined || (count === 0 && isPipe && length === 0 && !hasEnded(fd));
      if (waits) await sleep(WAIT_MS);
      else if (count === 0) return Buffer.from(buf.subarray(0, length));
      else length += count;
    }
  } finally {
    closeSync(fd);
  }
  throw new BlockError(`it is longer than ${limit} bytes`, { code: 'EFBIG' });
}

/** Bytes read, 0 at the end; undefined when there are none yet. */
function readSome(fd: number, buf: Uint8Array): number | undefined {
  try {
    return readSync(fd, buf, 0, buf.length, null);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return undefined;
    throw error;
  }
}

/** True for a pipe that was opened for writing and closed again since it was opened here; false where that is not told. */
function hasEnded(fd: number): boolean {
  const poll = libc('poll');
  if (poll === undefined) return false;
  const record = new DataView(new ArrayBuffer(POLLFD.bytes));
  record.setInt32(0, fd, true);
  return poll(addressOf(record), 1, 0) > 0 && (record.getInt16(POLLFD.revents, true) & POLLHUP) !== 0;
}
