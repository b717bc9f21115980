import type { Maybe } from '../../async/maybe.ts';

/** Lets numbered passers through in order: number n + 1 when n has passed. */
export class Turnstile {
  #next = 0;
  #open = false;
  readonly #waiting = new Map<number, () => void>();

  /** Nothing when it is the turn of `index`, else a promise of it. */
  wait(index: number): Maybe<void> {
    if (this.#open || index === this.#next) return;
    return new Promise((resolve) => this.#waiting.set(index, resolve));
  }

  /** `index` has passed; called once for each number, in turn. */
  pass(index: number): void {
    if (this.#open) return;
    this.#next = index + 1;
    const waiter = this.#waiting.get(this.#next);
    this.#waiting.delete(this.#next);
    waiter?.();
  }

  /** Let everybody through from now on: somebody will not come to pass. */
  release(): void {
    this.#open = true;
    for (const wake of this.#waiting.values()) wake();
    this.#waiting.clear();
  }
}
