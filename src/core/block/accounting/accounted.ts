/**
 * Requests with their accounts: without a closure or a promise for those that end at once, and for most of them with
 * nothing but two additions to fields that are known by name.
 */
import type { Maybe } from '../../async/maybe.ts';
import { type Accounting, now } from './accounting.ts';
import type { KindCounters } from './counters.ts';

interface Readable {
  read(offset: number, buf: Uint8Array): Maybe<void>;
}

interface Writable {
  write(offset: number, buf: Uint8Array, flags: number): Maybe<void>;
}

export function accountedRead(accounts: Accounting, target: Readable, offset: number, buf: Uint8Array): Maybe<void> {
  const counters = accounts.read;
  if ((counters.operations & accounts.untimed) === 0) return timedRead(accounts, target, offset, buf);
  let done: Maybe<void>;
  try {
    done = target.read(offset, buf);
  } catch (error) {
    accounts.failed(counters);
    throw error;
  }
  if (done instanceof Promise) return accounts.follow(counters, buf.length, done);
  counters.operations++;
  counters.bytes += buf.length;
}

function timedRead(accounts: Accounting, target: Readable, offset: number, buf: Uint8Array): Maybe<void> {
  return accounted(accounts, accounts.read, buf.length, () => target.read(offset, buf));
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
  if ((counters.operations & accounts.untimed) === 0) return timedWrite(accounts, target, offset, buf, flags);
  let done: Maybe<void>;
  try {
    done = target.write(offset, buf, flags);
  } catch (error) {
    accounts.failed(counters);
    throw error;
  }
  if (done instanceof Promise) return accounts.follow(counters, buf.length, done);
  counters.operations++;
  counters.bytes += buf.length;
}

function timedWrite(
  accounts: Accounting,
  target: Writable,
  offset: number,
  buf: Uint8Array,
  flags: number,
): Maybe<void> {
  return accounted(accounts, accounts.write, buf.length, () => target.write(offset, buf, flags));
}

/** Any other request, those being rarer or long; and any whose latency is looked at also when it ends at once. */
export function accounted<T>(
  accounts: Accounting,
  counters: KindCounters,
  bytes: number,
  action: () => Maybe<T>,
): Maybe<T> {
  const begun = (counters.operations & accounts.untimed) === 0 ? now() : undefined;
  let done: Maybe<T>;
  try {
    done = action();
  } catch (error) {
    accounts.failed(counters);
    throw error;
  }
  if (done instanceof Promise) return accounts.follow(counters, bytes, done);
  if (begun === undefined) {
    counters.operations++;
    counters.bytes += bytes;
  } else {
    accounts.endedAtOnce(counters, bytes, now() - begun);
  }
  return done;
}
