/**
 * All of a small file that a user names: a password, a key. It may be a pipe or a terminal, whose data comes when it
 * comes. Waiting for it takes no thread, so that the wait can be ended; opening a pipe in the usual way would block one
 * of the few threads there are until somebody opens the other end, and the process with it.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { BlockError, Cancelled } from '../errors/block-error.ts';

/** Milliseconds between two looks at whether there is data. */
const WAIT_MS = 20;

/**
 * Read `file` to its end.
 * @param limit Bytes that it may have.
 * @throws BlockError: the error of the system, EFBIG for a longer file, Cancelled when `signal` is aborted.
 */
export async function readAll(file: string, limit: number, signal?: AbortSignal): Promise<Uint8Array> {
  await using handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  const isPipe = (await handle.stat()).isFIFO();
  const buf = Buffer.alloc(limit + 1);
  let length = 0;
  while (length < buf.length) {
    if (signal?.aborted) throw new Cancelled();
    const count = await readSome(handle, buf.subarray(length));
    // A pipe that nobody has opened for writing yet looks as if it had ended.
    const waits = count === undefined || (count === 0 && isPipe && length === 0);
    if (waits) await sleep(WAIT_MS);
    else if (count === 0) return Buffer.from(buf.subarray(0, length));
    else length += count;
  }
  throw new BlockError(`it is longer than ${limit} bytes`, { code: 'EFBIG' });
}

/** Bytes read, 0 at the end; undefined when there are none yet. */
async function readSome(handle: FileHandle, buf: Uint8Array): Promise<number | undefined> {
  try {
    return (await handle.read(buf, 0, buf.length, null)).bytesRead;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return undefined;
    throw error;
  }
}
