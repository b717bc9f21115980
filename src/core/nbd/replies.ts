/**
 * Replies of the transmission phase as a server writes them, in the form that was negotiated.
 *
 * Headers are written into a buffer of the caller at the place where they belong, so that a header and its data can
 * go out together.
 */
import { ChunkFlag, ChunkType, Limit, Magic, Size } from './constants.ts';

/** Form of the replies: what the client has negotiated. */
export type ReplyForm = 'simple' | 'structured' | 'extended';

/** What of a request its replies repeat. */
export interface ReplyTo {
  readonly cookieHigh: number;
  readonly cookieLow: number;
  readonly offsetHigh: number;
  readonly offsetLow: number;
}

export interface Chunk {
  readonly type: number;
  /** The last one of its reply. */
  readonly done: boolean;
  /** Bytes of payload. */
  readonly length: number;
}

/** Bytes before the data of a read: in chunks, the offset of the data comes before it. */
export function readHeaderSize(form: ReplyForm): number {
  if (form === 'simple') return Size.SIMPLE_REPLY;
  return (form === 'structured' ? Size.STRUCTURED_REPLY : Size.EXTENDED_REPLY) + 8;
}

/** Bytes of the header of a chunk. */
export function chunkHeaderSize(form: ReplyForm): number {
  return form === 'extended' ? Size.EXTENDED_REPLY : Size.STRUCTURED_REPLY;
}

export function putSimpleReply(target: Uint8Array, at: number, to: ReplyTo, error: number): void {
  put32(target, at, Magic.SIMPLE_REPLY);
  put32(target, at + 4, error);
  put32(target, at + 8, to.cookieHigh);
  put32(target, at + 12, to.cookieLow);
}

export function putChunkHeader(target: Uint8Array, at: number, form: ReplyForm, to: ReplyTo, chunk: Chunk): void {
  const { type, done, length } = chunk;
  put32(target, at, form === 'extended' ? Magic.EXTENDED_REPLY : Magic.STRUCTURED_REPLY);
  put16(target, at + 4, done ? ChunkFlag.DONE : 0);
  put16(target, at + 6, type);
  put32(target, at + 8, to.cookieHigh);
  put32(target, at + 12, to.cookieLow);
  if (form === 'extended') {
    put32(target, at + 16, to.offsetHigh);
    put32(target, at + 20, to.offsetLow);
    put64(target, at + 24, length);
  } else {
    put32(target, at + 16, length);
  }
}

/** The header of `length` bytes at `offset` that a read answers with; {@link readHeaderSize} bytes long. */
export function putReadHeader(
  target: Uint8Array,
  at: number,
  form: ReplyForm,
  to: ReplyTo,
  data: { readonly offset: number; readonly length: number; readonly done: boolean },
): void {
  if (form === 'simple') {
    putSimpleReply(target, at, to, 0);
    return;
  }
  const { done, length, offset } = data;
  putChunkHeader(target, at, form, to, { type: ChunkType.OFFSET_DATA, done, length: length + 8 });
  put64(target, at + chunkHeaderSize(form), offset);
}

/** A whole chunk with a small payload. */
export function encodeChunk(
  form: ReplyForm,
  to: ReplyTo,
  chunk: Omit<Chunk, 'length'>,
  payload: Uint8Array = NO_PAYLOAD,
): Buffer {
  const header = chunkHeaderSize(form);
  const bytes = Buffer.alloc(header + payload.length);
  putChunkHeader(bytes, 0, form, to, { ...chunk, length: payload.length });
  bytes.set(payload, header);
  return bytes;
}

/** Zeroes that are not sent. */
export function encodeHole(offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(12);
  put64(bytes, 0, offset);
  put32(bytes, 8, length);
  return bytes;
}

/** An error number and a text for a human reader. */
export function encodeError(error: number, message: string): Uint8Array {
  const text = Buffer.from(message).subarray(0, Limit.STRING);
  const bytes = new Uint8Array(6 + text.length);
  put32(bytes, 0, error);
  put16(bytes, 4, text.length);
  bytes.set(text, 6);
  return bytes;
}

export interface StatusExtent {
  /** Bytes. */
  readonly length: number;
  readonly flags: number;
}

/** Payload of a block status chunk for context `id`; in extended form with 64-bit lengths and a count. */
export function encodeStatus(form: ReplyForm, id: number, extents: readonly StatusExtent[]): Uint8Array {
  const wide = form === 'extended';
  const bytes = new Uint8Array(wide ? 8 + 16 * extents.length : 4 + 8 * extents.length);
  put32(bytes, 0, id);
  if (wide) put32(bytes, 4, extents.length);
  let at = wide ? 8 : 4;
  for (const { length, flags } of extents) {
    if (wide) {
      put64(bytes, at, length);
      put64(bytes, at + 8, flags);
    } else {
      put32(bytes, at, length);
      put32(bytes, at + 4, flags);
    }
    at += wide ? 16 : 8;
  }
  return bytes;
}

const NO_PAYLOAD = new Uint8Array(0);
const HIGH = 2 ** 32;

function put16(target: Uint8Array, at: number, value: number): void {
  target[at] = value >>> 8;
  target[at + 1] = value;
}

function put32(target: Uint8Array, at: number, value: number): void {
  target[at] = value >>> 24;
  target[at + 1] = value >>> 16;
  target[at + 2] = value >>> 8;
  target[at + 3] = value;
}

function put64(target: Uint8Array, at: number, value: number): void {
  put32(target, at, Math.floor(value / HIGH));
  put32(target, at + 4, value % HIGH);
}
