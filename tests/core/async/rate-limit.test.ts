import { describe, expect, test } from 'vitest';
import { type Clock, RateLimit, SLICE_MS } from '../../../src/core/async/rate-limit.ts';

const MiB = 1024 * 1024;

/** Time that moves only when it is told to; timers fire `late` milliseconds after their time. */
class FakeClock implements Clock {
  time = 0;
  late = 0;
  timers: { at: number; action: () => void }[] = [];

  now(): number {
    return this.time;
  }
  after(ms: number, action: () => void): () => void {
    const timer = { at: this.time + ms + this.late, action };
    this.timers.push(timer);
    return () => void this.timers.splice(this.timers.indexOf(timer), 1);
  }
  async runTo(end: number): Promise<void> {
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      const next = this.timers.reduce((a, b) => (b.at < a.at ? b : a), { at: Number.POSITIVE_INFINITY, action() {} });
      if (next.at > end) break;
      this.timers.splice(this.timers.indexOf(next), 1);
      this.time = next.at;
      next.action();
    }
    this.time = end;
  }
}

/** Take requests of `size` one after the other in `workers` loops; the sum that has passed is in the result. */
function consume(limit: RateLimit, size: number, workers = 1): { passed: number; stop: boolean } {
  const state = { passed: 0, stop: false };
  const work = async (): Promise<void> => {
    while (!state.stop) {
      await limit.take(size);
      state.passed += size;
    }
  };
  for (let i = 0; i < workers; i++) void work();
  return state;
}

describe('RateLimit', () => {
  test('lets all through without a limit', () => {
    expect(new RateLimit(0).take(1e12)).toBeUndefined();
  });

  test.each([
    [4096, 1],
    [64 * 1024, 8],
    [MiB, 8],
  ])('holds the speed over seconds with requests of %d bytes in %d loops', async (size, workers) => {
    const clock = new FakeClock();
    const limit = new RateLimit(100 * MiB, clock);
    const state = consume(limit, size, workers);
    for (const second of [1, 2, 5]) {
      await clock.runTo(second * 1000 - 1);
      expect(Math.abs(state.passed / (second * 100 * MiB) - 1)).toBeLessThan(0.05);
    }
    state.stop = true;
    limit.speed = 0;
  });

  test('makes up for late timers', async () => {
    const clock = new FakeClock();
    clock.late = 15;
    const limit = new RateLimit(10 * MiB, clock);
    const state = consume(limit, 64 * 1024, 2);
    await clock.runTo(3000);
    expect(Math.abs(state.passed / (30 * MiB) - 1)).toBeLessThan(0.05);
    state.stop = true;
    limit.speed = 0;
  });

  test('passes in bulk: no more timers than slices', async () => {
    const clock = new FakeClock();
    const limit = new RateLimit(10 * MiB, clock);
    let timers = 0;
    const { after } = clock;
    clock.after = (ms, action) => {
      timers++;
      return after.call(clock, ms, action);
    };
    const state = consume(limit, 4096, 4);
    await clock.runTo(2000);
    expect(timers).toBeLessThanOrEqual(2000 / SLICE_MS + 1);
    state.stop = true;
    limit.speed = 0;
  });

  test('saves nothing up while idle', async () => {
    const clock = new FakeClock();
    const limit = new RateLimit(MiB, clock);
    await clock.runTo(60_000);
    expect(limit.take(MiB)).toBeUndefined();
    expect(limit.take(1)).toBeInstanceOf(Promise);
  });

  test('takes on another speed at once', async () => {
    const clock = new FakeClock();
    const limit = new RateLimit(1000, clock);
    await limit.take(1_000_000);
    let passed = false;
    void Promise.resolve(limit.take(1)).then(() => {
      passed = true;
    });
    await clock.runTo(1000);
    expect(passed).toBe(false);
    limit.speed = 10_000_000;
    await clock.runTo(1100);
    expect(passed).toBe(true);
  });

  test('stops waiting when the signal is aborted, and serves the others in order', async () => {
    const clock = new FakeClock();
    const limit = new RateLimit(1000, clock);
    await limit.take(1000);
    const controller = new AbortController();
    const order: number[] = [];
    const waits = [1, 2, 3].map(async (n) => {
      await limit.take(100, n === 2 ? controller.signal : undefined);
      order.push(n);
    });
    controller.abort();
    await clock.runTo(5000);
    await Promise.all(waits);
    expect(order).toEqual([2, 1, 3]);
    expect(clock.timers).toEqual([]);
  });
});
