/**
 * What a fault injector offers to whoever scripts it: breakpoints at events, and requests that carry labels.
 * A command looks for the first image that has them on its way down from the root, through `Node.primary`.
 */
import type { ErrorCode } from '../errors/block-error.ts';
import type { BlockEvent } from './events.ts';

/** Kinds of requests, under the names that rules use. */
export const requestKinds = ['read', 'write', 'write-zeroes', 'discard', 'flush', 'block-status'] as const;
export type RequestKind = (typeof requestKinds)[number];

/** Suspend whoever announces an event. A breakpoint holds one request, the first to come, and is then used up. */
export interface BreakpointCapability {
  /** Throws ENOENT for an unknown event. */
  set(event: string, tag: string): void;
  /** Take away breakpoints of this tag that nobody has come to, and resume who is suspended at one; throws ENOENT. */
  remove(tag: string): void;
  /** Resume one request that is suspended at this tag, the last to come there; throws ENOENT for none. */
  resume(tag: string): void;
  isSuspended(tag: string): boolean;
  /** Resolves when a request is suspended at this tag, at once when one is; rejects when the image closes. */
  wait(tag: string): Promise<void>;
  /** Tags at which requests are suspended, with repetition. */
  suspended(): readonly string[];
  /** Hear of every request that is suspended or resumed; returns how to stop listening. */
  listen(listener: (what: 'suspended' | 'resumed', tag: string) => void): () => void;
  /** Forget all breakpoints and resume everybody: before closing. */
  letGo(): void;
}

/** What a labelled request looks like; what is absent matches anything. */
export interface LabelMatch {
  readonly kind?: RequestKind | undefined;
  /** The request covers or touches the `length` bytes (default 1) at `offset`. */
  readonly offset?: number | undefined;
  readonly length?: number;
  /** Only requests that come after this event has been announced. */
  readonly event?: BlockEvent | undefined;
  /** Let this many matching requests pass before. Default 0. */
  readonly skip?: number;
  /** Arm the label again when its request has completed. */
  readonly again?: boolean;
}

/** Where a request is held: before it goes down, or after, with its result not yet reported. */
export type HoldPoint = 'arrival' | 'completion';

/** expected: spoken of, not armed; armed: waiting for its request; the others are stages of the request. */
export type LabelState = 'expected' | 'armed' | 'held' | 'running' | 'done';

/**
 * Requests by name. A label is armed with a match, taken by the first request that fits, and done when that
 * request has completed; it can then be armed again. `hold` and `fail` may come before `arm`.
 */
export interface LabelCapability {
  /** The next request that fits is called `name`; throws EEXIST while the label is armed or its request under way. */
  arm(name: string, match?: LabelMatch): void;
  /** Take back an {@link arm} that no request has answered yet, with all that was asked for under the name. */
  disarm(name: string): void;
  /** Hold the request when it comes to `point` (default arrival); throws when it is past that. */
  hold(name: string, point?: HoldPoint): void;
  /** Let the held request go on, or take back a hold that it has not come to; throws ENOENT for an unknown name. */
  release(name: string): void;
  /** End the request with this error instead of carrying it out; a held one ends now. */
  fail(name: string, code: ErrorCode): void;
  /** Resolves when the request has come ('arrived': also when it is held) or has completed ('done'). */
  wait(name: string, until: 'arrived' | 'done'): Promise<void>;
  state(name: string): LabelState | undefined;
  /** Every label with its state, in the order of their first mention. */
  list(): readonly { readonly name: string; readonly state: LabelState }[];
  /** Hear of every request that is held or let go; returns how to stop listening. */
  listen(listener: (what: 'held' | 'released', name: string) => void): () => void;
  /** Forget all labels and release every request: before closing. */
  letGo(): void;
}
