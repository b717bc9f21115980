/** Limits, buckets and groups, with a clock of the test's own. */
import { describe, expect, test } from 'vitest';
import {
  groupLimits,
  ThrottleGroup,
  type ThrottleLimits,
  type ThrottleMember,
} from '../../../../src/core/block/throttling.ts';
import { Random, seeds } from '../../../support/random.ts';
import { FakeClock } from './fake-clock.ts';

const limits = (options: Record<string, number>): ThrottleLimits => groupLimits({ limits: options }, 'the test');

/** A user that sends requests of `size` as fast as it may, `depth` at a time; counts the bytes let through. */
class Guest {
  bytes = 0;
  count = 0;
  running = true;
  readonly #member: ThrottleMember;

  constructor(group: ThrottleGroup, direction: 'read' | 'write', size: number, depth = 1) {
    this.#member = group.join();
    for (let worker = 0; worker < depth; worker++) void this.#run(direction, size);
  }

  async #run(direction: 'read' | 'write', size: number): Promise<void> {
    while (this.running) {
      const wait = this.#member.admit(direction, size);
      // A guest that is never made to wait must not run for ever.
      if (wait) await wait;
      else if (this.count % 1000 === 0) await new Promise((resolve) => setImmediate(resolve));
      this.bytes += size;
      this.count++;
    }
  }
}

/** Bytes or requests of `guests` in each of `seconds`. */
async function perSecond(clock: FakeClock, guests: Guest[], seconds: number, unit: 'bytes' | 'count' = 'bytes') {
  const sums: number[] = [];
  for (let second = 0; second < seconds; second++) {
    const before = guests.reduce((sum, guest) => sum + guest[unit], 0);
    for (let step = 0; step < 10; step++) {
      // Requests that pass at once need turns of the event loop, not time.
      await new Promise((resolve) => setImmediate(resolve));
      await clock.advance(100);
    }
    sums.push(guests.reduce((sum, guest) => sum + guest[unit], 0) - before);
  }
  for (const guest of guests) guest.running = false;
  return sums;
}

const MB = 1e6;

describe('a group', () => {
  test('keeps to its bytes per second, with a tenth of a second at once', async () => {
    const clock = new FakeClock();
    const group = new ThrottleGroup(limits({ 'bps-total': MB }), clock);
    const sums = await perSecond(clock, [new Guest(group, 'read', 10_000, 8)], 5);
    expect(sums[0]).toBeGreaterThan(MB);
    expect(sums[0]).toBeLessThanOrEqual(1.15 * MB);
    for (const sum of sums.slice(1)) expect(Math.abs(sum - MB)).toBeLessThan(0.05 * MB);
  });

  test('counts operations, long ones several times', async () => {
    const clock = new FakeClock();
    const one = new ThrottleGroup(limits({ 'iops-write': 100 }), clock);
    const long = new ThrottleGroup(limits({ 'iops-write': 100, 'iops-size': 4096 }), clock);
    const guests = [new Guest(one, 'write', 16384, 4), new Guest(long, 'write', 16384, 4)];
    await perSecond(clock, guests, 10);
    expect(guests[0]?.count).toBeGreaterThan(990);
    expect(guests[0]?.count).toBeLessThan(1020);
    expect(guests[1]?.count).toBeGreaterThan(245);
    expect(guests[1]?.count).toBeLessThan(256);
  });

  test('bursts at the burst rate for its length, and no faster', async () => {
    const clock = new FakeClock();
    const bursting = { 'bps-total': MB, 'bps-total-max': 5 * MB, 'bps-total-max-length': 3 };
    const group = new ThrottleGroup(limits(bursting), clock);
    const sums = await perSecond(clock, [new Guest(group, 'read', 10_000, 16)], 10);
    expect(sums[0]).toBeGreaterThan(4.8 * MB);
    for (const sum of sums) expect(sum).toBeLessThanOrEqual(5.6 * MB);
    // 15 MB fit in the bucket, which leaks 1 MB/s meanwhile.
    expect(sums.slice(0, 4).reduce((a, b) => a + b)).toBeLessThanOrEqual(19.2 * MB);
    expect(sums.at(-1)).toBeLessThan(1.1 * MB);
  });

  test('limits reads and writes apart, or together', async () => {
    const clock = new FakeClock();
    const apart = new ThrottleGroup(limits({ 'bps-read': MB, 'bps-write': 2 * MB }), clock);
    const guests = [new Guest(apart, 'read', 5000, 4), new Guest(apart, 'write', 5000, 4)];
    await perSecond(clock, guests, 4);
    expect(guests[0]?.bytes).toBeLessThan(4.3 * MB);
    expect(guests[1]?.bytes).toBeGreaterThan(7.8 * MB);
    const together = new ThrottleGroup(limits({ 'bps-total': MB }), clock);
    const both = [new Guest(together, 'read', 5000, 4), new Guest(together, 'write', 5000, 4)];
    const sums = await perSecond(clock, both, 4);
    expect(sums.reduce((a, b) => a + b)).toBeLessThan(4.5 * MB);
  });

  test('is shared fairly by members of unequal depth', async () => {
    const clock = new FakeClock();
    const group = new ThrottleGroup(limits({ 'iops-total': 200 }), clock);
    const guests = [new Guest(group, 'write', 512, 32), new Guest(group, 'write', 512, 1)];
    const sums = await perSecond(clock, guests, 10, 'count');
    expect(sums.reduce((a, b) => a + b)).toBeLessThan(2050);
    expect((guests[1]?.count ?? 0) / (guests[0]?.count ?? 1)).toBeGreaterThan(0.8);
  });

  test('takes other limits while requests wait, and lets a member go that leaves', async () => {
    const clock = new FakeClock();
    const group = new ThrottleGroup(limits({ 'bps-total': 1000 }), clock);
    const member = group.join();
    expect(member.admit('read', 1_000_000)).toBeUndefined();
    let done = 0;
    for (let count = 0; count < 3; count++) void Promise.resolve(member.admit('read', 10)).then(() => done++);
    await clock.advance(60_000);
    expect(done).toBe(0);
    group.limits = limits({ 'bps-total': 10 });
    await clock.advance(0);
    expect(done).toBe(1);
    member.release();
    await clock.advance(0);
    expect(done).toBe(3);
    await clock.advance(1000);
    expect(clock.timers).toBe(0);
  });

  test.each(seeds(20))('never lets more through than its limits say, seed %i', async (seed) => {
    const random = new Random(seed);
    const clock = new FakeClock();
    const average = random.between(1000, 100_000);
    const max = random.chance(0.5) ? average * random.between(1, 5) : 0;
    const length = max > 0 ? random.between(1, 3) : 1;
    const group = new ThrottleGroup(
      limits({ 'bps-total': average, 'bps-total-max': max, 'bps-total-max-length': length }),
      clock,
    );
    const longest = Math.ceil(average / 5);
    const members = [group.join(), group.join()];
    let passed = 0;
    let asked = 0;
    const begin = clock.now();
    for (let step = 0; step < 200; step++) {
      const size = random.between(1, longest);
      asked += size;
      const direction = random.pick(['read', 'write'] as const);
      void Promise.resolve(random.pick(members).admit(direction, size)).then(() => {
        passed += size;
      });
      if (random.chance(0.5)) await clock.advance(random.between(0, 300));
      const seconds = (clock.now() - begin) / 1000;
      const bucket = max > 0 ? max * length : average / 10;
      // One request in each direction may overshoot.
      expect(passed).toBeLessThanOrEqual(bucket + average * seconds + 2 * longest + 1);
    }
    await clock.advance(3_600_000);
    await clock.advance(0);
    expect(passed).toBe(asked);
  });
});

