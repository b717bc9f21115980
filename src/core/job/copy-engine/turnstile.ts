import type { Maybe } from '../../async/maybe.ts';

/** Lets numbered passers through in order: number n + 1 when n has passed. */
export class Turnstile {
  #next = 0;
  /** Nobody behind this one passes. */
  #last = Number.POSITIVE_INFINITY;
  readonly #waiting = new Map<number, () => void>();

  /** Nothing when it is the turn of `index`, or it will never be, else a promise of either. */
  wait(index: number): Maybe<void> {
    if (index > this.#last || index === this.#next) return;
    return new Promise((resolve) => this.#waiting.set(index, resolve));
  }

  /** `index` has passed; called once for each number, in turn. */
  pass(index: number): void {
    this.#next = index + 1;
    const waiter = this.#waiting.get(this.#next);
    this.#waiting.delete(this.#next);
    waiter?.();
  }

  /** Those behind `index` need not wait any more: it will not come to pass. Those before it go on. */
  endAt(index: number): void {
    this.#last = Math.min(this.#last, index);
    for (const [waiting, wake] of this.#waiting) {
      if (waiting <= index) continue;
      this.#waiting.delete(waiting);
      wake();
    }
  }
}
