import type { Maybe } from '../../core/async/maybe.ts';

/**
 * One action at a time, in order of arrival. An action that finds the mutex free and completes at once costs
 * no promise: on one thread, only actions that wait for a table to be read can be overtaken at all.
 */
export class Mutex {
  #held = false;
  readonly #queue: (() => void)[] = [];

  run<T>(action: () => Maybe<T>): Maybe<T> {
    if (this.#held) return this.#wait().then(() => this.#start(action));
    return this.#start(action);
  }

  #wait(): Promise<void> {
    return new Promise((wake) => this.#queue.push(wake));
  }

  #start<T>(action: () => Maybe<T>): Maybe<T> {
    this.#held = true;
    let result: Maybe<T>;
    try {
      result = action();
    } catch (error) {
      this.#release();
      throw error;
    }
    if (result instanceof Promise) return result.finally(() => this.#release());
    this.#release();
    return result;
  }

  /** Ownership passes to the next in the queue without becoming free in between. */
  #release(): void {
    const next = this.#queue.shift();
    if (next) next();
    else this.#held = false;
  }
}
