/** What the recorder and the thread that writes say to one another, beside the records. */
import type { ErrorCode } from '../errors/block-error.ts';
import type { TraceNode } from './record.ts';

export type ToThread =
  | { readonly kind: 'node'; readonly node: TraceNode }
  /** So many requests were recorded in all; undefined when that is not known, and the trace is to end without its last line. */
  | { readonly kind: 'close'; readonly requests: number | undefined };

export type FromThread =
  | { readonly kind: 'failed'; readonly message: string; readonly code: ErrorCode }
  | { readonly kind: 'closed' };
