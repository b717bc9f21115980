/** When a request of a replay may begin. */
import { clock } from '../async/clock.ts';
import { sleep } from '../async/sleep.ts';
import { nextTurn } from '../async/turn.ts';

/** A shorter time than this is spent turning round in the event loop: timers count in milliseconds. */
const TURNING_MS = 1.5;

export type Pace =
  /** At the recorded times, `speed` times as fast. */
  | { readonly mode: 'timed'; readonly speed: number }
  /** As fast as possible: only after those that had ended before it began when it was recorded. */
  | { readonly mode: 'asap' };

/** The clock of a timed replay; its 0 is the issue of the first request. */
export class Pacer {
  readonly #speed: number;
  readonly #signal: AbortSignal | undefined;
  #begin = 0;
  #first: number | undefined;

  constructor(speed: number, signal?: AbortSignal) {
    this.#speed = speed;
    this.#signal = signal;
  }

  /** Milliseconds until what was recorded at `start`, in nanoseconds, is due; negative when it is late. */
  untilDue(start: number): number {
    if (this.#first === undefined) {
      this.#first = start;
      this.#begin = clock();
    }
    return this.#begin + (start - this.#first) / 1e6 / this.#speed - clock();
  }

  /** Resolves when it is due, or the signal is aborted. */
  async wait(start: number): Promise<void> {
    for (let left = this.untilDue(start); left > 0 && !this.#signal?.aborted; left = this.untilDue(start)) {
      if (left > TURNING_MS) await sleep(left - 1, this.#signal);
      else await nextTurn();
    }
  }
}