describe('limits', () => {
  test('are read flat with a prefix, or as a group', () => {
    const flat = groupLimits({ 'x-bps-total': '1M', 'x-iops-read-max': 20, 'x-iops-read': 10 }, 'the test');
    const grouped = groupLimits({ limits: { 'bps-total': 1 << 20, 'iops-read': 10, 'iops-read-max': 20 } }, 'the test');
    expect(flat).toEqual(grouped);
    expect(groupLimits({ 'limits.bps-total': 5 }, 'the test').buckets['bps-total'].average).toBe(5);
  });

  test.each([
    [{ 'bps-total': 1, 'bps-read': 1 }, 'bps-total cannot be combined with bps-read or bps-write'],
    [
      { 'iops-total': 5, 'iops-total-max': 9, 'iops-write-max': 1 },
      'iops-total-max cannot be combined with iops-read-max or iops-write-max',
    ],
    [{ 'bps-read-max': 5 }, 'bps-read-max needs bps-read'],
    [{ 'bps-read': 5, 'bps-read-max': 4 }, 'bps-read-max (4) must not be lower than bps-read (5)'],
    [{ 'bps-read': 5, 'bps-read-max-length': 4 }, 'bps-read-max-length needs bps-read-max'],
    [{ 'bps-read': 5, 'bps-read-max': 6, 'bps-read-max-length': 0 }, 'bps-read-max-length must not be 0'],
    [{ 'bps-read': 5, 'bps-read-max': 1e15, 'bps-read-max-length': 2 }, 'bps-read-max-length is too long'],
    [{ 'iops-size': 4096 }, 'iops-size needs a limit on operations'],
    [{ 'bps-read': 2e15 }, "option 'bps-read' of the test must be"],
    [{ 'bps-nothing': 1 }, "the test has no option 'bps-nothing'"],
  ])('that contradict each other are refused: %j', (options, message) => {
    expect(() => limits(options as Record<string, number>)).toThrow(message);
  });

  test('of an object are given once, with their prefix', () => {
    expect(() => groupLimits({ 'bps-total': 1 }, 'object g')).toThrow("object g has no option 'bps-total'");
    expect(() => groupLimits({ 'x-bps-total': 1, limits: { 'bps-total': 1 } }, 'object g')).toThrow('twice');
  });
});
