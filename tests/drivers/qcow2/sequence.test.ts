import { describe, expect, test } from 'vitest';
import { Pending, walk } from '../../../src/drivers/qcow2/sequence.ts';
import { Turns } from '../../../src/drivers/qcow2/turns.ts';

const later = (fails?: string): Promise<void> =>
  new Promise((resolve, reject) => setImmediate(() => (fails === undefined ? resolve() : reject(new Error(fails)))));

describe('what goes on side by side', () => {
  test('fails as what was started first does, whether that fails at once or later', async () => {
    const pending = new Pending();
    pending.start(() => later('first'));
    pending.start(() => {
      throw new Error('second');
    });
    expect(pending.failed).toBe(true);
    await expect(pending.end()).rejects.toThrow('first');
    const other = new Pending();
    other.start(() => {
      throw new Error('first');
    });
    other.start(() => later('second'));
    await expect(other.end()).rejects.toThrow('first');
    const alone = new Pending();
    alone.fail(new Error('alone'));
    expect(() => alone.end()).toThrow('alone');
  });

  test('passes its turn when all has been started, well or not', async () => {
    for (const fails of [undefined, 'no']) {
      const seen: string[] = [];
      const step = (at: number, pending: Pending): number | Promise<number> => {
        pending.start(() => later(fails).finally(() => seen.push(`end ${at}`)));
        seen.push(`start ${at}`);
        return at === 0 ? later().then(() => 1) : 1;
      };
      const done = walk(2, step, { pass: () => void seen.push('pass') });
      if (fails === undefined) await done;
      else await expect(done).rejects.toThrow(fails);
      expect(seen.filter((each) => each !== 'end 0')).toEqual(['start 0', 'start 1', 'pass', 'end 1']);
    }
  });
});

test('turns come in the order in which they were taken, whatever passes first', async () => {
  const turns = new Turns();
  const [first, second, third] = [turns.take(), turns.take(), turns.take()];
  expect(first.ready).toBe(undefined);
  const seen: string[] = [];
  void second.ready?.then(() => seen.push('second'));
  void third.ready?.then(() => seen.push('third'));
  second.pass();
  await later();
  expect(seen).toEqual([]);
  first.pass();
  first.pass();
  await later();
  expect(seen).toEqual(['second', 'third']);
  third.pass();
  expect(turns.take().ready).toBe(undefined);
});
