/** Requests that a driver may pass over. */
import type { Maybe } from '../../async/maybe.ts';
import { NotSupported } from '../../errors/block-error.ts';

/** A hint that the driver cannot follow, for this range or at all, is none. */
export function orNothing(action: () => Maybe<void>): Maybe<void> {
  try {
    const done = action();
    return done instanceof Promise ? done.catch(unlessNotSupported) : done;
  } catch (error) {
    unlessNotSupported(error);
  }
}

function unlessNotSupported(error: unknown): void {
  if (!(error instanceof NotSupported)) throw error;
}
