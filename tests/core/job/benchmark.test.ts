import { describe, expect, test } from 'vitest';
import { operations } from '../../../src/core/block/graph/operations.ts';
import { type BenchmarkOptions, benchmark, MAX_MEMORY } from '../../../src/core/job/benchmark.ts';
import { Random } from '../../support/random.ts';
import { type DiskSettings, failWith, MemoryDisk, MemoryGraph } from './memory-disk.ts';

const KiB = 1024;
const SIZE = 64 * KiB;

interface Run {
  readonly disk: MemoryDisk;
  readonly seconds: number;
}

async function run(settings: Partial<DiskSettings>, options: Partial<BenchmarkOptions>): Promise<Run> {
  const disk = new MemoryDisk({ size: SIZE, ...settings });
  await using backend = await new MemoryGraph().open('d', disk, operations.write.image);
  const length = options.length ?? 4 * KiB;
  const seconds = await benchmark(backend, {
    kind: 'read',
    count: 100,
    depth: 8,
    length,
    offset: 0,
    step: length,
    pattern: 0,
    flushInterval: 0,
    drain: true,
    signal: new AbortController().signal,
    ...options,
  });
  return { disk, seconds };
}

const kinds = (disk: MemoryDisk): string => disk.log.map(({ kind }) => kind[0]).join('');

describe('benchmark', () => {
  test('keeps as many requests under way as asked for, and no more', async () => {
    for (const depth of [1, 8, 64, 1000]) {
      const { disk } = await run({ slow: true }, { depth });
      expect(disk.of('read')).toHaveLength(100);
      expect(disk.mostInFlight).toBe(Math.min(depth, 100));
    }
  });

  test('goes on with a million requests that complete at once, without nesting', async () => {
    let deepest = 0;
    const fault = () => {
      deepest = Math.max(deepest, new Error().stack?.split('\n').length ?? 0);
    };
    const { disk, seconds } = await run({}, { count: 1_000_000 });
    expect(disk.of('read')).toHaveLength(1_000_000);
    expect(seconds).toBeGreaterThan(0);
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 1000;
    await run({ fault }, { count: 500 });
    Error.stackTraceLimit = limit;
    expect(deepest).toBeLessThan(60);
  });

  test('goes over the disk step by step and begins anew at its end', async () => {
    const { disk } = await run({}, { count: 6, offset: 20 * KiB, step: 16 * KiB });
    expect(disk.of('read').map(({ offset }) => offset / KiB)).toEqual([20, 36, 52, 4, 20, 36]);
    const odd = await run({}, { count: 3, offset: SIZE - 8 * KiB, length: 6 * KiB });
    expect(odd.disk.of('read').map(({ offset }) => offset / KiB)).toEqual([56, 0, 6]);
  });

  test('writes the pattern', async () => {
    const { disk } = await run({ slow: true }, { kind: 'write', count: 3, pattern: 0x42, step: 8 * KiB });
    expect([0, 4095, 4096, 8192, 16384, 20480].map((at) => disk.data[at])).toEqual([0x42, 0x42, 0, 0x42, 0x42, 0]);
  });

  test('lets the writes end before each flush, and begins none until it has ended', async () => {
    for (const slow of [false, true]) {
      const { disk } = await run({ slow }, { kind: 'write', count: 10, depth: 2, flushInterval: 4 });
      // The last one is that of closing.
      expect(kinds(disk)).toMatch(/^wwwwfwwwwfwwf?c$/);
    }
  });

  test('without draining, goes on writing while a flush waits', async () => {
    const { disk } = await run({ slow: true }, { kind: 'write', count: 12, depth: 4, flushInterval: 4, drain: false });
    expect(disk.of('write')).toHaveLength(12);
    expect(disk.of('flush').length).toBeGreaterThanOrEqual(3);
    expect(disk.mostInFlight).toBeGreaterThan(4);
  });

  test('ends with the first failure when nothing is in flight any more', async () => {
    for (const slow of [false, true]) {
      const fault = failWith('EIO', ({ kind, offset }) => kind === 'read' && offset === 12 * KiB);
      await expect(run({ slow, fault }, {})).rejects.toThrow('Failed request: read at offset 12288: bad disk');
      let flushes = 0;
      const lost = failWith('EIO', ({ kind }) => kind === 'flush' && flushes++ === 0);
      const writes = { kind: 'write', count: 10, depth: 2, flushInterval: 2 } as const;
      await expect(run({ slow, fault: lost }, writes)).rejects.toThrow('Flush failed: bad disk');
    }
    await expect(run({}, { offset: SIZE })).rejects.toThrow(`is outside the disk of ${SIZE} bytes`);
    await expect(run({ size: 0 }, {})).rejects.toThrow('is outside the disk of 0 bytes');
  });

  test('tells of the request that was begun first, of several that fail', async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const random = new Random(seed);
      const fault = failWith('EIO', ({ offset }) => offset >= 20 * KiB);
      await expect(run({ slow: () => random.below(6), fault }, {})).rejects.toThrow('read at offset 20480: bad disk');
    }
  });

  test('stops when told to, also while everything completes at once', async () => {
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 20);
    await expect(run({}, { count: 2 ** 31, signal: stop.signal })).rejects.toMatchObject({ code: 'ECANCELED' });
    await expect(run({ slow: true }, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ECANCELED' });
  });

  test('refuses buffers beyond all measure', async () => {
    await expect(run({}, { count: 2 ** 31 - 1, depth: 2 ** 31 - 1 })).rejects.toThrow(`more than ${MAX_MEMORY} bytes`);
    await expect(run({}, { count: 0, depth: 2 ** 31 - 1 })).resolves.toBeDefined();
  });
});
