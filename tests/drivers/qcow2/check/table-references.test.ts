import { describe, expect, test } from 'vitest';
import { TableReferences } from '../../../../src/drivers/qcow2/check/table-references.ts';
import { Random, seeds } from '../../../support/random.ts';

describe('TableReferences', () => {
  test('has nothing at first', () => {
    const references = new TableReferences();
    expect(references.find(0)).toEqual({ active: 0, inactive: 0 });
    expect([...references.offsets('all', 512)]).toEqual([]);
  });

  test('counts what is added several times, also within one list', () => {
    const references = new TableReferences();
    references.add(Float64Array.of(9, 3, 9), 2, false);
    references.add(Float64Array.of(3), 1, true);
    expect(references.find(9)).toEqual({ active: 0, inactive: 4 });
    expect(references.find(3)).toEqual({ active: 1, inactive: 2 });
    expect([...references.offsets('all', 512)]).toEqual([3 * 512, 9 * 512]);
    expect([...references.offsets('active', 512)]).toEqual([3 * 512]);
  });

  test('stays at the largest count there is', () => {
    const references = new TableReferences();
    for (let round = 0; round < 3; round++) references.add(Float64Array.of(5), 0xfffffff0, false);
    expect(references.find(5)).toEqual({ active: 0, inactive: 0xffffffff });
  });

  test.each(seeds(20))('agrees with a map (seed %d)', (seed) => {
    const random = new Random(seed);
    const references = new TableReferences();
    const model = new Map<number, { active: number; inactive: number }>();
    for (let list = random.between(1, 30); list > 0; list--) {
      const clusters = Float64Array.from({ length: random.magnitude(200) }, () => random.below(300));
      const times = random.between(1, 5);
      const active = random.chance(0.3);
      references.add(clusters, times, active);
      for (const cluster of clusters) {
        const counts = model.get(cluster) ?? { active: 0, inactive: 0 };
        counts[active ? 'active' : 'inactive'] += times;
        model.set(cluster, counts);
      }
      // Looking something up in between changes nothing.
      if (random.chance(0.2)) references.find(random.below(300));
    }
    const sorted = [...model].sort(([a], [b]) => a - b);
    expect([...references.offsets('all', 1)]).toEqual(sorted.map(([cluster]) => cluster));
    expect([...references.offsets('active', 1)]).toEqual(
      sorted.filter(([, { active }]) => active > 0).map(([cluster]) => cluster),
    );
    for (let cluster = 0; cluster < 300; cluster++) {
      expect(references.find(cluster)).toEqual(model.get(cluster) ?? { active: 0, inactive: 0 });
    }
  });
});
