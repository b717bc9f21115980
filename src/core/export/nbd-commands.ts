/** Commands without data in either direction, and block status. */
import { Flag } from '../block/driver.ts';
import { ChunkType, Command, CommandFlag, encodeChunk, encodeStatus, type RequestHeader } from '../nbd/index.ts';
import { MAX_EXTENTS, type MetaContext } from './meta-contexts.ts';
import type { Transmission } from './nbd-transmission.ts';
import { payloads } from './payload-memory.ts';

/** Carry out a request that was found to be in order, and reply. */
export function carryOut(transmission: Transmission, request: RequestHeader): Promise<void> | void {
  if (request.command === Command.BLOCK_STATUS) {
    return blockStatus(transmission, request, request.length, transmission.session.contexts);
  }
  const done = change(transmission, request);
  if (done instanceof Promise) return done.then(() => transmission.succeed(request));
  transmission.succeed(request);
}

function change(transmission: Transmission, request: RequestHeader): Promise<void> | void {
  const { backend } = transmission.session.target;
  const { command, offset, length } = request;
  if (command === Command.FLUSH) return backend.flush();
  if (length === 0) return;
  if (command === Command.WRITE_ZEROES) return backend.zero(offset, length, zeroFlags(request));
  if (command === Command.TRIM) return trim(transmission, request);
  return cache(transmission, request);
}

function zeroFlags({ flags }: RequestHeader): number {
  let result: number = Flag.NONE;
  if ((flags & CommandFlag.FUA) !== 0) result |= Flag.FUA;
  if ((flags & CommandFlag.NO_HOLE) === 0) result |= Flag.MAY_UNMAP;
  if ((flags & CommandFlag.FAST_ZERO) !== 0) result |= Flag.NO_FALLBACK;
  return result;
}

async function trim({ session }: Transmission, { offset, length, flags }: RequestHeader): Promise<void> {
  const { backend } = session.target;
  await backend.discard(offset, length);
  if ((flags & CommandFlag.FUA) !== 0) await backend.flush();
}

/** Reading fills the page cache, and whatever copies on read below. */
async function cache({ session }: Transmission, { offset, length }: RequestHeader): Promise<void> {
  const { backend } = session.target;
  const data = payloads.take(Math.min(length, payloads.piece));
  try {
    for (let at = 0; at < length; at += data.length) {
      await backend.read(offset + at, data.subarray(0, Math.min(data.length, length - at)));
    }
  } finally {
    payloads.give(data);
  }
}

/** One chunk for each context; `length` is how much of the export is asked about. */
export async function blockStatus(
  { channel: { sender }, session }: Transmission,
  request: RequestHeader,
  length: number,
  contexts: readonly MetaContext[],
): Promise<void> {
  const { form } = session;
  const most = (request.flags & CommandFlag.REQ_ONE) !== 0 ? 1 : MAX_EXTENTS;
  const type = form === 'extended' ? ChunkType.BLOCK_STATUS_EXT : ChunkType.BLOCK_STATUS;
  const chunks: Buffer[] = [];
  // All of them before the first is sent: an error is then the whole reply.
  for (const context of contexts) {
    const extents = await context.status(request.offset, length, most);
    const done = chunks.length === contexts.length - 1;
    chunks.push(encodeChunk(form, request, { type, done }, encodeStatus(form, context.id, extents)));
  }
  for (const chunk of chunks) sender.append(chunk);
}
