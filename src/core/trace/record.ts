/** What a record of a trace says, whatever file it comes from. The text of it is in docs/trace-format.md. */
import type { ErrorCode } from '../errors/block-error.ts';

/** Kinds of requests, under their names in a trace; the order is that of the numbers in a batch. */
export const traceOps = ['read', 'write', 'zero', 'discard', 'flush', 'truncate'] as const;
export type TraceOp = (typeof traceOps)[number];

/** Further bit of `flags`, beside those of the block layer: carried out by the kernel, as half of a copy. */
export const COPY_FLAG = 32;
/** All bits that `flags` may have. */
export const KNOWN_FLAGS = 63;

/** One request of a trace. */
export interface TraceRequest {
  /** Position in the order of issue, from 0. */
  readonly number: number;
  /** Nanoseconds from the start of the trace to the issue. */
  readonly start: number;
  /** Nanoseconds to the completion; undefined where the trace does not say. */
  readonly end: number | undefined;
  readonly op: TraceOp;
  /** Bytes; of a truncate, `length` is the new size. */
  readonly offset: number;
  readonly length: number;
  readonly flags: number;
  /** Errno of what became of it; 0 for success. */
  readonly result: number;
  /** Requests of the node in flight when this one was issued, itself among them; 0 when unknown. */
  readonly depth: number;
  /** Node or file that the request went to. */
  readonly node: string;
}

/** An image that a trace speaks of. */
export interface TraceNode {
  readonly name: string;
  /** Bytes when it was opened; undefined where the trace does not say. */
  readonly size: number | undefined;
  readonly fileName: string | undefined;
}

/** True for requests that transfer data. */
export function transfersData(op: TraceOp): boolean {
  return op === 'read' || op === 'write';
}

/** True for requests after which the content may be another. */
export function changesContent(op: TraceOp): boolean {
  return op !== 'read' && op !== 'flush';
}

/** Numbers of errors as Linux has them, so that a trace means the same everywhere. */
const ERRNO: Readonly<Record<ErrorCode, number>> = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  ENXIO: 6,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  EMFILE: 24,
  EFBIG: 27,
  ENOSPC: 28,
  EROFS: 30,
  ENAMETOOLONG: 36,
  ELOOP: 40,
  EPROTO: 71,
  ENOTSUP: 95,
  ECONNRESET: 104,
  ESHUTDOWN: 108,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EDQUOT: 122,
  ENOMEDIUM: 123,
  ECANCELED: 125,
};

export function errnoOf(code: ErrorCode): number {
  return ERRNO[code];
}
