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
  target: Uint8Array,
  at: number,
  { command, flags, offset, length }: RequestHeader,
  cookie: { readonly high: number; readonly low: number; readonly extended: boolean },
): void {
  const { extended } = cookie;
  put32(target, at, extended ? Magic.EXTENDED_REQUEST : Magic.REQUEST);
  const sent = extended && command === Command.WRITE ? flags | CommandFlag.PAYLOAD_LEN : flags;
  put32(target, at + 4, (sent << 16) | command);
  put32(target, at + 8, cookie.high);
  put32(target, at + 12, cookie.low);
  put32(target, at + 16, Math.floor(offset / TWO_32));
  put32(target, at + 20, offset % TWO_32);
  if (extended) put32(target, at + 24, Math.floor(length / TWO_32));
  put32(target, at + (extended ? 28 : 24), length % TWO_32);
}

function put32(target: Uint8Array, at: number, value: number): void {
  target[at] = value >>> 24;
  target[at + 1] = value >>> 16;
  target[at + 2] = value >>> 8;
  target[at + 3] = value;
}
