import { clock } from '../../core/async/clock.ts';
import type { Maybe } from '../../core/async/maybe.ts';
import { nextTurn } from '../../core/async/turn.ts';
import { secondsSince } from './clock.ts';

/** What became of a request: how long it took, and what it failed with. */
export interface Ending {
  readonly seconds: number;
  readonly error: unknown;
}

/**
 * Requests that commands have started and not waited for. What there is to print of one is held back until
 * the program would look: at the next command that does I/O, at `aio_flush`, while it waits for input.
 */
export class InFlight {
  readonly #ended: (() => void)[] = [];
  #running = 0;
  #idle: (() => void)[] = [];
  /** Called when something waits to be delivered and nothing else will come by soon. */
  onEnded: (() => void) | undefined;

  /** There are requests under way, or some to deliver. */
  get active(): boolean {
    return this.#running > 0 || this.#ended.length > 0;
  }

  get running(): number {
    return this.#running;
  }

  /** Issue a request now; `report` prints what became of it, in the order in which requests end. */
  start(request: () => Maybe<void>, report: (ending: Ending) => void): void {
    const begin = clock();
    const end = (error: unknown): void => {
      const seconds = secondsSince(begin);
      this.post(() => report({ seconds, error }));
    };
    let result: Maybe<void>;
    try {
      result = request();
    } catch (error) {
      end(error);
      return;
    }
    if (!(result instanceof Promise)) {
      end(undefined);
      return;
    }
    this.#running++;
    const settled = (error: unknown): void => {
      end(error);
      this.#running--;
      if (this.#running > 0) return;
      for (const wake of this.#idle.splice(0)) wake();
    };
    result.then(() => settled(undefined), settled);
  }

  /** Have something printed in its turn. */
  post(print: () => void): void {
    this.#ended.push(print);
    this.onEnded?.();
  }

  /** Print what has ended by now. */
  deliver(): void {
    for (let print = this.#ended.shift(); print; print = this.#ended.shift()) print();
  }

  /** Let requests that are about to end do so, and print them. */
  async breathe(): Promise<void> {
    await nextTurn();
    this.deliver();
  }

  /** Resolves when nothing is under way. */
  async whenIdle(): Promise<void> {
    while (this.#running > 0) await new Promise<void>((wake) => this.#idle.push(wake));
  }

  /** Wait for all and print what became of them. */
  async settle(): Promise<void> {
    await this.whenIdle();
    this.deliver();
  }
}
