/** The speed of a job: how its requests wait for their turn, and how that waiting is broken off. */
import { setMaxListeners } from 'node:events';
import type { Maybe } from '../async/maybe.ts';
import { type Clock, RateLimit } from '../async/rate-limit.ts';

export class Pace {
  readonly #limit: RateLimit;
  #interrupt = newInterrupt();

  /** @param speed bytes per second, 0 for no limit. */
  constructor(speed = 0, clock?: Clock) {
    this.#limit = new RateLimit(speed, clock);
  }

  get speed(): number {
    return this.#limit.speed;
  }

  set speed(speed: number) {
    this.#limit.speed = speed;
  }

  /** Longest request in bytes that keeps the speed even; infinite without a limit. */
  get evenLength(): number {
    return this.#limit.evenLength;
  }

  /**
   * Wait until `bytes` more fit the speed, then for `checkpoint`, since time has gone by: the job may have to pause
   * meanwhile, or to stop.
   */
  wait(bytes: number, checkpoint: () => Maybe<void>): Maybe<void> {
    const passed = this.#limit.take(bytes, this.#interrupt.signal);
    return passed === true ? undefined : this.#wait(bytes, checkpoint, passed);
  }

  async #wait(bytes: number, checkpoint: () => Maybe<void>, first: Maybe<boolean>): Promise<void> {
    let passed = await first;
    for (;;) {
      await checkpoint();
      if (passed) return;
      passed = await this.#limit.take(bytes, this.#interrupt.signal);
    }
  }

  /** Have those who wait come to their checkpoint now; from there on they wait anew. */
  interrupt(): void {
    const before = this.#interrupt;
    this.#interrupt = newInterrupt();
    before.abort();
  }
}

/** Every request that waits listens. */
function newInterrupt(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}
