/**
 * Work that is finished already, or is still under way.
 *
 * A request that is served from memory returns its value at once; only one that has to wait returns a
 * promise. At small request sizes a promise per layer costs more than the request, so the data path
 * returns `Maybe` everywhere and chains with {@link after} instead of `await`.
 */
export type Maybe<T> = T | Promise<T>;

/** True when `value` has to be waited for. */
export function isPending<T>(value: Maybe<T>): value is Promise<T> {
  return value instanceof Promise;
}

/** Run `next` on the value, now if it is there, else when it arrives. */
export function after<T, R>(value: Maybe<T>, next: (value: T) => Maybe<R>): Maybe<R> {
  return value instanceof Promise ? value.then(next) : next(value);
}

/** Wait for all; returns at once when nothing in the list is pending. A rejection is reported after all have ended. */
export function all(list: readonly Maybe<unknown>[]): Maybe<void> {
  const pending = list.filter((item): item is Promise<unknown> => item instanceof Promise);
  if (pending.length === 0) return;
  return settle(pending);
}

async function settle(pending: Promise<unknown>[]): Promise<void> {
  const results = await Promise.allSettled(pending);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/** Call `action` so that a synchronous throw becomes a rejection: for places that must clean up either way. */
export function attempt<T>(action: () => Maybe<T>, cleanup: () => void): Maybe<T> {
  let result: Maybe<T>;
  try {
    result = action();
  } catch (error) {
    cleanup();
    throw error;
  }
  if (result instanceof Promise) return result.finally(cleanup);
  cleanup();
  return result;
}
