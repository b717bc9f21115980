/** Locks of stretches [start, end): whoever wants one that overlaps another waits, in the order of asking. */
import type { Maybe } from './maybe.ts';

interface Held {
  readonly start: number;
  readonly end: number;
  readonly ended: Promise<void>;
}

export class RangeLock {
  readonly #held = new Set<Held>();

  /** Run `action` while nobody else holds any part of the stretch. */
  async run<T>(start: number, end: number, action: () => Maybe<T>): Promise<T> {
    const before = [...this.#held].filter((other) => other.start < end && start < other.end);
    let release = (): void => undefined;
    const ended = new Promise<void>((resolve) => {
      release = resolve;
    });
    const own: Held = { start, end, ended };
    this.#held.add(own);
    try {
      // Only those that came before: nobody waits for one that waits for him.
      for (const other of before) await other.ended;
      return await action();
    } finally {
      this.#held.delete(own);
      release();
    }
  }
}
