import { expect, test } from 'vitest';
import { transact } from '../../../../src/core/block/graph/transaction.ts';

function steps(log: string[], count: number, failAt?: number): (transaction: { add(step: object): void }) => string {
  return (transaction) => {
    for (let index = 0; index < count; index++) {
      if (index === failAt) throw new Error(`step ${index} fails`);
      const note = (what: string) => () => void log.push(`${what} ${index}`);
      transaction.add({ commit: note('commit'), abort: note('abort'), clean: note('clean') });
    }
    return 'done';
  };
}

test('commits all in order, or aborts what was done in reverse', () => {
  const log: string[] = [];
  expect(transact(steps(log, 2))).toBe('done');
  expect(log).toEqual(['commit 0', 'commit 1', 'clean 0', 'clean 1']);
  for (let failAt = 0; failAt < 3; failAt++) {
    log.length = 0;
    expect(() => transact(steps(log, 3, failAt))).toThrow(`step ${failAt} fails`);
    const done = [0, 1, 2].slice(0, failAt);
    expect(log).toEqual([
      ...done.toReversed().map((index) => `abort ${index}`),
      ...done.map((index) => `clean ${index}`),
    ]);
  }
});
