import { describe, expect, test } from 'vitest';
import { ClusterCounts, PAGE } from '../../../../src/drivers/qcow2/check/cluster-counts.ts';
import { Random, seeds } from '../../../support/random.ts';

/** Clusters that lie in three pages, the last two next to each other, past what 31 bits number. */
const FAR = 2 ** 33;
const PLACES = [0, FAR, FAR + PAGE];

describe('ClusterCounts', () => {
  test('counts beyond a byte, and stays at the largest count of 32 bits', () => {
    const counts = new ClusterCounts();
    expect(counts.addRun(5, 40, 200)).toBe(200);
    expect(counts.addRun(6, 1, 100)).toBe(300);
    expect([counts.get(5), counts.get(6), counts.get(7)]).toEqual([200, 300, 200]);
    expect(counts.add(5, 2 ** 40)).toBe(0xffffffff);
    counts.set(6, 2 ** 63);
    expect([counts.get(5), counts.get(6)]).toEqual([0xffffffff, 0xffffffff]);
  });

  test('refuses to take memory for a few clusters far apart', () => {
    const counts = new ClusterCounts();
    expect(() => {
      for (let page = 0; page < 10_000; page++) counts.add(page * PAGE, 1);
    }).toThrow(/scattered so widely/);
  });

  test.each(seeds(20))('agrees with a map (seed %d)', (seed) => {
    const random = new Random(seed);
    const counts = new ClusterCounts();
    const model = new Map<number, number>();
    const modelOf = (cluster: number): number => model.get(cluster) ?? 0;
    for (let step = 0; step < 300; step++) {
      // Near a border between pages, so that many runs cross it.
      const first = random.pick(PLACES) + PAGE - 100 + random.below(150);
      const length = random.magnitude(80) + 1;
      const times = random.magnitude(random.pick([1, 3, 300])) + 1;
      let largest = 0;
      for (let cluster = first; cluster < first + length; cluster++) {
        model.set(cluster, modelOf(cluster) + times);
        largest = Math.max(largest, modelOf(cluster));
      }
      expect(counts.addRun(first, length, times)).toBe(largest);
      if (random.chance(0.2)) {
        counts.set(first, 1);
        model.set(first, 1);
      }
      const at = random.pick(PLACES) + PAGE - 120 + random.below(200);
      const run = Array.from({ length: random.magnitude(40) + 1 }, (_, index) => modelOf(at + index));
      expect(counts.isRun(at, run.length, true)).toBe(run.every((count) => count === 1));
      expect(counts.isRun(at, run.length, false)).toBe(!run.includes(1));
    }
    for (const [cluster, count] of model) expect(counts.get(cluster)).toBe(count);
    expect(counts.shared).toBe([...model.values()].some((count) => count > 1));
  });
});
