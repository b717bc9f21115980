/** Steps one after the other and side by side, without a promise as long as each completes at once. */
import type { Maybe } from '../../core/async/maybe.ts';

/** Run steps one after the other. */
export function inOrder(steps: readonly (() => Maybe<void>)[], from = 0): Maybe<void> {
  for (let index = from; index < steps.length; index++) {
    const result = steps[index]?.();
    if (result instanceof Promise) return result.then(() => inOrder(steps, index + 1));
  }
}

/** Run `action`; when it fails, now or later, run `undo` and pass the failure on. */
export function orUndo<T>(action: () => Maybe<T>, undo: () => void): Maybe<T> {
  let result: Maybe<T>;
  try {
    result = action();
  } catch (error) {
    undo();
    throw error;
  }
  if (!(result instanceof Promise)) return result;
  return result.catch((error: unknown) => {
    undo();
    throw error;
  });
}

/** Work going on side by side, of which every piece must have ended before the whole may be called done or failed. */
export class Pending {
  #promises: Promise<unknown>[] | undefined;
  /** What was thrown before anything had to wait. */
  #failure: { error: unknown } | undefined;
  #failed = false;

  /** Start something now; a throw is kept until {@link end}. */
  start(action: () => Maybe<unknown>): void {
    try {
      const result = action();
      if (result instanceof Promise) this.#add(result);
    } catch (error) {
      this.fail(error);
    }
  }

  #add(promise: Promise<unknown>): void {
    // Watched from now on, so that a failure before `end` is not "unhandled".
    promise.catch(() => undefined);
    this.#promises ??= [];
    this.#promises.push(promise);
  }

  /** In its place behind what is under way, some of which may fail too. */
  fail(error: unknown): void {
    this.#failed = true;
    if (this.#promises) this.#add(Promise.reject(error));
    else this.#failure ??= { error };
  }

  get failed(): boolean {
    return this.#failed;
  }

  /** Done when all have ended; throws the failure of what was started first. */
  end(): Maybe<void> {
    if (this.#promises) return this.#settle(this.#promises);
    if (this.#failure) throw this.#failure.error;
  }

  async #settle(promises: Promise<unknown>[]): Promise<void> {
    const results = await Promise.allSettled(promises);
    if (this.#failure) throw this.#failure.error;
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }
}

/**
 * Cover [0, length): `step(at, pending)` deals with some bytes from `at` on and returns how many; what it
 * starts side by side goes into `pending`. Done when all of it has ended; `turn` is passed when all has been started.
 */
export function walk(
  length: number,
  step: (at: number, pending: Pending) => Maybe<number>,
  turn?: { pass(): void },
): Maybe<void> {
  const pending = new Pending();
  let at = 0;
  const end = (): Maybe<void> => {
    turn?.pass();
    return pending.end();
  };
  const go = (): Maybe<void> => {
    while (at < length && !pending.failed) {
      let bytes: Maybe<number>;
      try {
        bytes = step(at, pending);
      } catch (error) {
        pending.fail(error);
        break;
      }
      if (bytes instanceof Promise) {
        return bytes.then(
          (count) => {
            at += count;
            return go();
          },
          (error: unknown) => {
            pending.fail(error);
            return end();
          },
        );
      }
      at += bytes;
    }
    return end();
  };
  return go();
}
