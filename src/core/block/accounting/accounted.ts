/** Requests with their accounts: without a closure or a promise for those that end at once. */
import type { Maybe } from '../../async/maybe.ts';
import type { Accounting } from './accounting.ts';
import type { KindCounters } from './counters.ts';

interface Readable {
  read(offset: number, buf: Uint8Array): Maybe<void>;
}

interface Writable {
  write(offset: number, buf: Uint8Array, flags: number): Maybe<void>;
}

/** Called for a request that has to wait; what it gives is called when that has ended, however it has. */
export type Enter = () => () => void;

export function accountedRead(
  accounts: Accounting,
  target: Readable,
  offset: number,
  buf: Uint8Array,
  enter?: Enter,
): Maybe<void> {
  const counters = accounts.read;
  const begun = accounts.begin(counters);
  let done: Maybe<void>;
  try {
    done = target.read(offset, buf);
  } catch (error) {
    accounts.failed(counters);
    throw error;
  }
  if (done instanceof Promise) return accounts.follow(counters, buf.length, done, enter?.());
  accounts.endedAtOnce(counters, buf.length, begun);
}

export function accountedWrite(
  accounts: Accounting,
  target: Writable,
  offset: number,
  buf: Uint8Array,
  flags: number,
): Maybe<void> {
  const counters = accounts.write;
  accounts.reaching(offset, buf.length);
  const begun = accounts.begin(counters);
  let done: Maybe<void>;
  try {
    done = target.write(offset, buf, flags);
  } catch (error) {
    accounts.failed(counters);
    throw error;
  }
  if (done instanceof Promise) return accounts.follow(counters, buf.length, done);
  accounts.endedAtOnce(counters, buf.length, begun);
}

/** Any other request, those being rarer or long. */
export function accounted<T>(
  accounts: Accounting,
  counters: KindCounters,
  bytes: number,
  action: () => Maybe<T>,
  enter?: Enter,
): Maybe<T> {
  const begun = accounts.begin(counters);
  let done: Maybe<T>;
  try {
    done = action();
  } catch (error) {
    accounts.failed(counters);
    throw error;
  }
  if (done instanceof Promise) return accounts.follow(counters, bytes, done, enter?.());
  accounts.endedAtOnce(counters, bytes, begun);
  return done;
}
