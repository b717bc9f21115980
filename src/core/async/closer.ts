import { asBlockError, reworded } from '../errors/block-error.ts';

type Action = () => Promise<void> | void;

/**
 * Things to undo, in reverse order: push while acquiring, hand over on success, close on failure.
 * Closing is idempotent; pushing to a closed Closer runs the action at once.
 */
export class Closer implements AsyncDisposable {
  #actions: Action[] = [];
  #closed: Promise<void> | undefined;

  /** Run `action` at close; returns a function that runs it now instead. */
  push(action: Action): void {
    if (this.#closed) {
      void Promise.resolve(action()).catch(() => undefined);
      return;
    }
    this.#actions.push(action);
  }

  /** Take over everything pushed so far: this closer becomes empty, the new one owns the actions. */
  handOver(): Closer {
    const next = new Closer();
    next.#actions = this.#actions;
    this.#actions = [];
    return next;
  }

  /** Undo all, even when some fail; the first failure is thrown, the others are in its `data`. */
  close(): Promise<void> {
    this.#closed ??= this.#run();
    return this.#closed;
  }

  async #run(): Promise<void> {
    const failures: unknown[] = [];
    while (this.#actions.length > 0) {
      const action = this.#actions.pop();
      try {
        await action?.();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length === 0) return;
    const first = asBlockError(failures[0]);
    if (failures.length === 1) throw first;
    throw reworded(first.message, first, { failures });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
