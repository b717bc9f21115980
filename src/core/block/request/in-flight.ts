import type { Maybe } from '../../async/maybe.ts';

/** Counts the requests of one node that are under way, for whoever waits for a quiet moment. */
export class InFlight {
  #count = 0;
  #waiting: (() => void)[] = [];

  get count(): number {
    return this.#count;
  }

  begin(): void {
    this.#count++;
  }

  /** One begins; what is given back is to be called when it has ended. The same for all, rather than a closure for each. */
  readonly enter = (): (() => void) => {
    this.#count++;
    return this.#leave;
  };

  readonly #leave = (): void => this.end();

  end(): void {
    this.#count--;
    if (this.#count > 0 || this.#waiting.length === 0) return;
    const woken = this.#waiting;
    this.#waiting = [];
    for (const wake of woken) wake();
  }

  /** `result`, counted until it has arrived; one that is there already was never under way. */
  during<T>(result: Maybe<T>): Maybe<T> {
    if (!(result instanceof Promise)) return result;
    this.#count++;
    return result.then(this.#ended as (value: T) => T, this.#failed);
  }

  // One function for all requests, rather than a closure for each.
  readonly #ended = (value: unknown): unknown => {
    this.end();
    return value;
  };

  readonly #failed = (error: unknown): never => {
    this.end();
    throw error;
  };

  /** Resolves when none is under way. */
  async whenIdle(): Promise<void> {
    while (this.#count > 0) await new Promise<void>((wake) => this.#waiting.push(wake));
  }
}
