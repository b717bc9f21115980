/**
 * A limit on bytes per second with a coarse clock.
 *
 * What passes is a debt that time pays off at the given speed. While less than a slice of time is owed, requests
 * pass at once, however large; from there on they wait until all is paid. So large requests pass in bulk, there is
 * one timer per slice and not one per request, and no burst follows an idle time. A timer that fires late is made
 * up for, by at most a slice, so that the speed holds over a second.
 */
import type { Maybe } from './maybe.ts';

/** Length of a slice in milliseconds. */
export const SLICE_MS = 100;

/** Where the time comes from; tests bring their own. */
export interface Clock {
  /** Milliseconds, never going back. */
  now(): number;
  /** Call `action` after `ms` milliseconds; returns how to prevent that. */
  after(ms: number, action: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, action) {
    const timer = setTimeout(action, ms);
    return () => clearTimeout(timer);
  },
};

interface Waiter {
  readonly bytes: number;
  readonly pass: () => void;
}

export class RateLimit {
  readonly #clock: Clock;
  #speed: number;
  /** Bytes that have passed and are not paid for as of `#settledAt`. */
  #debt = 0;
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
    this.#speed = speed;
    this.#dispatch();
  }

  /** Nothing when `bytes` may pass now, else a promise of the moment they may; first come, first served. */
  take(bytes: number, signal?: AbortSignal): Maybe<void> {
    if (this.#speed === 0 || signal?.aborted) return;
    this.#settle();
    if (this.#waiting.length === 0 && this.#owed() < SLICE_MS) {
      this.#debt += bytes;
      return;
    }
    return this.#queue(bytes, signal);
  }

  /** Waiting ends early, without a word, when `signal` is aborted. */
  #queue(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise<void>((resolve) => {
      const waiter: Waiter = {
        bytes,
        pass: () => {
          signal?.removeEventListener('abort', giveUp);
          resolve();
        },
      };
      const giveUp = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        if (this.#waiting.length === 0) this.#stop();
        resolve();
      };
      signal?.addEventListener('abort', giveUp, { once: true });
      this.#waiting.push(waiter);
      if (this.#stopTimer === undefined) this.#start();
    });
  }

  /** Milliseconds until all debt is paid. */
  #owed(): number {
    return (this.#debt / this.#speed) * 1000;
  }

  /** Pay for the time that went by. What is left over is kept for a slice at most, and not at all after an idle time. */
  #settle(waiting = false): void {
    const now = this.#clock.now();
    const elapsed = now - this.#settledAt;
    const kept = waiting || elapsed < SLICE_MS ? SLICE_MS : 0;
    this.#debt = Math.max(this.#debt - (elapsed * this.#speed) / 1000, (-kept * this.#speed) / 1000);
    this.#settledAt = now;
  }

  #start(): void {
    this.#stopTimer = this.#clock.after(Math.max(1, this.#owed()), () => {
      this.#settle(true);
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
      if (this.#speed > 0 && this.#owed() >= SLICE_MS) {
        this.#start();
        return;
      }
      this.#waiting.shift();
      this.#debt += first.bytes;
      first.pass();
    }
  }
}
