import { expect, test } from 'vitest';
import { clock } from '../../../src/core/async/clock.ts';
import { sleep } from '../../../src/core/async/sleep.ts';

test('sleep ends after its time by the clock, which goes forward', async () => {
  const begin = clock();
  await sleep(20);
  // Timers count in whole milliseconds of another clock.
  expect(clock() - begin).toBeGreaterThan(18);
});

test('sleep ends at once when it is told to, also before it has begun', async () => {
  const abort = new AbortController();
  const asleep = sleep(2 ** 40, abort.signal);
  abort.abort();
  await asleep;
  await sleep(2 ** 40, abort.signal);
});
