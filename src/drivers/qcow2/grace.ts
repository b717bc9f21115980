import type { Maybe } from '../../core/async/maybe.ts';

/** Requests that began between two calls of `Grace.passed`. */
export interface Generation {
  active: number;
}

interface Closed extends Generation {
  wake: (() => void) | undefined;
}

/**
 * Grace periods: a host cluster that a request in flight may still read or write must not be given to another
 * one. Requests enter and leave; `passed` completes when all that were inside at the call have left.
 */
export class Grace {
  #current: Generation = { active: 0 };
  readonly #older: Closed[] = [];

  enter(): Generation {
    this.#current.active++;
    return this.#current;
  }

  leave(generation: Generation): void {
    generation.active--;
    if (generation.active > 0 || generation === this.#current) return;
    while (this.#older[0]?.active === 0) this.#older.shift()?.wake?.();
  }

  /** Run a request: what it may touch is not given to another one before it ends. */
  during<T>(action: () => Maybe<T>): Maybe<T> {
    const generation = this.enter();
    let result: Maybe<T>;
    try {
      result = action();
    } catch (error) {
      this.leave(generation);
      throw error;
    }
    if (result instanceof Promise) return result.finally(() => this.leave(generation));
    this.leave(generation);
    return result;
  }

  /**
   * The same for a request that has just been begun, and that took the places of what it touches from the tables in that
   * same step: one that is done already needs no protection.
   */
  follow<T>(request: Maybe<T>): Maybe<T> {
    if (!(request instanceof Promise)) return request;
    const generation = this.enter();
    return request.finally(() => this.leave(generation));
  }

  passed(): Maybe<void> {
    if (this.#current.active === 0 && this.#older.length === 0) return;
    const closed: Closed = Object.assign(this.#current, { wake: undefined });
    this.#current = { active: 0 };
    this.#older.push(closed);
    return new Promise((wake) => {
      closed.wake = wake;
      while (this.#older[0]?.active === 0) this.#older.shift()?.wake?.();
    });
  }
}
