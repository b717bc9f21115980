import { asBlockError } from '../../errors/block-error.ts';

/** One prepared change: exactly one of commit and abort is called, then clean. None of them may fail. */
export interface Step {
  commit?(): void;
  abort?(): void;
  clean?(): void;
}

/**
 * A change of the graph made of steps that take effect as they are added: commit makes them final in
 * order, abort undoes them in reverse. Nothing awaits in between, so nobody sees a half-made graph.
 */
export class Transaction {
  readonly #steps: Step[] = [];

  add(step: Step): void {
    this.#steps.push(step);
  }

  commit(): void {
    for (const step of this.#steps) step.commit?.();
    this.#clean();
  }

  abort(): void {
    for (const step of [...this.#steps].reverse()) step.abort?.();
    this.#clean();
  }

  #clean(): void {
    for (const step of this.#steps) step.clean?.();
    this.#steps.length = 0;
  }
}

/** Run `change` in a transaction: all of it happens, or none. */
export function transact<T>(change: (transaction: Transaction) => T): T {
  const transaction = new Transaction();
  let result: T;
  try {
    result = change(transaction);
  } catch (error) {
    transaction.abort();
    throw asBlockError(error);
  }
  transaction.commit();
  return result;
}
