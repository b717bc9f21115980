/**
 * Replies out of chunks of any size, with the data of reads copied straight to where it belongs.
 *
 * ```
 * header ──simple reply to a read──────────────→ data ──→ header
 *    ├────chunk with data──→ small (its offset) ─┘
 *    ├────any other chunk──→ small (its payload) ────────→ header
 *    └────nothing follows────────────────────────────────→ header
 * ```
 *
 * Every number is checked against the request that it answers before it is used. What does not fit throws: from
 * there on nobody knows where the next reply begins, so the connection is of no use any more. An error that a server
 * reports properly only fails its request.
 */
import type { BlockError } from '../../errors/block-error.ts';
import { ChunkFlag, ChunkType, Command, FIRST_ERROR_CHUNK, Magic, Size } from '../constants.ts';
import type { ReplyMode } from './negotiation.ts';
import { broken } from './option-codec.ts';
import { ReadProgress } from './read-progress.ts';
import {
  checkErrorLength,
  checkStatusLength,
  decodeErrorChunk,
  decodeStatusChunk,
  replyError,
} from './reply-payload.ts';
import type { ClientRequest } from './requests.ts';

/** Who knows the requests that wait for their replies. */
export interface ReplyOwner {
  /** The request with that cookie; undefined when there is none. */
  find(cookieHigh: number, cookieLow: number): ClientRequest | undefined;
  /** It is answered in full. */
  finished(request: ClientRequest, cookieLow: number, error: BlockError | undefined): void;
}

interface Chunk {
  readonly request: ClientRequest;
  readonly cookieLow: number;
  readonly flags: number;
  readonly type: number;
  /** Bytes of payload. */
  readonly length: number;
}

/** Error chunks to one request. */
const MAX_ERRORS = 1024;
const TWO_32 = 2 ** 32;
const OFFSET_SIZE = 8;
const HOLE_SIZE = 12;
/** Flags and type of a chunk that is the only one of its reply, and has data. */
const WHOLE = (ChunkFlag.DONE << 16) | ChunkType.OFFSET_DATA;

export class ReplyParser {
  readonly #mode: ReplyMode;
  readonly #contextId: number | undefined;
  readonly #owner: ReplyOwner;

  /** A header or small payload that has come in part. */
  #small = Buffer.allocUnsafe(64);
  #have = 0;
  /** Bytes of it that are needed; 0 between two replies. */
  #need = 0;
  /** The chunk whose small payload is awaited. */
  #chunk: Chunk | undefined;
  /** Data being copied: where it belongs in the buffers of its request, and how much is to come. */
  #dataOf: Chunk | undefined;
  #dataAt = 0;
  #dataLeft = 0;

  constructor(mode: ReplyMode, contextId: number | undefined, owner: ReplyOwner) {
    this.#mode = mode;
    this.#contextId = contextId;
    this.#owner = owner;
  }

  /** Nothing of a reply has come whose rest is missing. */
  get atBoundary(): boolean {
    return this.#have === 0 && this.#need === 0 && this.#dataLeft === 0;
  }

  /** Take in what has arrived; `bytes` is not used after the call. */
  feed(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = 0; at < bytes.length; ) {
      if (this.#dataLeft > 0) at = this.#copyData(bytes, at);
      else if (this.#need > 0) at = this.#gather(bytes, at);
      else at = this.#begin(bytes, view, at);
    }
  }

  /** A reply begins: most lie in the chunk as a whole. */
  #begin(bytes: Uint8Array, view: DataView, at: number): number {
    const left = bytes.length - at;
    const size = left >= 4 ? this.#headerSize(view.getUint32(at)) : 4;
    if (left >= size && size > 4) {
      const end = this.#wholeRead(bytes, view, at, size);
      if (end > at) return end;
      this.#header(view, at);
      return at + size;
    }
    this.#need = size;
    return this.#gather(bytes, at);
  }

