import { describe, expect, test } from 'vitest';
import { COLUMNS, MapSummary, PLACES_X } from '../../../../src/commands/img/map-picture/summary.ts';
import type { MapRange } from '../../../../src/core/block/graph/layer-map.ts';

const GiB = 2 ** 30;

function range(offset: number, length: number, more: Partial<MapRange> = {}): MapRange {
  return { offset, length, depth: 0, present: true, zero: false, data: true, compressed: false, ...more };
}

describe('MapSummary', () => {
  test('counts bytes by kind and depth, and in the cells they lie in', () => {
    const summary = new MapSummary(10 * GiB);
    expect(summary.cellSize).toBe(2 * 1024 * 1024);
    const cell = summary.cellSize;
    summary.add(range(cell / 2, cell, { hostOffset: 4096 }));
    summary.add(range(4 * cell, cell, { zero: true, data: false }));
    summary.add(range(5 * cell, 512, { compressed: true, depth: 1 }));
    summary.add(range(6 * cell, cell, { present: false, zero: true, data: false }));
    const found = summary.shares.map(({ kind, depth, bytes }) => ({ kind, depth, bytes }));
    expect(found).toEqual([
      { kind: 'data', depth: 0, bytes: cell },
      { kind: 'zero', depth: 0, bytes: cell },
      { kind: 'compressed', depth: 1, bytes: 512 },
    ]);
    expect([...(summary.shares[0]?.cells.subarray(0, 3) ?? [])]).toEqual([cell / 2, cell / 2, 0]);
    expect(summary.allocated).toBe(2 * cell + 512);
  });

  test('has a cell for every byte of any size, and a bounded number of them', () => {
    for (const size of [512, 5000 * 512, 3 * GiB + 512, 2 ** 52]) {
      const summary = new MapSummary(size);
      expect(summary.cellCount * summary.cellSize).toBeGreaterThanOrEqual(size);
      expect(summary.cellCount).toBeLessThanOrEqual(COLUMNS * 64);
    }
  });

  test('places data in the file, in a bounded number of places for however many extents', () => {
    const summary = new MapSummary(GiB);
    for (let i = 0; i < 200_000; i++) summary.add(range(i * 4096, 4096, { hostOffset: (200_000 - i) * 4096 }));
    expect(summary.extents).toBe(200_000);
    expect(summary.breaks).toBe(199_999);
    const fields = [...(summary.places().get(0) ?? [])];
    expect(fields.length).toBeLessThan(PLACES_X * 4);
    // Backwards: what comes first on the disk lies last in the file.
    const first = fields.filter((field) => field % PLACES_X === 0).map((field) => Math.floor(field / PLACES_X));
    expect(Math.min(...first)).toBeGreaterThan(100);
  });
});
