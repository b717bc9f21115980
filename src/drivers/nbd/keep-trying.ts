import { clock } from '../../core/async/clock.ts';
import { sleep } from '../../core/async/sleep.ts';
import { asBlockError, BlockError } from '../../core/errors/block-error.ts';

/** Milliseconds between two attempts, at first and at most. */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 1000;

/**
 * Call `action` until it succeeds, at least once and for at most `time` milliseconds; the last failure is thrown. A
 * server that breaks the protocol is not asked again.
 */
export async function keepTrying<T>(time: number, signal: AbortSignal, action: () => Promise<T>): Promise<T> {
  const end = clock() + time;
  for (let pause = FIRST_PAUSE; ; pause = Math.min(LONGEST_PAUSE, 2 * pause)) {
    try {
      return await action();
    } catch (error) {
      const left = end - clock();
      if (left <= 0 || signal.aborted || asBlockError(error).code === 'EPROTO') throw error;
      await sleep(Math.min(pause, left), signal);
      if (signal.aborted) throw new BlockError('waiting was given up', { code: 'ECANCELED' });
    }
  }
}