  /**
   * The usual reply to a short read: all of its data in one piece, all of it here. Returns its end; `at` for whatever
   * else it may be, or is wrong.
   */
  #wholeRead(bytes: Uint8Array, view: DataView, at: number, size: number): number {
    const low = view.getUint32(at + 12);
    const request = this.#owner.find(view.getUint32(at + 8), low);
    if (request?.command !== Command.READ || request.progress || request.errors > 0) return at;
    const { offset, length } = request;
    const simple = this.#mode === 'simple';
    if (!simple && size === Size.SIMPLE_REPLY) return at;
    const data = simple ? at + size : at + size + OFFSET_SIZE;
    const end = data + length;
    if (end > bytes.length) return at;
    if (simple) {
      if (view.getUint32(at + 4) !== 0) return at;
    } else {
      if (view.getUint32(at + 4) !== WHOLE || view.getUint32(at + size - 4) !== length + OFFSET_SIZE) return at;
      if (view.getUint32(at + size) * TWO_32 + view.getUint32(at + size + 4) !== offset) return at;
      if (this.#mode === 'extended') {
        if (view.getUint32(at + 16) * TWO_32 + view.getUint32(at + 20) !== offset) return at;
        if (view.getUint32(at + 24) !== 0) return at;
      }
    }
    copyIntoBuffers(request.buffers, 0, bytes.subarray(data, end));
    this.#owner.finished(request, low, undefined);
    return end;
  }

  /** Part of a header or a small payload. */
  #gather(bytes: Uint8Array, at: number): number {
    const part = Math.min(this.#need - this.#have, bytes.length - at);
    this.#small.set(bytes.subarray(at, at + part), this.#have);
    this.#have += part;
    if (this.#have < this.#need) return at + part;
    if (this.#chunk) this.#endSmall(this.#chunk);
    else if (this.#need === 4) this.#need = this.#headerSize(this.#small.readUInt32BE(0));
    else this.#endHeader();
    return at + part;
  }

  #endHeader(): void {
    const { buffer, byteOffset, length } = this.#small;
    this.#have = 0;
    this.#need = 0;
    this.#header(new DataView(buffer, byteOffset, length), 0);
  }

  #headerSize(magic: number): number {
    if (magic === Magic.EXTENDED_REPLY && this.#mode === 'extended') return Size.EXTENDED_REPLY;
    if (magic === Magic.STRUCTURED_REPLY && this.#mode === 'structured') return Size.STRUCTURED_REPLY;
    if (magic === Magic.SIMPLE_REPLY && this.#mode !== 'extended') return Size.SIMPLE_REPLY;
    throw broken(`a reply begins with 0x${magic.toString(16)} where ${this.#mode} replies were agreed on`);
  }

  #header(view: DataView, at: number): void {
    const magic = view.getUint32(at);
    if (magic === Magic.SIMPLE_REPLY) {
      this.#simple(view, at);
      return;
    }
    const flags = view.getUint16(at + 4);
    const type = view.getUint16(at + 6);
    const high = view.getUint32(at + 8);
    const cookieLow = view.getUint32(at + 12);
    const request = this.#find(high, cookieLow);
    let length: number;
    if (magic === Magic.EXTENDED_REPLY) {
      const offset = view.getUint32(at + 16) * TWO_32 + view.getUint32(at + 20);
      if (offset !== request.offset) throw broken(`a reply for offset ${offset} to a request for ${request.offset}`);
      length = view.getUint32(at + 24) * TWO_32 + view.getUint32(at + 28);
    } else {
      length = view.getUint32(at + 16);
    }
    this.#chunkHeader({ request, cookieLow, flags, type, length });
  }

  #find(high: number, low: number): ClientRequest {
    const request = this.#owner.find(high, low);
    if (!request) throw broken(`a reply to a request that nobody made (cookie 0x${high.toString(16)}:${low})`);
    return request;
  }

  #simple(view: DataView, at: number): void {
    const cookieLow = view.getUint32(at + 12);
    const request = this.#find(view.getUint32(at + 8), cookieLow);
    const error = view.getUint32(at + 4);
    const needsChunks = request.command === Command.READ || request.command === Command.BLOCK_STATUS;
    if (this.#mode === 'structured' && needsChunks) throw broken('a simple reply where a structured one is demanded');
    if (request.progress || request.errors > 0) throw broken('a simple reply within a structured one');
    if (error !== 0) {
      this.#owner.finished(request, cookieLow, replyError(error, ''));
    } else if (request.command === Command.READ) {
      const chunk = { request, cookieLow, flags: ChunkFlag.DONE, type: ChunkType.OFFSET_DATA, length: request.length };
      this.#beginData(chunk, request.offset, request.length);
    } else {
      this.#owner.finished(request, cookieLow, undefined);
    }
  }

  #chunkHeader(chunk: Chunk): void {
    const { request, type, length } = chunk;
    const isRead = request.command === Command.READ;
    if (type === ChunkType.NONE) {
      if (length !== 0) throw broken(`${length} bytes of payload in a chunk that has none`);
      if ((chunk.flags & ChunkFlag.DONE) === 0) throw broken('a chunk without content that is not the last');
      this.#endChunk(chunk);
    } else if (type === ChunkType.OFFSET_DATA && isRead) {
      if (length <= OFFSET_SIZE || length - OFFSET_SIZE > request.length) {
        throw broken(`a chunk of ${length} bytes with data in reply to a read of ${request.length}`);
      }
      this.#awaitSmall(chunk, OFFSET_SIZE);
    } else if (type === ChunkType.OFFSET_HOLE && isRead) {
      if (length !== HOLE_SIZE) throw broken(`a chunk of ${length} bytes for a hole, not ${HOLE_SIZE}`);
      this.#awaitSmall(chunk, length);
    } else if (isStatus(type) && request.command === Command.BLOCK_STATUS) {
      if (type === ChunkType.BLOCK_STATUS_EXT && this.#mode !== 'extended') throw broken('64-bit status unasked for');
      checkStatusLength(type, length);
      this.#awaitSmall(chunk, length);
    } else if (type >= FIRST_ERROR_CHUNK) {
      checkErrorLength(type, length);
      if (++request.errors > MAX_ERRORS) throw broken(`more than ${MAX_ERRORS} errors in one reply`);
      if (length === 0) this.#failed(chunk, new Uint8Array(0));
      else this.#awaitSmall(chunk, length);
    } else {
      throw broken(`a chunk of type ${type} in reply to command ${request.command}`);
    }
  }

  #awaitSmall(chunk: Chunk, length: number): void {
    this.#chunk = chunk;
    this.#have = 0;
    this.#need = length;
    // Grown for one long payload, it is given back with the next short one.
    if (this.#small.length < length || this.#small.length > KEPT)
      this.#small = Buffer.allocUnsafe(Math.max(64, length));
  }

  #endSmall(chunk: Chunk): void {
    const payload = this.#small.subarray(0, this.#need);
    this.#chunk = undefined;
    this.#have = 0;
    this.#need = 0;
    const { request, type } = chunk;
    if (type === ChunkType.OFFSET_DATA) {
      this.#beginData(chunk, offsetIn(payload), chunk.length - OFFSET_SIZE);
    } else if (type === ChunkType.OFFSET_HOLE) {
      const offset = offsetIn(payload);
      const length = payload.readUInt32BE(OFFSET_SIZE);
      this.#account(request, offset, length);
      fillBuffers(request.buffers, offset - request.offset, length);
      this.#endChunk(chunk);
    } else if (isStatus(type)) {
      if (request.status) throw broken('status of one context came twice in one reply');
      request.status = decodeStatusChunk(type, payload, this.#contextId);
      this.#endChunk(chunk);
    } else {
      this.#failed(chunk, payload);
    }
  }

  #failed(chunk: Chunk, payload: Uint8Array): void {
    const { error, offset } = decodeErrorChunk(chunk.type, payload);
    const { request } = chunk;
    if (offset !== undefined && (offset < request.offset || offset >= request.offset + request.length)) {
      throw broken(`an error at ${offset} in reply to a request for ${request.length} bytes at ${request.offset}`);
    }
    request.error ??= error;
    this.#endChunk(chunk);
  }

  #account(request: ClientRequest, offset: number, length: number): void {
    request.progress ??= new ReadProgress(request.offset, request.length);
    request.progress.add(offset, length);
  }

  #beginData(chunk: Chunk, offset: number, length: number): void {
    this.#account(chunk.request, offset, length);
    this.#dataOf = chunk;
    this.#dataAt = offset - chunk.request.offset;
    this.#dataLeft = length;
  }

  #copyData(bytes: Uint8Array, at: number): number {
    const chunk = this.#dataOf;
    if (!chunk) throw new Error('data of no request');
    const part = Math.min(this.#dataLeft, bytes.length - at);
    copyIntoBuffers(chunk.request.buffers, this.#dataAt, bytes.subarray(at, at + part));
    this.#dataAt += part;
    this.#dataLeft -= part;
    if (this.#dataLeft === 0) {
      this.#dataOf = undefined;
      this.#endChunk(chunk);
    }
    return at + part;
  }

  #endChunk({ request, flags, cookieLow }: Chunk): void {
    if ((flags & ChunkFlag.DONE) === 0) return;
    if (!request.error) {
      if (request.command === Command.READ && !request.progress?.complete) {
        throw broken(`the reply to a read of ${request.length} bytes at ${request.offset} ended before all had come`);
      }
      if (request.command === Command.BLOCK_STATUS && !request.status) throw broken('a reply without the status');
    }
    this.#owner.finished(request, cookieLow, request.error);
  }
}

