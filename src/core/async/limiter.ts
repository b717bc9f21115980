import type { Maybe } from './maybe.ts';

/** At most so many actions at a time; the others wait, first come, first served. */
export class Limiter {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(most: number) {
    this.#free = most;
  }

  /** Run `action` when there is room: at once where there is, and then without a promise if it needs none. */
  run<T>(action: () => Maybe<T>): Maybe<T> {
    if (this.#free === 0) return this.#runLater(action);
    this.#free--;
    let result: Maybe<T>;
    try {
      result = action();
    } catch (error) {
      this.#leave();
      throw error;
    }
    if (result instanceof Promise) return result.finally(() => this.#leave());
    this.#leave();
    return result;
  }

  async #runLater<T>(action: () => Maybe<T>): Promise<T> {
    // The one who leaves hands over its place, so nobody can slip in between.
    await new Promise<void>((enter) => this.#waiting.push(enter));
    try {
      return await action();
    } finally {
      this.#leave();
    }
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free++;
  }
}
