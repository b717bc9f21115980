import { describe, expect, test } from 'vitest';
import { Limiter } from '../../../src/core/async/limiter.ts';

describe('Limiter', () => {
  test('runs at once, without a promise, where there is room', () => {
    expect(new Limiter(1).run(() => 7)).toBe(7);
  });

  test('never lets more run than it is made for, and runs them in their order', async () => {
    const limiter = new Limiter(3);
    const order: number[] = [];
    let running = 0;
    let most = 0;
    const work = async (id: number): Promise<void> => {
      order.push(id);
      most = Math.max(most, ++running);
      for (let i = 0; i < (id * 7) % 5; i++) await Promise.resolve();
      running--;
    };
    await Promise.all(Array.from({ length: 20 }, (_, id) => limiter.run(() => work(id))));
    expect(most).toBe(3);
    expect(order).toEqual(Array.from({ length: 20 }, (_, id) => id));
  });

  test('gives the place back when an action fails, whichever way', async () => {
    const limiter = new Limiter(1);
    expect(() =>
      limiter.run(() => {
        throw new Error('now');
      }),
    ).toThrow('now');
    await expect(limiter.run(() => Promise.reject(new Error('later')))).rejects.toThrow('later');
    expect(limiter.run(() => 'there')).toBe('there');
  });
});
