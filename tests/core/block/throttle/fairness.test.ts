/** Who shares limits, and how evenly: members of all kinds, coming and going, with a clock of the test's own. */
import { describe, expect, test } from 'vitest';
import { Backend } from '../../../../src/core/block/backend/backend.ts';
import { BlockGraph } from '../../../../src/core/block/graph/block-graph.ts';
import { whileDrained } from '../../../../src/core/block/graph/drain.ts';
import { openNode } from '../../../../src/core/block/graph/open.ts';
import { operations } from '../../../../src/core/block/graph/operations.ts';
import { groupLimits, ThrottleGroup, type ThrottleMember } from '../../../../src/core/block/throttling.ts';
import { driverList } from '../../../../src/drivers/index.ts';
import { Random, seeds } from '../../../support/random.ts';
import { FakeClock } from './fake-clock.ts';

type Direction = 'read' | 'write';

const group = (limits: Record<string, number>, clock: FakeClock) =>
  new ThrottleGroup(groupLimits({ limits }, 'the test'), clock);

/** Sends requests, `depth` at a time, each as soon as one before it has passed. */
class Guest {
  count = 0;
  bytes = 0;
  running = true;
  /** Longest time between two requests that passed. */
  gap = 0;
  readonly member: ThrottleMember;
  readonly #clock: FakeClock;
  #last: number;

  constructor(of: ThrottleGroup, clock: FakeClock, load: { direction: Direction; size: number; depth: number }) {
    this.member = of.join();
    this.#clock = clock;
    this.#last = clock.now();
    for (let worker = 0; worker < load.depth; worker++) void this.#run(load.direction, load.size);
  }

  async #run(direction: Direction, size: number): Promise<void> {
    while (this.running) {
      await this.member.admit(direction, size);
      if (!this.running) return;
      this.count++;
      this.bytes += size;
      this.gap = Math.max(this.gap, this.#clock.now() - this.#last);
      this.#last = this.#clock.now();
    }
  }

  stop(): void {
    this.running = false;
    this.member.release();
  }
}

/** Milliseconds, a few at a time. */
async function pass(clock: FakeClock, ms: number): Promise<void> {
  for (let at = 0; at < ms; at += 50) await clock.advance(50);
}

/** What passes at once in the beginning is for whoever comes first. */
async function warmUp(clock: FakeClock, guests: readonly Guest[]): Promise<void> {
  await pass(clock, 500);
  for (const guest of guests) {
    guest.count = 0;
    guest.bytes = 0;
  }
}

function spread(guests: readonly { readonly count: number }[]): number {
  const counts = guests.map(({ count }) => count);
  const mean = counts.reduce((a, b) => a + b) / counts.length;
  return Math.max(...counts.map((count) => Math.abs(count - mean) / mean));
}

