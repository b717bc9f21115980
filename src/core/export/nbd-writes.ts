/**
 * WRITE, and the payloads of other requests.
 *
 * Data is written from where it arrived, without a copy; what is longer than a piece is written as it arrives, so that a
 * request never takes more memory than a piece.
 */
import type { Maybe } from '../async/maybe.ts';
import { nextTurn } from '../async/turn.ts';
import type { Backend } from '../block/backend/backend.ts';
import { Flag } from '../block/driver.ts';
import { BlockError } from '../errors/block-error.ts';
import {
  type ByteReader,
  Command,
  CommandFlag,
  commandName,
  decodeStatusPayload,
  Limit,
  NbdError,
  type RequestHeader,
} from '../nbd/index.ts';
import { refusal } from './nbd-check.ts';
import { blockStatus } from './nbd-commands.ts';
import { putFailure } from './nbd-replies.ts';
import type { Transmission } from './nbd-transmission.ts';
import { payloads } from './payload-memory.ts';

/** Payloads that are too long are passed over up to here, so that the client can be told; beyond, it is cut off. */
const MAX_SKIPPED = 2 * Limit.PAYLOAD;

/** Read the payload of `request` and begin it; undefined when all of that could be done at once. */
export function takePayload(transmission: Transmission, request: RequestHeader): Promise<void> | undefined {
  if (request.command !== Command.WRITE) return takeOther(transmission, request);
  const refused = refusal(request, request.length, transmission.session);
  if (refused)
    return skip(transmission, request, () => putFailure(transmission, request, refused.error, refused.message));
  const data = request.length <= payloads.piece ? transmission.channel.reader.takePieces(request.length) : undefined;
  if (data === undefined) return takeData(transmission, request);
  transmission.write(request, data);
  return undefined;
}

/** Write data that is all there, in the pieces it arrived in. */
export function write(
  transmission: Transmission,
  request: RequestHeader,
  data: readonly Uint8Array[],
): Promise<void> | void {
  const { backend } = transmission.session.target;
  const flags = writeFlags(request);
  const done = put(backend, request.offset, data, flags);
  if (done instanceof Promise) return done.then(() => transmission.succeed(request));
  transmission.succeed(request);
}

function put(backend: Backend, offset: number, data: readonly Uint8Array[], flags: number): Maybe<void> {
  const [first] = data;
  if (data.length > 1) return backend.writev(offset, data, flags);
  if (first !== undefined) return backend.write(offset, first, flags);
}

/** The data has not all arrived. */
async function takeData(transmission: Transmission, request: RequestHeader): Promise<void> {
  const { length } = request;
  if (length > payloads.piece) return writeStream(transmission, request);
  const { reader, sender } = transmission.channel;
  sender.flush();
  await reader.available(length, 'the data of a write');
  transmission.write(request, reader.takePieces(length) ?? []);
}

/**
 * Longer than a piece: written as it arrives, one piece while the next one comes in. After an error the rest is passed
 * over, for the client to be told.
 */
async function writeStream(transmission: Transmission, request: RequestHeader): Promise<void> {
  const { reader, sender } = transmission.channel;
  const { backend } = transmission.session.target;
  // Data that is to be stable is so at the end, with one flush for all pieces.
  const stable = (request.flags & CommandFlag.FUA) !== 0;
  let failure: unknown;
  let writing: Promise<unknown> | undefined;
  sender.flush();
  try {
    let length: number;
    for (let at = 0; at < request.length; at += length) {
      length = Math.min(payloads.piece, request.length - at);
      const data = await arrived(reader, length);
      failure ??= await writing;
      // Errors of the block layer are the reply; those of the connection end it.
      const offset = request.offset + at;
      const put = async () => (failure === undefined ? backend.write(offset, data) : undefined);
      writing = failureOf(put).finally(() => payloads.give(data));
      await nextTurn();
    }
  } finally {
    failure ??= await writing;
  }
  transmission.follow(request, 0, async () => {
    if (failure !== undefined) throw failure;
    if (stable) await backend.flush();
    transmission.succeed(request);
  });
}

/** The next `length` bytes, in memory that is borrowed. */
async function arrived(reader: ByteReader, length: number): Promise<Uint8Array> {
  const data = payloads.take(length);
  try {
    await reader.readInto(data, 'the data of a write');
    return data;
  } catch (error) {
    // The socket may have been told to read there, and cannot be told otherwise.
    payloads.abandon(data);
    throw error;
  }
}

async function failureOf(action: () => Promise<void>): Promise<unknown> {
  try {
    await action();
    return undefined;
  } catch (error) {
    return error;
  }
}

/** With extended headers any request may bring a payload; only block status has a use for it. */
async function takeOther(transmission: Transmission, request: RequestHeader): Promise<void> {
  const { command } = request;
  if (command !== Command.BLOCK_STATUS || request.length > Limit.STRING) {
    const message = `${commandName(command)} takes no payload of ${request.length} bytes`;
    return skip(transmission, request, () => putFailure(transmission, request, NbdError.EINVAL, message));
  }
  const { reader } = transmission.channel;
  const payload = decodeStatusPayload(await reader.readExactly(request.length, 'a payload', Limit.STRING));
  const { contexts } = transmission.session;
  const chosen = contexts.filter(({ id }) => payload?.ids.includes(id));
  if (payload === undefined || chosen.length !== payload.ids.length || chosen.length === 0) {
    const message = 'the payload of a block status names no contexts, twice the same, or one that was not negotiated';
    return putFailure(transmission, request, NbdError.EINVAL, message);
  }
  const refused = refusal(request, payload.length, transmission.session);
  if (refused) return putFailure(transmission, request, refused.error, refused.message);
  transmission.follow(request, 0, () => blockStatus(transmission, request, payload.length, chosen));
}

/** Pass over the payload, then say why it is of no use. */
async function skip(transmission: Transmission, request: RequestHeader, reply: () => void): Promise<void> {
  const { session, channel } = transmission;
  const most = session.form === 'extended' ? session.maximumPayload : MAX_SKIPPED;
  if (request.length > most) {
    throw new BlockError(`a payload of ${request.length} bytes is longer than the limit of ${most}`, {
      code: 'EPROTO',
    });
  }
  channel.sender.flush();
  await channel.reader.skip(request.length, 'a payload');
  reply();
}

function writeFlags({ flags }: RequestHeader): number {
  return (flags & CommandFlag.FUA) !== 0 ? Flag.FUA : Flag.NONE;
}
