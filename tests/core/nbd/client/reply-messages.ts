/** Replies as a server would send them, or should not. */
import { Magic } from '../../../../src/core/nbd/index.ts';

export const DONE = 1;

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/** The two halves of a cookie. */
export interface Cookie {
  readonly high: number;
  readonly low: number;
}

export function simpleReply(cookie: Cookie, error: number, data: Uint8Array = Buffer.alloc(0)): Buffer {
  return Buffer.concat([u32(Magic.SIMPLE_REPLY), u32(error), u32(cookie.high), u32(cookie.low), data]);
}

export interface ChunkParts {
  readonly flags?: number;
  readonly type: number;
  readonly payload?: Uint8Array;
  /** What the header says instead of the length of the payload. */
  readonly length?: number | bigint;
}

export function structuredChunk(
  cookie: Cookie,
  { flags = 0, type, payload = Buffer.alloc(0), length }: ChunkParts,
): Buffer {
  const head = [u32(Magic.STRUCTURED_REPLY), u16(flags), u16(type), u32(cookie.high), u32(cookie.low)];
  return Buffer.concat([...head, u32(Number(length ?? payload.length)), payload]);
}

export function extendedChunk(
  cookie: Cookie,
  offset: number,
  { flags = 0, type, payload = Buffer.alloc(0), length }: ChunkParts,
): Buffer {
  const head = [u32(Magic.EXTENDED_REPLY), u16(flags), u16(type), u32(cookie.high), u32(cookie.low), u64(offset)];
  return Buffer.concat([...head, u64(length ?? payload.length), payload]);
}