describe('turns', () => {
  test.each([100, 1000, 5000])('are the same for all depths, at %i a second', async (rate) => {
    const clock = new FakeClock();
    const shared = group({ 'iops-total': rate }, clock);
    const guests = [1, 1, 2, 8, 64].map((depth) => new Guest(shared, clock, { direction: 'write', size: 512, depth }));
    await warmUp(clock, guests);
    await pass(clock, rate > 1000 ? 2000 : 5000);
    for (const guest of guests) guest.stop();
    expect(spread(guests)).toBeLessThan(0.04);
  });

  test('are the same for all sizes, whatever they cost', async () => {
    const clock = new FakeClock();
    const shared = group({ 'bps-total': 10_000_000, 'iops-total': 4000, 'iops-size': 8192 }, clock);
    const guests = [512, 4096, 65536, 262144].map(
      (size) => new Guest(shared, clock, { direction: 'read', size, depth: 4 }),
    );
    await pass(clock, 20_000);
    for (const guest of guests) guest.stop();
    expect(spread(guests)).toBeLessThan(0.04);
    const bytes = guests.reduce((sum, guest) => sum + guest.bytes, 0);
    expect(bytes).toBeGreaterThan(0.95 * 200_000_000);
    expect(bytes).toBeLessThan(1.05 * 200_000_000 + 1_000_000);
  });

  test.each([
    ['reads', 'write'],
    ['writes', 'read'],
  ] as const)('many %s do not keep others from their turn', async (_, lonely) => {
    const clock = new FakeClock();
    const shared = group({ 'iops-total': 300 }, clock);
    const crowd = [1, 2, 3, 4].map(
      () => new Guest(shared, clock, { direction: lonely === 'read' ? 'write' : 'read', size: 512, depth: 32 }),
    );
    const one = new Guest(shared, clock, { direction: lonely, size: 512, depth: 1 });
    await warmUp(clock, [...crowd, one]);
    await pass(clock, 10_000);
    for (const guest of [...crowd, one]) guest.stop();
    expect(spread([...crowd, one])).toBeLessThan(0.04);
  });

  test('a direction with limits of its own does not hold up the other', async () => {
    const clock = new FakeClock();
    const shared = group({ 'bps-read': 1000, 'bps-write': 1_000_000 }, clock);
    const slow = new Guest(shared, clock, { direction: 'read', size: 1000, depth: 16 });
    const fast = new Guest(shared, clock, { direction: 'write', size: 1000, depth: 2 });
    await pass(clock, 5000);
    for (const guest of [slow, fast]) guest.stop();
    expect(slow.count).toBeGreaterThanOrEqual(5);
    expect(slow.count).toBeLessThanOrEqual(7);
    expect(fast.count).toBeGreaterThan(4900);
  });
});

describe('members that come and go', () => {
  test('have their share while they are there', async () => {
    const clock = new FakeClock();
    const shared = group({ 'iops-total': 500 }, clock);
    const load = { direction: 'write', size: 512, depth: 8 } as const;
    const first = new Guest(shared, clock, load);
    await pass(clock, 4000);
    expect(first.count).toBeGreaterThan(1950);
    first.count = 0;
    const second = new Guest(shared, clock, { ...load, depth: 1 });
    shared.join();
    await pass(clock, 4000);
    expect(spread([first, second])).toBeLessThan(0.04);
    expect(first.count + second.count).toBeGreaterThan(1950);
    second.stop();
    first.count = 0;
    await pass(clock, 4000);
    expect(first.count).toBeGreaterThan(1950);
    first.stop();
  });

  test('what an idle member does not use, others do, and it is not owed later', async () => {
    const clock = new FakeClock();
    const shared = group({ 'iops-total': 500 }, clock);
    const busy = new Guest(shared, clock, { direction: 'write', size: 512, depth: 8 });
    const idle = shared.join();
    await pass(clock, 10_000);
    busy.count = 0;
    let late = 0;
    for (let n = 0; n < 400; n++) void Promise.resolve(idle.admit('write', 512)).then(() => late++);
    await pass(clock, 1000);
    expect(Math.abs(late - busy.count)).toBeLessThan(0.1 * busy.count);
    busy.stop();
    idle.release();
  });
});

