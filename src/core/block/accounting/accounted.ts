/** Requests with their accounts: without a closure or a promise for those that end at once. */
import type { Maybe } from '../../async/maybe.ts';
import type { Accounting } from './accounting.ts';
import type { IoKind } from './counters.ts';

interface Readable {
  read(offset: number, buf: Uint8Array): Maybe<void>;
}

interface Writable {
  write(offset: number, buf: Uint8Array, flags: number): Maybe<void>;
}

export function accountedRead(accounts: Accounting, target: Readable, offset: number, buf: Uint8Array): Maybe<void> {
  const begun = accounts.begin();
  let done: Maybe<void>;
  try {
    done = target.read(offset, buf);
  } catch (error) {
    accounts.failed('read');
    throw error;
  }
  if (done instanceof Promise) return accounts.follow('read', buf.length, done);
  accounts.done('read', buf.length, begun);
}

export function accountedWrite(
  accounts: Accounting,
  target: Writable,
  offset: number,
  buf: Uint8Array,
  flags: number,
): Maybe<void> {
  const begun = accounts.begin();
  accounts.reaching(offset, buf.length);
  let done: Maybe<void>;
  try {
    done = target.write(offset, buf, flags);
  } catch (error) {
    accounts.failed('write');
    throw error;
  }
  if (done instanceof Promise) return accounts.follow('write', buf.length, done);
  accounts.done('write', buf.length, begun);
}

/** Any other request: those are rarer, or long. */
export function accounted<T>(accounts: Accounting, kind: IoKind, bytes: number, action: () => Maybe<T>): Maybe<T> {
  const begun = accounts.begin();
  let done: Maybe<T>;
  try {
    done = action();
  } catch (error) {
    accounts.failed(kind);
    throw error;
  }
  if (done instanceof Promise) return accounts.follow(kind, bytes, done);
  accounts.done(kind, bytes, begun);
  return done;
}
