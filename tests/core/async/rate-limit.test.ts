import { describe, expect, test } from 'vitest';
import { type Clock, LATE_MS, RateLimit, SLICE_MS } from '../../../src/core/async/rate-limit.ts';

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

/** Take requests of `size` one after the other in `workers` loops; when each has passed is in the result. */
function consume(limit: RateLimit, clock: Clock, size: number, workers = 1) {
  const passed: { readonly at: number; readonly bytes: number }[] = [];
  const state = {
    size,
    stop: false,
    passed,
    /** Bytes that have passed from `from` up to and including `to`. */
    between: (from: number, to: number): number =>
      passed.reduce((sum, { at, bytes }) => (at > from && at <= to ? sum + bytes : sum), 0),
  };
  const work = async (): Promise<void> => {
    while (!state.stop) {
      const bytes = state.size;
      await limit.take(bytes);
      passed.push({ at: clock.now(), bytes });
    }
  };
  for (let i = 0; i < workers; i++) void work();
  return state;
}

/** The bytes of the fullest and the emptiest of all stretches of `length` milliseconds that begin with a request. */
function extremes({ passed, between }: ReturnType<typeof consume>, length: number, end: number): [number, number] {
  const starts = passed.map(({ at }) => at).filter((at) => at + length <= end);
  const sums = [...new Set(starts)].map((at) => between(at, at + length));
  return [Math.max(...sums), Math.min(...sums)];
}

describe('RateLimit', () => {
  test('lets all through without a limit', () => {
    expect(new RateLimit(0).take(1e12)).toBe(true);
  });

  test.each([
    [512, 1],
    [4096, 1],
    [64 * 1024, 8],
    [100_001, 3],
    [499_000, 16],
    [500_000, 2],
  ])('holds the speed in any second with requests of %d bytes in %d loops', async (size, workers) => {
    const clock = new FakeClock();
    const speed = 10_000_000;
    const limit = new RateLimit(speed, clock);
    const state = consume(limit, clock, size, workers);
    await clock.runTo(3000);
    state.stop = true;
    limit.speed = 0;
    const [most, least] = extremes(state, 1000, 3000);
    expect(most).toBeLessThanOrEqual(speed * 1.05);
    expect(least).toBeGreaterThanOrEqual(speed * 0.95);
  });

  test.each([
    [1_000_000, 1],
    [1_000_000, 8],
    [3_333_333, 1],
    [25_000_000, 8],
  ])('has no burst, and never gives more than is due, with requests of %d bytes in %d loops', async (size, workers) => {
    const clock = new FakeClock();
    const speed = 1_000_000;
    const limit = new RateLimit(speed, clock);
    const state = consume(limit, clock, size, workers);
    await clock.runTo(200_000);
    state.stop = true;
    limit.speed = 0;
    for (const [index, { at }] of state.passed.entries()) {
      if (at > 200_000) break;
      const due = ((index + 1) * size * 1000) / speed;
      expect(at).toBeGreaterThanOrEqual(due - SLICE_MS - 1e-3);
      expect(at).toBeLessThanOrEqual(due + index + 1);
    }
    expect(state.between(-1, 200_000)).toBeGreaterThanOrEqual(speed * 200 - size);
  });

  test('holds it for a mixture of requests', async () => {
    const clock = new FakeClock();
    const speed = 1_000_000;
    const limit = new RateLimit(speed, clock);
    const state = consume(limit, clock, 700_000);
    const small = consume(limit, clock, 512, 3);
    await clock.runTo(60_000);
    state.stop = true;
    small.stop = true;
    limit.speed = 0;
    const sum = state.between(-1, 60_000) + small.between(-1, 60_000);
    expect(Math.abs(sum / (speed * 60) - 1)).toBeLessThan(0.05);
  });

  test('makes up for late timers', async () => {
    const clock = new FakeClock();
    clock.late = LATE_MS / 2;
    const limit = new RateLimit(10 * MiB, clock);
    const state = consume(limit, clock, 64 * 1024, 2);
    await clock.runTo(3000);
    const passed = state.between(-1, 3000);
    expect(Math.abs(passed / (30 * MiB) - 1)).toBeLessThan(0.05);
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
    const state = consume(limit, clock, 4096, 4);
    await clock.runTo(2000);
    expect(timers).toBeLessThanOrEqual(2000 / SLICE_MS + 1);
    state.stop = true;
    limit.speed = 0;
  });

  test.each([1000, MiB])('saves nothing up while idle (requests of %d bytes)', async (size) => {
    const clock = new FakeClock();
    const limit = new RateLimit(MiB, clock);
    await clock.runTo(60_000);
    const state = consume(limit, clock, size);
    await clock.runTo(63_000);
    expect(state.between(-1, 60_000)).toBeLessThanOrEqual((MiB * SLICE_MS) / 1000);
    expect(state.between(-1, 63_000)).toBeLessThanOrEqual(3 * MiB * 1.05);
    state.stop = true;
    limit.speed = 0;
  });

  test.each([
    [100_000, 10_000_000],
    [10_000_000, 100_000],
    [10_000_000, 9_000_000],
  ])('goes from %d to %d bytes a second at once, without a burst or a gap', async (before, after) => {
    for (const size of [512, 64 * 1024]) {
      const clock = new FakeClock();
      const limit = new RateLimit(before, clock);
      const state = consume(limit, clock, size, 4);
      await clock.runTo(2345);
      limit.speed = after;
      await clock.runTo(6345);
      state.stop = true;
      limit.speed = 0;
      const allowed = Math.max(after * 0.05, size);
      expect(Math.abs(state.between(2345, 3345) - after)).toBeLessThanOrEqual(allowed);
      expect(Math.abs(state.between(2345, 6345) - 4 * after)).toBeLessThanOrEqual(allowed);
    }
  });

  test('lets a request that has waited for most of its cost at a low speed wait for the rest at a high one', async () => {
    const clock = new FakeClock();
    const limit = new RateLimit(1000, clock);
    const state = consume(limit, clock, 100_000);
    await clock.runTo(50_000);
    limit.speed = 10_000;
    await clock.runTo(54_900);
    expect(state.passed).toHaveLength(0);
    await clock.runTo(55_100);
    expect(state.passed).toHaveLength(1);
    state.stop = true;
    limit.speed = 0;
  });

  test('stops waiting when the signal is aborted, and serves the others in order', async () => {
    const clock = new FakeClock();
    const limit = new RateLimit(1000, clock);
    await limit.take(20);
    const controller = new AbortController();
    const order: unknown[] = [];
    const waits = [1, 2, 3].map(async (n) => {
      const passed = await limit.take(100, n === 2 ? controller.signal : undefined);
      order.push([n, passed]);
    });
    controller.abort();
    await clock.runTo(5000);
    await Promise.all(waits);
    expect(order).toEqual([
      [2, false],
      [1, true],
      [3, true],
    ]);
    expect(limit.take(100, controller.signal)).toBe(false);
    expect(clock.timers).toEqual([]);
  });
});
