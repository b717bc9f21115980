/**
 * The loops around single transfers: short counts are continued, interrupted calls repeated, large ones split.
 * A read ends early only at the end of the file.
 */
import { constants } from 'node:os';
import { sleep } from '../async/sleep.ts';
import { type HostCalls, MAX_TRANSFER, type SyncCalls } from './calls.ts';
import { hostError } from './errno.ts';
import { firstBatch, skipBytes, totalLength } from './vectors.ts';

const { EAGAIN, EINTR, EOPNOTSUPP, EINVAL, ENOSPC } = constants.errno;

/** How often a call that answers EAGAIN is repeated, a millisecond apart, before it counts as an error. */
const MAX_AGAIN = 1000;

/** What the loops need to know of a file. */
export interface TransferTarget {
  readonly fd: number;
  readonly path: string;
  readonly calls: HostCalls;
  /** Multiple that offsets keep (O_DIRECT); 1 else. A count that is no multiple of it means the end of the file. */
  readonly granule: number;
}

function readError(target: TransferTarget, offset: number, length: number, errno: number): Error {
  const action = `read ${length} bytes at offset ${offset} of`;
  return hostError(action, target.path, errno, { data: { offset, length } });
}

function writeError(target: TransferTarget, offset: number, length: number, errno: number): Error {
  const action = `write ${length} bytes at offset ${offset} of`;
  return hostError(action, target.path, errno, { data: { offset, length } });
}

/** One attempt after another until it is neither interrupted nor told to try again. */
async function settled(attempt: () => Promise<number>): Promise<number> {
  for (let again = 0; ; ) {
    const result = await attempt();
    if (result === -EINTR) continue;
    if (result !== -EAGAIN || ++again > MAX_AGAIN) return result;
    await sleep(1);
  }
}

/** Read into `buffer` from position `done` on, on the thread pool; `offset` is that of the buffer's start. Bytes in all. */
export async function poolRead(
  target: TransferTarget,
  buffer: Uint8Array,
  done: number,
  offset: number,
): Promise<number> {
  const { fd, calls, granule } = target;
  let at = done;
  while (at < buffer.length) {
    const result = await settled(() => calls.pool.read(fd, buffer, at, offset + at));
    if (result < 0) throw readError(target, offset + at, buffer.length - at, result);
    at += result;
    if (result === 0 || at % granule !== 0) break;
  }
  return at;
}

/** Write all of `buffer` from position `done` on, on the thread pool. */
export async function poolWrite(
  target: TransferTarget,
  buffer: Uint8Array,
  done: number,
  offset: number,
): Promise<void> {
  const { fd, calls } = target;
  let at = done;
  while (at < buffer.length) {
    const result = await settled(() => calls.pool.write(fd, buffer, at, offset + at));
    // A write of nothing without an error is how some devices report their end.
    if (result <= 0) throw writeError(target, offset + at, buffer.length - at, result === 0 ? ENOSPC : result);
    at += result;
  }
}

/** Fill the buffers one after another, on the thread pool. Bytes in all. */
export async function poolReadv(
  target: TransferTarget,
  buffers: readonly Uint8Array[],
  offset: number,
): Promise<number> {
  const { fd, calls, granule } = target;
  const length = totalLength(buffers);
  let rest = buffers;
  let at = 0;
  while (at < length) {
    const batch = firstBatch(rest, MAX_TRANSFER);
    const result = await settled(() => calls.pool.readv(fd, batch, offset + at));
    if (result < 0) throw readError(target, offset + at, length - at, result);
    at += result;
    if (result === 0 || at % granule !== 0) break;
    rest = skipBytes(rest, result);
  }
  return at;
}

/** Write the buffers one after another, on the thread pool. */
export async function poolWritev(
  target: TransferTarget,
  buffers: readonly Uint8Array[],
  offset: number,
): Promise<void> {
  const { fd, calls } = target;
  const length = totalLength(buffers);
  let rest = buffers;
  let at = 0;
  while (at < length) {
    const batch = firstBatch(rest, MAX_TRANSFER);
    const result = await settled(() => calls.pool.writev(fd, batch, offset + at));
    if (result <= 0) throw writeError(target, offset + at, length - at, result === 0 ? ENOSPC : result);
    at += result;
    rest = skipBytes(rest, result);
  }
}

/** How reads of a file are tried before the thread pool: only what is cached, plainly (it is all in memory), or not. */
export type InlineMode = 'cached' | 'plain' | 'off';

/** What an inline read came to: all is read or the file ended; the pool must go on after `done`; the mode is refused. */
export interface InlineOutcome {
  done: number;
  state: 'complete' | 'waits' | 'refused';
}

/** One outcome object serves all inline reads: they are synchronous, and nobody keeps it. */
const outcome: InlineOutcome = { done: 0, state: 'complete' };

function finish(done: number, state: InlineOutcome['state']): InlineOutcome {
  outcome.done = done;
  outcome.state = state;
  return outcome;
}

/**
 * Read what can be read at once. `size` is the file's length as far as we know: Linux 5.9 and 5.10 may answer 0 to
 * RWF_NOWAIT before the end, so a 0 is believed only from there on. The outcome is valid until the next call.
 */
export function inlineRead(
  target: TransferTarget,
  buffer: Uint8Array,
  offset: number,
  options: { readonly call: SyncCalls['read']; readonly size: number },
): InlineOutcome {
  const length = buffer.length;
  let at = 0;
  while (at < length) {
    const result = options.call(target.fd, buffer, at, offset + at);
    if (result > 0) at += result;
    else if (result === 0) return finish(at, offset + at < options.size ? 'waits' : 'complete');
    else if (result === -EAGAIN) return finish(at, 'waits');
    else if (result === -EOPNOTSUPP || result === -EINVAL) return finish(at, 'refused');
    else if (result !== -EINTR) throw readError(target, offset + at, length - at, result);
  }
  return finish(at, 'complete');
}

/** Write at once; the position from which the pool must go on (the length when all is written). */
export function inlineWrite(
  target: TransferTarget,
  buffer: Uint8Array,
  offset: number,
  call: SyncCalls['write'],
): number {
  const length = buffer.length;
  let at = 0;
  while (at < length) {
    const result = call(target.fd, buffer, at, offset + at);
    if (result > 0) at += result;
    else if (result === -EAGAIN) return at;
    else if (result !== -EINTR) {
      throw writeError(target, offset + at, length - at, result === 0 ? ENOSPC : result);
    }
  }
  return at;
}