/** Bytes of the buffer for small payloads that are kept from one to the next. */
const KEPT = 4096;

function isStatus(type: number): boolean {
  return type === ChunkType.BLOCK_STATUS || type === ChunkType.BLOCK_STATUS_EXT;
}

/** The offset that opens a payload. One beyond 2^53 is rounded, and still far outside of any request. */
function offsetIn(payload: Buffer): number {
  return payload.readUInt32BE(0) * TWO_32 + payload.readUInt32BE(4);
}

/** Copy `bytes` to `at` in a list of buffers taken as one. */
function copyIntoBuffers(buffers: readonly Uint8Array[], at: number, bytes: Uint8Array): void {
  const [only] = buffers;
  if (buffers.length === 1 && only) {
    only.set(bytes, at);
    return;
  }
  let start = 0;
  let done = 0;
  for (const buffer of buffers) {
    const from = at + done - start;
    if (from < buffer.length && done < bytes.length) {
      const part = bytes.subarray(done, done + buffer.length - from);
      buffer.set(part, from);
      done += part.length;
    }
    start += buffer.length;
  }
}

/** Zeroes at [at, at + length) in a list of buffers taken as one. */
function fillBuffers(buffers: readonly Uint8Array[], at: number, length: number): void {
  let start = 0;
  for (const buffer of buffers) {
    const from = Math.max(0, at - start);
    const to = Math.min(buffer.length, at + length - start);
    if (from < to) buffer.fill(0, from, to);
    start += buffer.length;
  }
}
