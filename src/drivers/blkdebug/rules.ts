/**
 * The rules of blkdebug, a small machine driven by events.
 *
 * It has a state, a number that begins as 1. An event takes the rules written for it that fit the state:
 * a `set-state` rule changes the state (the first one written, if several fit); `inject-error` rules become the
 * active ones, in place of those that were. An event without `inject-error` rules leaves the active ones as they
 * are. Each request then meets the first active rule that fits its kind and place.
 */
import type { BlockEvent } from '../../core/block/events.ts';
import { type RequestKind, requestKinds } from '../../core/block/fault-control.ts';
import type { ErrorCode } from '../../core/errors/block-error.ts';
import { errnoCode } from '../../core/host/errno.ts';

/** Unit of `sector`, in bytes. */
export const SECTOR = 512;

export interface InjectRule {
  readonly event: BlockEvent;
  /** 0 for any. */
  readonly state: number;
  readonly kinds: ReadonlySet<RequestKind>;
  /** Undefined (`errno` 0) for a rule that delays, or that keeps others from being asked. */
  readonly code: ErrorCode | undefined;
  /** First byte of the sector that the request must touch; undefined for any request. */
  readonly offset: number | undefined;
  readonly delayNs: number;
  readonly once: boolean;
  readonly immediately: boolean;
}

export interface StateRule {
  readonly event: BlockEvent;
  readonly state: number;
  readonly newState: number;
}

/** Fields of a rule as its options have them. */
export interface InjectOptions {
  readonly event: BlockEvent;
  readonly state: number;
  readonly iotype?: RequestKind | undefined;
  readonly errno: string;
  readonly sector: number;
  readonly 'delay-ns': number;
  readonly once: boolean;
  readonly immediately: boolean;
}

const BY_DEFAULT: ReadonlySet<RequestKind> = new Set(requestKinds.filter((kind) => kind !== 'block-status'));

export function injectRule(options: InjectOptions): InjectRule {
  return {
    event: options.event,
    state: options.state,
    kinds: options.iotype === undefined ? BY_DEFAULT : new Set([options.iotype]),
    code: errnoCode(options.errno),
    offset: options.sector < 0 ? undefined : options.sector * SECTOR,
    delayNs: options['delay-ns'],
    once: options.once,
    immediately: options.immediately,
  };
}

export class Rules {
  #inject: InjectRule[];
  readonly #states: readonly StateRule[];
  #state = 1;
  #active: readonly InjectRule[] = [];

  constructor(inject: readonly InjectRule[], states: readonly StateRule[]) {
    this.#inject = [...inject];
    this.#states = states;
  }

  get state(): number {
    return this.#state;
  }

  /** No request can meet a rule now. */
  get idle(): boolean {
    return this.#active.length === 0;
  }

  /** Some rule, active or not, is about requests of this kind. */
  concerns(kind: RequestKind): boolean {
    return this.#inject.some((rule) => rule.kinds.has(kind));
  }

  announce(event: BlockEvent): void {
    const fits = (rule: InjectRule | StateRule) =>
      rule.event === event && (rule.state === 0 || rule.state === this.#state);
    const active = this.#inject.filter(fits);
    if (active.length > 0) this.#active = active;
    this.#state = this.#states.find(fits)?.newState ?? this.#state;
  }

  /** The rule that a request meets; one that is for once is gone then. */
  meet(kind: RequestKind, offset: number, length: number): InjectRule | undefined {
    const found = this.#active.find((rule) => rule.kinds.has(kind) && touches(rule, offset, length));
    // One that does nothing but keep others from being asked is not used up.
    if (found?.once && (found.code !== undefined || found.delayNs > 0)) {
      this.#active = this.#active.filter((rule) => rule !== found);
      this.#inject = this.#inject.filter((rule) => rule !== found);
    }
    return found;
  }
}

function touches(rule: InjectRule, offset: number, length: number): boolean {
  return rule.offset === undefined || (rule.offset >= offset && rule.offset < offset + length);
}
