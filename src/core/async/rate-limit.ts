/**
 * A limit on bytes per second with a coarse clock.
 *
 * What passes is a debt that time pays off. Small requests pass at once while no more than a slice of time is owed, and
 * then wait until all is paid: they pass in bulk, with one timer per slice and not one per request. A request that costs
 * more than a slice waits until it is paid for, so that at no time more has passed than the speed and a slice allow: no
 * burst, also of requests that cost many seconds. What a timer fires late, or a caller comes late, is made up for by at
 * most {@link LATE_MS}; nothing is saved up while idle. In any second at most a twentieth too much passes.
 */
import { clock } from './clock.ts';
import type { Maybe } from './maybe.ts';
import { LONGEST_TIMER } from './sleep.ts';

/** Length of a slice in milliseconds. */
export const SLICE_MS = 20;
/** What may be made up for, in milliseconds. */
export const LATE_MS = 30;
/** Requests of at most this share of a second's worth keep the speed even. */
const EVEN_SHARE = 1 / 20;

/** Where the time comes from; tests bring their own. */
export interface Clock {
  /** Milliseconds, never going back. */
  now(): number;
  /** Call `action` after `ms` milliseconds, for 0 as soon as others had their turn; returns how to prevent that. */
  after(ms: number, action: () => void): () => void;
}

export const systemClock: Clock = {
  now: clock,
  after(ms, action) {
    if (ms === 0) {
      const turn = setImmediate(action);
      return () => clearImmediate(turn);
    }
    const timer = setTimeout(action, Math.min(ms, LONGEST_TIMER));
    return () => clearTimeout(timer);
  },
};

/** What sums of fractions may be wrong by, in milliseconds. */
const ROUNDING_MS = 1e-6;

interface Waiter {
  readonly bytes: number;
  readonly pass: () => void;
}

export class RateLimit {
  readonly #clock: Clock;
  #speed: number;
  /** Milliseconds it takes as of `#settledAt` until all that has passed is paid for; below 0, what is saved up. */
  #owed = 0;
  #settledAt: number;
  readonly #waiting: Waiter[] = [];
  #stopTimer: (() => void) | undefined;

  /** @param speed bytes per second; 0 for no limit. */
  constructor(speed = 0, clock: Clock = systemClock) {
    this.#clock = clock;
    this.#speed = speed;
    this.#settledAt = clock.now();
  }

  /** Bytes per second; 0 for no limit. A change holds at once, also for those who wait. */
  get speed(): number {
    return this.#speed;
  }

  set speed(speed: number) {
    this.#settle();
    // The same bytes are owed or saved; but a debt made at a high speed must not stop all for long at a low one.
    const same = this.#speed === 0 || speed === 0 ? 0 : (this.#owed * this.#speed) / speed;
    this.#owed = Math.min(SLICE_MS, same);
    this.#speed = speed;
    this.#dispatch();
  }

  /** Longest request in bytes with which the speed is even over a second. */
  get evenLength(): number {
    return this.#speed === 0 ? Number.POSITIVE_INFINITY : this.#speed * EVEN_SHARE;
  }

  /**
   * Nothing when `bytes` may pass now, else a promise of the moment they may; first come, first served. Waiting ends
   * early when `signal` is aborted: with false, and nothing has passed.
   */
  take(bytes: number, signal?: AbortSignal): Maybe<boolean> {
    if (this.#speed === 0) return true;
    if (signal?.aborted) return false;
    this.#settle();
    if (this.#waiting.length > 0 || this.#owed + this.#cost(bytes) > SLICE_MS) return this.#queue(bytes, signal);
    this.#owed += this.#cost(bytes);
    return true;
  }

  #queue(bytes: number, signal: AbortSignal | undefined): Promise<boolean> {
    return new Promise<boolean>((resolve) => {
      const waiter: Waiter = {
        bytes,
        pass: () => {
          signal?.removeEventListener('abort', giveUp);
          resolve(true);
        },
      };
      const giveUp = (): void => {
        this.#settle();
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        resolve(false);
        // What was saved up for it is not for those behind it.
        this.#settle();
        this.#dispatch();
      };
      signal?.addEventListener('abort', giveUp, { once: true });
      this.#waiting.push(waiter);
      if (this.#stopTimer === undefined) this.#start();
    });
  }

  /** Milliseconds that `bytes` take. */
  #cost(bytes: number): number {
    return (bytes / this.#speed) * 1000;
  }

  /** Milliseconds that must be saved up before the first of those who wait may pass. */
  #wanted(): number {
    const [first] = this.#waiting;
    return first ? Math.max(0, this.#cost(first.bytes) - SLICE_MS) : 0;
  }

  /** Pay for the time that went by. */
  #settle(): void {
    const now = this.#clock.now();
    const elapsed = now - this.#settledAt;
    const idle = this.#waiting.length === 0 && elapsed > LATE_MS;
    const most = idle ? 0 : this.#wanted() + LATE_MS;
    this.#owed = Math.max(this.#owed - elapsed, -most);
    this.#settledAt = now;
  }

  #start(): void {
    this.#stopTimer = this.#clock.after(Math.max(1, this.#owed + this.#wanted()), () => {
      this.#settle();
      this.#dispatch();
    });
  }

  #stop(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
  }

  /** Let through who may pass now, and wait again for the others. */
  #dispatch(): void {
    this.#stop();
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      if (this.#speed > 0) {
        const cost = this.#cost(first.bytes);
        if (this.#owed + cost > SLICE_MS + ROUNDING_MS) {
          this.#start();
          return;
        }
        this.#owed += cost;
      }
      this.#waiting.shift();
      first.pass();
    }
  }
}
