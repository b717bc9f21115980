/**
 * READ.
 *
 * Small reads go straight into the block of replies. Larger ones have memory of their own and leave by reference.
 * With structured replies, holes are not sent; without, or when the client wants one piece (DF), a long read has the
 * line for itself and is sent as it is read.
 */

import { after, type Maybe } from '../async/maybe.ts';
import { asBlockError } from '../errors/block-error.ts';
import {
  ChunkType,
  Command,
  CommandFlag,
  encodeChunk,
  encodeError,
  encodeHole,
  errorNumber,
  putReadHeader,
  type RequestHeader,
  readHeaderSize,
} from '../nbd/index.ts';
import { putSuccess } from './nbd-replies.ts';
import type { Transmission } from './nbd-transmission.ts';
import { payloads } from './payload-memory.ts';

/** Up to here data is copied into the block of replies rather than sent by reference. */
const SMALL = 16 * 1024;
/** Below this, looking for holes costs more than sending zeroes. */
const WORTH_A_LOOK = 16 * 1024;

/** Answer a read that was found to be in order. */
export function read(transmission: Transmission, request: RequestHeader): Promise<void> | void {
  if ((request.flags & CommandFlag.FUA) === 0) return readNow(transmission, request);
  // Read back from stable storage, so that what the client sees is there to stay.
  return after(transmission.session.target.backend.flush(), () => readNow(transmission, request));
}

function readNow(transmission: Transmission, request: RequestHeader): Promise<void> | void {
  const { length, flags } = request;
  const { form } = transmission.session;
  if (length === 0) {
    if (form !== 'structured') return putSuccess(transmission, request);
    // A read must be answered in chunks.
    transmission.channel.sender.append(encodeChunk(form, request, { type: ChunkType.NONE, done: true }));
    return;
  }
  if (length <= SMALL) return readSmall(transmission, request);
  if (form !== 'simple' && (flags & CommandFlag.DF) === 0) return readChunks(transmission, request);
  return length <= payloads.piece
    ? readPiece(transmission, request, { ...request, done: true })
    : readStream(transmission, request);
}

function readSmall({ channel: { sender }, session }: Transmission, request: RequestHeader): Promise<void> | void {
  const { offset, length } = request;
  const { form, target } = session;
  const header = readHeaderSize(form);
  sender.place(header + length);
  const start = sender.at + header;
  // May throw, or wait for what is not in memory.
  const done = target.backend.read(offset, sender.bytes.subarray(start, start + length));
  putReadHeader(sender.bytes, sender.at, form, request, { offset, length, done: true });
  if (!(done instanceof Promise)) {
    sender.commit(header + length);
    return;
  }
  const reserved = sender.reserve(header + length);
  return done.then(
    () => sender.sendReserved(reserved),
    (error: unknown) => {
      sender.dropReserved(reserved);
      throw error;
    },
  );
}

interface Piece {
  readonly offset: number;
  readonly length: number;
  /** The last of the reply. */
  readonly done: boolean;
}

/** One piece with its header, in memory of its own. */
function readPiece(transmission: Transmission, request: RequestHeader, piece: Piece): Promise<void> | void {
  const data = payloads.take(piece.length);
  try {
    const done = transmission.session.target.backend.read(piece.offset, data);
    if (!(done instanceof Promise)) return sendPiece(transmission, request, piece, data);
    return done.then(
      () => sendPiece(transmission, request, piece, data),
      (error: unknown) => {
        payloads.give(data);
        throw error;
      },
    );
  } catch (error) {
    payloads.give(data);
    throw error;
  }
}

function sendPiece(
  { channel: { sender }, session: { form } }: Transmission,
  request: RequestHeader,
  piece: Piece,
  data: Uint8Array,
): void {
  const header = readHeaderSize(form);
  sender.place(header);
  putReadHeader(sender.bytes, sender.at, form, request, piece);
  sender.commit(header);
  sender.append(asBuffer(data), () => payloads.give(data));
}

