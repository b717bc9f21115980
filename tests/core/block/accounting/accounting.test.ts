/** The accounts of a node: what is counted, what is timed, and what those that are not timed count for. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { accounted, accountedRead, accountedWrite } from '../../../../src/core/block/accounting/accounted.ts';
import { Accounting } from '../../../../src/core/block/accounting/accounting.ts';
import { BlockError } from '../../../../src/core/errors/block-error.ts';

const BUF = new Uint8Array(4096);

/** Nobody else uses the processor here. */
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['hrtime'] });
  spin(1e9);
});
afterEach(() => void vi.useRealTimers());

function spin(ns: number): void {
  vi.advanceTimersByTime(ns / 1e6);
}

test('requests that end at once are all counted, and few of them are timed', () => {
  const accounts = new Accounting();
  let calls = 0;
  const target = { read: () => void calls++ };
  for (let i = 0; i < 1000; i++) accountedRead(accounts, target, 0, BUF);
  expect(calls).toBe(1000);
  expect(accounts.read).toMatchObject({ operations: 1000, bytes: 1000 * 4096, failed: 0, inFlight: 0 });
  expect(accounts.write.operations).toBe(0);
});

test('the time of those that were not timed is that of one that was', () => {
  const accounts = new Accounting();
  const target = { read: () => spin(20_000) };
  for (let i = 0; i < 600; i++) accountedRead(accounts, target, 0, BUF);
  // Each takes 20 microseconds or longer: counted without weights it would be three of them.
  expect(accounts.read.time).toBeGreaterThan(600 * 20_000 * 0.99);
});

test('a slow first request does not count for those that follow it', () => {
  const accounts = new Accounting();
  let first = true;
  const target = {
    read: () => {
      if (first) spin(5_000_000);
      first = false;
    },
  };
  for (let i = 0; i < 257; i++) accountedRead(accounts, target, 0, BUF);
  expect(accounts.read.time).toBe(5_000_000);
});

test('with a histogram every one is timed', () => {
  const accounts = new Accounting();
  accounts.setHistogram('write', [10, 1000]);
  for (let i = 0; i < 300; i++) accountedWrite(accounts, { write: () => undefined }, i * 4096, BUF, 0);
  const bins = accounts.histogram('write')?.bins ?? [];
  expect(bins.reduce((sum, bin) => sum + bin, 0)).toBe(300);
  expect(accounts.histogram('read')).toBeUndefined();
  expect(accounts.highestWrite).toBe(300 * 4096);
});

test('a write that goes past the threshold is told once, also below the furthest one', () => {
  const accounts = new Accounting();
  const target = { write: () => undefined };
  accountedWrite(accounts, target, 1 << 20, BUF, 0);
  const told: number[] = [];
  accounts.setThreshold(8192, (exceeded) => told.push(exceeded));
  accountedWrite(accounts, target, 0, BUF, 0);
  expect(told).toEqual([]);
  accountedWrite(accounts, target, 8192, BUF, 0);
  accountedWrite(accounts, target, 16384, BUF, 0);
  expect(told).toEqual([4096]);
});

test('one that waits is under way until it has ended, and counts as what it ended with', async () => {
  const accounts = new Accounting();
  const ends: { well(): void; badly(error: Error): void }[] = [];
  const target = { read: () => new Promise<void>((well, badly) => ends.push({ well, badly })) };
  const requests = [accountedRead(accounts, target, 0, BUF), accountedRead(accounts, target, 0, BUF)];
  expect(accounts.read).toMatchObject({ inFlight: 2, operations: 0 });
  ends[0]?.well();
  await requests[0];
  expect(accounts.read).toMatchObject({ inFlight: 1, operations: 1, bytes: 4096 });
  ends[1]?.badly(new BlockError('no', { code: 'EIO' }));
  await expect(requests[1]).rejects.toThrow('no');
  expect(accounts.read).toMatchObject({ inFlight: 0, operations: 1, failed: 1 });
});

test('a failure is a failure on every way', () => {
  const accounts = new Accounting();
  const fails = () => {
    throw new BlockError('no', { code: 'EIO' });
  };
  for (let i = 0; i < 3; i++) {
    expect(() => accountedRead(accounts, { read: fails }, 0, BUF)).toThrow('no');
    expect(() => accountedWrite(accounts, { write: fails }, 0, BUF, 0)).toThrow('no');
    expect(() => accounted(accounts, accounts.flush, 0, fails)).toThrow('no');
    accounted(accounts, accounts.read, 1, () => undefined);
  }
  expect([accounts.read.failed, accounts.write.failed, accounts.flush.failed]).toEqual([3, 3, 3]);
  expect(accounts.read.operations).toBe(3);
});
