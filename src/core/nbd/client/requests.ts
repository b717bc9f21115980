/** Requests of the transmission phase: what a client keeps of each, and how it looks on the wire. */
import type { BlockError } from '../../errors/block-error.ts';
import { Command, CommandFlag, Magic, Size } from '../constants.ts';
import type { ReadProgress } from './read-progress.ts';

/** Extents of one reply to BLOCK_STATUS, as they came. */
export interface ExtentsReply {
  /** Descriptors, one after the other: pairs of lengths and flags, 32 bits each, or 64 with `extended`. */
  readonly descriptors: Uint8Array;
  readonly extended: boolean;
}

/** A request from the moment it is made until it is answered; resending it needs nothing more. */
export interface ClientRequest {
  readonly command: number;
  /** {@link CommandFlag}. */
  readonly flags: number;
  readonly offset: number;
  /** Bytes that are affected. */
  readonly length: number;
  /** Where the data of a read goes, or that of a write comes from; as long as `length` together. */
  readonly buffers: readonly Uint8Array[];
  /** Answered, or given up: called once. */
  done(error: BlockError | undefined): void;

  /** Of a read, by structured replies: what of it has come. */
  progress: ReadProgress | undefined;
  /** The first error among the chunks of the reply. */
  error: BlockError | undefined;
  /** Error chunks so far. */
  errors: number;
  /** The answer to BLOCK_STATUS. */
  status: ExtentsReply | undefined;
}

/** Bytes that go over the wire with the request, in either direction. */
export function payloadOf(request: ClientRequest): number {
  return request.command === Command.READ || request.command === Command.WRITE ? request.length : 0;
}

/** Bytes of a request header. */
export function headerSize(extended: boolean): number {
  return extended ? Size.EXTENDED_REQUEST : Size.REQUEST;
}

/** What a header says. */
export interface RequestHeader {
  readonly command: number;
  readonly flags: number;
  readonly offset: number;
  readonly length: number;
}

const TWO_32 = 2 ** 32;

/**
 * Write the header at `at`. The two halves of the cookie are 32 bits each. With extended headers the length of a
 * write is that of its payload, which a flag says.
 */
export function encodeRequest(
  target: Buffer,
  at: number,
  { command, flags, offset, length }: RequestHeader,
  cookie: { readonly high: number; readonly low: number; readonly extended: boolean },
): number {
  const { extended } = cookie;
  target.writeUInt32BE(extended ? Magic.EXTENDED_REQUEST : Magic.REQUEST, at);
  target.writeUInt16BE(extended && command === Command.WRITE ? flags | CommandFlag.PAYLOAD_LEN : flags, at + 4);
  target.writeUInt16BE(command, at + 6);
  target.writeUInt32BE(cookie.high, at + 8);
  target.writeUInt32BE(cookie.low, at + 12);
  target.writeUInt32BE(Math.floor(offset / TWO_32), at + 16);
  target.writeUInt32BE(offset % TWO_32, at + 20);
  if (!extended) return target.writeUInt32BE(length, at + 24);
  target.writeUInt32BE(Math.floor(length / TWO_32), at + 24);
  return target.writeUInt32BE(length % TWO_32, at + 28);
}
