/** Request headers as a server reads them ("Request message"; extended headers where negotiated). */
import { BlockError } from '../errors/block-error.ts';
import { Command, Magic } from './constants.ts';

const HIGH = 2 ** 32;

export interface RequestHeader {
  readonly flags: number;
  readonly command: number;
  /** The client's name for the request, in two halves. */
  readonly cookieHigh: number;
  readonly cookieLow: number;
  /** Bytes; may be beyond 2^53, where it is not exact, but no disk is. */
  readonly offset: number;
  /** The same in two halves, exact: extended replies repeat it. */
  readonly offsetHigh: number;
  readonly offsetLow: number;
  readonly length: number;
}

/** 28 bytes. @throws BlockError EPROTO when the magic is wrong: the stream is out of step. */
export function decodeRequest(bytes: Uint8Array): RequestHeader {
  return decodeHeader(bytes, Magic.REQUEST, u32(bytes, 24));
}

/** 32 bytes. @throws as {@link decodeRequest}. */
export function decodeExtendedRequest(bytes: Uint8Array): RequestHeader {
  return decodeHeader(bytes, Magic.EXTENDED_REQUEST, u32(bytes, 24) * HIGH + u32(bytes, 28));
}

/** The two forms are alike but for their magic and the width of the length. */
function decodeHeader(bytes: Uint8Array, magic: number, length: number): RequestHeader {
  if (u32(bytes, 0) !== magic) throw outOfStep(bytes);
  const offsetHigh = u32(bytes, 16);
  const offsetLow = u32(bytes, 20);
  return {
    flags: u16(bytes, 4),
    command: u16(bytes, 6),
    cookieHigh: u32(bytes, 8),
    cookieLow: u32(bytes, 12),
    offset: offsetHigh * HIGH + offsetLow,
    offsetHigh,
    offsetLow,
    length,
  };
}

export interface StatusPayload {
  /** Bytes of the export that the request is about. */
  readonly length: number;
  /** Contexts asked for. */
  readonly ids: readonly number[];
}

/** The payload of BLOCK_STATUS: an effect length and context numbers; undefined when its length cannot be right. */
export function decodeStatusPayload(bytes: Uint8Array): StatusPayload | undefined {
  if (bytes.length < 12 || bytes.length % 4 !== 0) return undefined;
  const ids: number[] = [];
  for (let at = 8; at < bytes.length; at += 4) ids.push(u32(bytes, at));
  return { length: u32(bytes, 0) * HIGH + u32(bytes, 4), ids };
}

function outOfStep(bytes: Uint8Array): BlockError {
  return new BlockError(`a request begins with 0x${u32(bytes, 0).toString(16)}, which no request does`, {
    code: 'EPROTO',
  });
}

function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

function u32(bytes: Uint8Array, at: number): number {
  return ((u16(bytes, at) << 16) | u16(bytes, at + 2)) >>> 0;
}

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(Command).map(([name, number]) => [number, name]));

/** `NBD_CMD_READ`, or the number of an unknown one: for messages. */
export function commandName(command: number): string {
  const name = NAMES.get(command);
  return name === undefined ? `command ${command}` : `NBD_CMD_${name}`;
}