describe('limits that change', () => {
  test('hold at once, for all alike', async () => {
    const clock = new FakeClock();
    const shared = group({ 'iops-total': 10 }, clock);
    const guests = [1, 16].map((depth) => new Guest(shared, clock, { direction: 'write', size: 4096, depth }));
    await pass(clock, 2000);
    for (const [rate, seconds] of [
      [1000, 3],
      [50, 4],
      [400, 3],
    ] as const) {
      shared.limits = groupLimits({ limits: { 'iops-total': rate } }, 'the test');
      for (const guest of guests) guest.count = 0;
      await pass(clock, seconds * 1000);
      const sum = guests.reduce((total, { count }) => total + count, 0);
      expect(sum).toBeGreaterThan(0.95 * rate * seconds);
      expect(sum).toBeLessThan(rate * (seconds + 0.15) + 2);
      expect(spread(guests)).toBeLessThan(0.04);
    }
    shared.limits = groupLimits({}, 'the test');
    for (const guest of guests) guest.stop();
  });

  test('a burst is shared too', async () => {
    const clock = new FakeClock();
    const shared = group({ 'iops-total': 100, 'iops-total-max': 1000, 'iops-total-max-length': 3 }, clock);
    const guests = [1, 1, 32].map((depth) => new Guest(shared, clock, { direction: 'read', size: 512, depth }));
    await warmUp(clock, guests);
    await pass(clock, 2000);
    // 1000 a second for a while.
    expect(guests.reduce((sum, { count }) => sum + count, 0)).toBeGreaterThan(1900);
    expect(spread(guests)).toBeLessThan(0.04);
    await pass(clock, 8000);
    for (const guest of guests) guest.stop();
    expect(guests.reduce((sum, { count }) => sum + count, 0)).toBeLessThan(3000 + 1100 - 500);
    expect(spread(guests)).toBeLessThan(0.04);
  });
});

test.each(seeds(15))('nobody starves, whatever happens (seed %i)', async (seed) => {
  const random = new Random(seed);
  const clock = new FakeClock();
  const limits = (): Record<string, number> => ({
    'iops-total': random.between(50, 2000),
    ...(random.chance(0.5) ? { 'bps-total': random.between(5_000_000, 50_000_000) } : {}),
    ...(random.chance(0.3) ? { 'iops-size': random.between(512, 65536) } : {}),
  });
  const shared = group(limits(), clock);
  const load = () => ({
    direction: random.pick(['read', 'write'] as const),
    size: 512 * random.between(1, 64),
    depth: random.magnitude(31) + 1,
  });
  let guests = Array.from({ length: 4 }, () => new Guest(shared, clock, load()));
  for (let step = 0; step < 40; step++) {
    await pass(clock, random.between(1, 8) * 50);
    if (random.chance(0.2)) shared.limits = groupLimits({ limits: limits() }, 'the test');
    if (random.chance(0.3) && guests.length > 1) guests.splice(random.below(guests.length), 1)[0]?.stop();
    if (random.chance(0.3) && guests.length < 8) guests.push(new Guest(shared, clock, load()));
  }
  // The slowest limits let 50 a second pass, or 5 MB, or 32768 bytes at 64 operations: eight members have a turn in 10 s.
  await pass(clock, 10_000);
  for (const guest of guests) {
    expect(guest.count).toBeGreaterThan(0);
    expect(guest.gap).toBeLessThan(10_000);
    guest.stop();
  }
  guests = [];
  expect(clock.timers).toBe(0);
});

describe('waiting for the end of what is under way', () => {
  async function throttled() {
    const graph = new BlockGraph({ drivers: driverList, references: 'all', warn: () => undefined });
    const node = await openNode(graph, {
      driver: 'throttle',
      'bps-total': 1,
      file: { driver: 'null-co', size: 1 << 20, 'node-name': 'n' },
      'node-name': 't',
    });
    const user = Backend.attach(graph, node, { user: 'the user', permissions: operations.write.image });
    await user.write(0, Buffer.alloc(65536));
    const waiting = Array.from({ length: 4 }, (_, n) => user.write(n * 4096, Buffer.alloc(4096)));
    return { graph, node, user, waiting };
  }

  test('does not take as long as limits would have it, and they hold again afterwards', async () => {
    const { graph, node, user, waiting } = await throttled();
    await whileDrained(
      () => [node],
      () => undefined,
    );
    await Promise.all(waiting);
    let passed = false;
    const late = Promise.resolve(user.write(0, Buffer.alloc(512))).then(() => {
      passed = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(passed).toBe(false);
    await whileDrained(
      () => [graph.find('n')],
      () => undefined,
    );
    await late;
    await user.close();
    await graph.close();
  });

  test('nor does closing', async () => {
    const { graph, user, waiting } = await throttled();
    await user.close();
    await Promise.all(waiting);
    await graph.close();
  });
});