/** Data and holes in chunks of their own ("Structured replies"). */
function readChunks(transmission: Transmission, request: RequestHeader): Promise<void> | void {
  const { offset, length } = request;
  const first = runAt(transmission, offset, length);
  // Mostly it is all data, and known at once.
  if (!(first instanceof Promise) && !first.zero && first.length === length) {
    return readPiece(transmission, request, { offset, length, done: true });
  }
  return readRuns(transmission, request, first);
}

async function readRuns(transmission: Transmission, request: RequestHeader, first: Maybe<Run>): Promise<void> {
  const { channel, session, settings } = transmission;
  const { sender } = channel;
  const end = request.offset + request.length;
  let run = await first;
  for (let at = request.offset; ; ) {
    const { length, zero } = run;
    const done = at + length === end;
    if (zero) {
      const chunk = { type: ChunkType.OFFSET_HOLE, done };
      sender.append(encodeChunk(session.form, request, chunk, encodeHole(at, length)));
    } else {
      await readPiece(transmission, request, { offset: at, length, done });
    }
    if (done) return;
    at += length;
    transmission.served(length);
    sender.flush();
    if (sender.pending >= settings.memory()) await sender.room(settings.memory());
    run = await runAt(transmission, at, end - at);
  }
}

interface Run {
  readonly length: number;
  readonly zero: boolean;
}

/** A run of data (at most a piece) or of zeroes. */
function runAt(transmission: Transmission, offset: number, length: number): Maybe<Run> {
  const piece = Math.min(length, payloads.piece);
  if (length < WORTH_A_LOOK) return { length: piece, zero: false };
  return after(transmission.session.target.backend.chainStatus(offset, length), (extent) => {
    if (extent.length === 0) return { length: piece, zero: false };
    if (extent.zero) return { length: extent.length, zero: true };
    return dataFrom(transmission, offset, { known: extent.length, piece });
  });
}

/**
 * Data of which `known` bytes are known to be such, up to the next zeroes or a whole piece: that it lies here and there
 * is of no interest to the client. Alternating small runs would make more headers than data: what is short is sent as data.
 */
function dataFrom(
  transmission: Transmission,
  offset: number,
  { known, piece }: { readonly known: number; readonly piece: number },
): Maybe<Run> {
  let length = Math.max(known, WORTH_A_LOOK);
  while (length < piece) {
    const next = transmission.session.target.backend.chainStatus(offset + length, piece - length);
    // What has to be waited for had better be asked for when this part is on its way.
    if (next instanceof Promise) {
      next.catch(() => undefined);
      break;
    }
    if (next.zero || next.length === 0) break;
    length += next.length;
  }
  return { length: Math.min(piece, length), zero: false };
}

/** A long read in one chunk or none: the header says the whole length, then comes the data as it is read. */
function readStream(transmission: Transmission, request: RequestHeader): Promise<void> {
  const { channel, session } = transmission;
  const { form, target } = session;
  return channel.sender.stream(async (line) => {
    const header = Buffer.alloc(readHeaderSize(form));
    putReadHeader(header, 0, form, request, { ...request, done: false });
    let failure: unknown;
    let length: number;
    for (let at = 0; at < request.length; at += length) {
      length = Math.min(payloads.piece, request.length - at);
      const data = payloads.take(length);
      try {
        if (failure === undefined) await target.backend.read(request.offset + at, data);
        else data.fill(0);
      } catch (error) {
        // Nothing was sent yet: an ordinary failure.
        if (at === 0 || form === 'simple') payloads.give(data);
        if (at === 0) throw error;
        if (form === 'simple') return transmission.break(error);
        failure = error;
        data.fill(0);
      }
      line.write(at === 0 ? [header, asBuffer(data)] : [asBuffer(data)], () => payloads.give(data));
      await line.room(length);
    }
    if (form !== 'simple') line.write([lastChunk(transmission, request, failure)]);
  });
}

function lastChunk({ session: { form }, settings }: Transmission, request: RequestHeader, failure: unknown): Buffer {
  if (failure === undefined) return encodeChunk(form, request, { type: ChunkType.NONE, done: true });
  const error = asBlockError(failure);
  settings.failed(Command.READ, error);
  const payload = encodeError(errorNumber(error.code), error.message);
  return encodeChunk(form, request, { type: ChunkType.ERROR, done: true }, payload);
}

/** What a socket takes without wrapping it again. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
