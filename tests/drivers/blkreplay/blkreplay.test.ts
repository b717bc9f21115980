/** blkreplay: the order of requests follows from the seed. */
import { describe, expect, test } from 'vitest';
import { openDisk } from '../../support/disk.ts';
import { MemoryDisk, memoryEntry, turns } from '../../support/memory-driver.ts';
import { Random } from '../../support/random.ts';

/** The order in which 12 writes of unequal speed reach the disk, and that in which they end. */
async function orders(seed?: number): Promise<{ arrived: number[]; ended: number[] }> {
  const random = new Random(1);
  const arrived: number[] = [];
  const memory = new MemoryDisk({
    size: 65536,
    on(operation, offset) {
      if (operation !== 'write') return;
      arrived.push(offset / 512);
      return turns(random.below(4));
    },
  });
  const spec = { driver: 'blkreplay', ...(seed === undefined ? {} : { seed }), image: { driver: 'memory', disk: 'a' } };
  const disk = await openDisk(spec, { writable: true, extraDrivers: [memoryEntry(new Map([['a', memory]]))] });
  const ended: number[] = [];
  await Promise.all(
    Array.from({ length: 12 }, async (_, index) => {
      await disk.write(index * 512, Buffer.alloc(512, index));
      ended.push(index);
    }),
  );
  await disk.close();
  return { arrived, ended };
}

describe('blkreplay', () => {
  test('without a seed carries requests out, and ends them, as they came', async () => {
    const inOrder = Array.from({ length: 12 }, (_, index) => index);
    expect(await orders()).toEqual({ arrived: inOrder, ended: inOrder });
  });

  test('has an order for each seed, always the same', async () => {
    const first = await orders(3);
    expect(first.arrived).toEqual(first.ended);
    expect(first.arrived).not.toEqual([...first.arrived].sort((a, b) => a - b));
    expect(await orders(3)).toEqual(first);
    expect(await orders(4)).not.toEqual(first);
  });
});
