import { describe, expect, test } from 'vitest';
import { DirtyBitmap, defaultGranularity } from '../../../src/core/bitmap/index.ts';

const TIB = 2 ** 40;

describe('a bitmap', () => {
  test('of a large disk finds the one dirty granule, from both sides, and takes no memory for the rest', () => {
    const before = process.memoryUsage().arrayBuffers;
    const bitmap = new DirtyBitmap(TIB, 512);
    bitmap.setAll();
    bitmap.clear(0, TIB - 1024);
    expect(bitmap.nextDirty(0)).toBe(TIB - 1024);
    expect(bitmap.count).toBe(1024);
    expect([...bitmap.extents()]).toEqual([
      { offset: 0, length: TIB - 1024, dirty: false },
      { offset: TIB - 1024, length: 1024, dirty: true },
    ]);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20);
  });

  test('marks what a range touches, and clears only what it covers', () => {
    const bitmap = new DirtyBitmap(10_000, 4096);
    bitmap.set(4095, 2);
    expect([...bitmap.extents()].map(({ length, dirty }) => [length, dirty])).toEqual([
      [8192, true],
      [1808, false],
    ]);
    bitmap.clear(1, 8191);
    expect(bitmap.nextDirtyRange(0)).toEqual({ offset: 0, length: 4096 });
    bitmap.set(9999, 100);
    bitmap.clear(8192, 1808);
    expect(bitmap.isDirty(9000)).toBe(false);
  });

  test('gives a dirty stretch no longer than asked for, and extents cut to the range asked for', () => {
    const bitmap = new DirtyBitmap(2 ** 20, 65536);
    bitmap.set(65536, 4 * 65536);
    expect(bitmap.nextDirtyRange(0, undefined, 65536)).toEqual({ offset: 65536, length: 65536 });
    expect(bitmap.nextDirtyRange(70_000, 80_000)).toEqual({ offset: 70_000, length: 10_000 });
    expect(bitmap.nextDirtyRange(5 * 65536)).toBeUndefined();
    expect([...bitmap.extents(100_000, 300_000)]).toEqual([
      { offset: 100_000, length: 5 * 65536 - 100_000, dirty: true },
      { offset: 5 * 65536, length: 400_000 - 5 * 65536, dirty: false },
    ]);
  });

  test.each([0, 511, 513, 1024.5, 2 ** 32, Number.NaN])('refuses the granularity %s', (granularity) => {
    expect(() => new DirtyBitmap(1024, granularity)).toThrow(`granularity ${granularity} is not a power of two`);
  });

  test('without a granularity asked for goes by the clusters', () => {
    expect([undefined, 512, 16384, 2 ** 21].map(defaultGranularity)).toEqual([65536, 4096, 16384, 65536]);
  });
});
