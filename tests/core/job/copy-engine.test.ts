import { setTimeout } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Cancelled } from '../../../src/core/errors/block-error.ts';
import { Random } from '../../support/random.ts';
import { Control, covered, run, spans } from './copy-engine/support.ts';
import { contentWith, failWith, MemoryDisk, pattern, type Request } from './memory-disk.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

describe('copy', () => {
  test('moves data, neither reads nor writes holes, and counts all of the disk', async () => {
    const content = contentWith(16 * MiB, [2 * MiB, MiB], [9 * MiB + 4 * KiB, 64 * KiB]);
    const source = new MemoryDisk({ size: 16 * MiB, content, holes: 4 * KiB });
    const target = new MemoryDisk({ size: 16 * MiB });
    const control = await run([source], target);
    expect(Buffer.compare(target.data, source.data)).toBe(0);
    const wanted = [
      [2 * MiB, MiB],
      [9 * MiB + 4 * KiB, 64 * KiB],
    ];
    expect(covered(source.of('read'))).toEqual(wanted);
    expect(spans(target.of('write'))).toEqual(wanted);
    expect(target.of('zero')).toEqual([]);
    expect(control.done).toBe(16 * MiB);
    expect(control.throttled).toBe(MiB + 64 * KiB);
  });

  test('finds zeroes in data, to the granularity asked for', async () => {
    const content = contentWith(MiB, [0, 8 * KiB], [12 * KiB, 4 * KiB], [32 * KiB, 512], [512 * KiB, 512 * KiB]);
    for (const [sparse, wanted] of [
      [
        4 * KiB,
        [
          [0, 8 * KiB],
          [12 * KiB, 4 * KiB],
          [32 * KiB, 4 * KiB],
          [512 * KiB, 512 * KiB],
        ],
      ],
      [
        16 * KiB,
        [
          [0, 16 * KiB],
          [32 * KiB, 16 * KiB],
          [512 * KiB, 512 * KiB],
        ],
      ],
      [
        512,
        [
          [0, 8 * KiB],
          [12 * KiB, 4 * KiB],
          [32 * KiB, 512],
          [512 * KiB, 512 * KiB],
        ],
      ],
      [0, [[0, MiB]]],
    ] as const) {
      const target = new MemoryDisk({ size: MiB });
      await run([new MemoryDisk({ size: MiB, content })], target, { sparse });
      expect(spans(target.of('write'))).toEqual(wanted);
      expect(Buffer.compare(target.data, content)).toBe(0);
    }
  });

  test('zeroes what is zero where the target does not read as zeroes', async () => {
    const content = contentWith(4 * MiB, [MiB, MiB]);
    const target = new MemoryDisk({ size: 4 * MiB, content: pattern(4 * MiB) });
    await run([new MemoryDisk({ size: 4 * MiB, content, holes: 64 * KiB })], target, { readsZero: false });
    expect(spans(target.of('zero'))).toEqual([
      [0, MiB],
      [2 * MiB, 2 * MiB],
    ]);
    expect(Buffer.compare(target.data, content)).toBe(0);
    const stubborn = new MemoryDisk({ size: 4 * MiB, content: pattern(4 * MiB), noZero: true });
    await run([new MemoryDisk({ size: 4 * MiB, content, holes: 64 * KiB })], stubborn, { readsZero: false });
    expect(Buffer.compare(stubborn.data, content)).toBe(0);
  });

  test('joins many small extents, and writes whole units of the target', async () => {
    const ranges = Array.from({ length: 64 }, (_, index) => [index * 8 * KiB, 4 * KiB] as const);
    const content = contentWith(MiB, ...ranges);
    const settings = { size: MiB, content, holes: 4 * KiB };
    const source = new MemoryDisk(settings);
    const target = new MemoryDisk({ size: MiB });
    await run([source], target);
    expect(covered(source.of('read')).length).toBe(1);
    expect(target.of('write').length).toBe(64);
    const clustered = new MemoryDisk({ size: MiB });
    await run([new MemoryDisk(settings)], clustered, { clusterSize: 64 * KiB });
    expect(spans(clustered.of('write'))).toEqual([[0, 512 * KiB]]);
    expect(Buffer.compare(clustered.data, content)).toBe(0);
  });

  test('cuts at multiples of the transfer size', async () => {
    const content = contentWith(4 * MiB, [640 * KiB, 3 * MiB]);
    const target = new MemoryDisk({ size: 4 * MiB });
    await run([new MemoryDisk({ size: 4 * MiB, content, holes: 4 * KiB })], target);
    expect(spans(target.of('write')).map(([offset]) => offset)).toEqual([640 * KiB, MiB, 2 * MiB, 3 * MiB]);
  });

  test('keeps up to the given number of pieces in flight, writes beginning in order', async () => {
    const content = pattern(32 * MiB);
    for (const parallel of [1, 4, 16]) {
      const source = new MemoryDisk({ size: 32 * MiB, content, slow: true });
      const target = new MemoryDisk({ size: 32 * MiB, slow: true });
      await run([source], target, { parallel });
      expect(target.mostInFlight).toBeLessThanOrEqual(parallel);
      if (parallel > 1) expect(target.mostInFlight + source.mostInFlight).toBeGreaterThan(parallel / 2);
      const offsets = target.of('write').map((request) => request.offset);
      expect(offsets).toEqual([...offsets].sort((a, b) => a - b));
      expect(Buffer.compare(target.data, content)).toBe(0);
    }
  });

  test('lets writes begin in any order when told to', async () => {
    const content = pattern(16 * MiB);
    const source = new MemoryDisk({ size: 16 * MiB, content, slow: true });
    const memory = new MemoryDisk({ size: 16 * MiB, slow: true });
    // The first piece fails to be read once, and comes back when another has been written, or after a second.
    let failed = false;
    const control = new Control();
    control.onError = async () => {
      for (let ms = 0; ms < 1000 && memory.of('write').length === 0; ms++) await setTimeout(1);
      return 'retry';
    };
    Object.assign(source.settings, {
      fault: failWith('EIO', ({ kind, offset }) => {
        if (kind !== 'read' || offset !== 0 || failed) return false;
        failed = true;
        return true;
      }),
    });
    await run([source], memory, { unordered: true, control });
    expect(memory.of('write')[0]?.offset).not.toBe(0);
    expect(Buffer.compare(memory.data, content)).toBe(0);
  });

  test('stores compressed, a cluster per request, also one that begins in one source and ends in another', async () => {
    const size = 1000 * KiB;
    const first = new MemoryDisk({ size: 100 * KiB, content: pattern(100 * KiB) });
    const tiny = new MemoryDisk({ size: 4 * KiB, content: pattern(4 * KiB, 3) });
    const last = new MemoryDisk({ size: 896 * KiB, content: contentWith(896 * KiB, [28 * KiB, 868 * KiB]) });
    const target = new MemoryDisk({ size, compresses: true });
    await run([first, tiny, last], target, { compressed: true, clusterSize: 64 * KiB });
    expect(Buffer.compare(target.data, Buffer.concat([first.data, tiny.data, last.data]))).toBe(0);
    expect(target.of('write')).toEqual([]);
    const compressed = target.of('compressed');
    expect(compressed.every(({ offset, length }) => offset % (64 * KiB) === 0 && length <= 64 * KiB)).toBe(true);
    expect(compressed.at(-1)).toEqual({ kind: 'compressed', offset: 960 * KiB, length: 40 * KiB });
  });

  test('salvages what can be read, down to a sector', async () => {
    const content = pattern(2 * MiB);
    const bad = (request: Request): boolean =>
      request.offset < 700 * KiB + 1024 && 700 * KiB < request.offset + request.length;
    const source = new MemoryDisk({ size: 2 * MiB, content, fault: failWith('EIO', bad) });
    const target = new MemoryDisk({ size: 2 * MiB });
    const control = await run([source], target, { salvage: true });
    const wanted = Buffer.from(content);
    wanted.fill(0, 700 * KiB, 700 * KiB + 1024);
    expect(Buffer.compare(target.data, wanted)).toBe(0);
    expect(control.warnings).toEqual([
      `1024 bytes at byte ${700 * KiB} could not be read and are replaced by zeroes: bad disk`,
    ]);
  });

  test('a failing status ends a copy, but is for him to see to who moves segments in a way of his own', async () => {
    const content = pattern(4 * MiB);
    const disk = () => new MemoryDisk({ size: 4 * MiB, content, holes: MiB, statusFails: (offset) => offset === 0 });
    const target = new MemoryDisk({ size: 4 * MiB });
    await expect(run([disk()], target)).rejects.toThrow('block status at offset 0');
    const moved: [string, number, number][] = [];
    await run([disk()], target, {
      unordered: true,
      move: ({ kind, offset, length }) => void moved.push([kind, offset, length]),
    });
    expect(moved).toEqual([0, 1, 2, 3].map((index) => ['data', index * MiB, MiB]));
  });

  test('leaves out what the policy says to ignore', async () => {
    const control = new Control();
    control.onError = () => Promise.resolve('ignore');
    const source = new MemoryDisk({
      size: 4 * MiB,
      content: pattern(4 * MiB),
      fault: failWith('EIO', ({ offset }) => offset === MiB),
    });
    const target = new MemoryDisk({
      size: 4 * MiB,
      fault: failWith('ENOSPC', ({ offset }) => offset === 2 * MiB),
    });
    await run([source], target, { control });
    expect(spans(target.of('write')).map(([offset]) => offset)).toEqual([0, 2 * MiB, 3 * MiB]);
    expect(control.done).toBe(4 * MiB);
  });

  test.each([false, true])('fails cleanly at any request, slow disks: %s', async (slow) => {
    const content = contentWith(6 * MiB, [0, 2 * MiB], [3 * MiB, 3 * MiB]);
    for (const side of ['read', 'write'] as const) {
      for (let at = 0; at < 6; at++) {
        const fault = failWith(side === 'read' ? 'EIO' : 'ENOSPC', ({ kind, offset }) => {
          return kind === side && Math.floor(offset / MiB) === at;
        });
        const source = new MemoryDisk({
          size: 6 * MiB,
          content,
          slow,
          holes: 64 * KiB,
          ...(side === 'read' ? { fault } : {}),
        });
        const target = new MemoryDisk({ size: 6 * MiB, slow, ...(side === 'write' ? { fault } : {}) });
        const result = run([source], target, { parallel: 3 });
        const message = `error while ${side === 'read' ? 'reading' : 'writing'} at byte ${at * MiB}: `;
        if (at === 2) await result;
        else await expect(result).rejects.toThrow(message);
        expect(source.inFlight + target.inFlight).toBe(0);
      }
    }
  });

  test('tells of the first failure on the disk, whichever request ended first, and writes all before it', async () => {
    const content = pattern(8 * MiB);
    for (let seed = 1; seed <= 20; seed++) {
      const random = new Random(seed);
      const slow = (): number => random.below(8);
      const places = random.shuffled([0, 1, 2, 3, 4, 5, 6, 7]).slice(0, 3);
      const side = random.pick(['read', 'write'] as const);
      const fault = failWith('EIO', ({ kind, offset }) => kind === side && places.includes(Math.floor(offset / MiB)));
      const source = new MemoryDisk({ size: 8 * MiB, content, slow, ...(side === 'read' ? { fault } : {}) });
      const target = new MemoryDisk({ size: 8 * MiB, slow, ...(side === 'write' ? { fault } : {}) });
      const first = Math.min(...places) * MiB;
      await expect(run([source], target, { unordered: random.chance(0.5) })).rejects.toThrow(
        `error while ${side === 'read' ? 'reading' : 'writing'} at byte ${first}: bad disk`,
      );
      expect(Buffer.compare(target.data.subarray(0, first), content.subarray(0, first))).toBe(0);
      expect(source.inFlight + target.inFlight).toBe(0);
    }
  });

  test('tells of what it salvages in the order of the disk', async () => {
    const random = new Random(1);
    const fault = failWith('EIO', ({ offset, length }) => offset % MiB < 512 && length > 0);
    const source = new MemoryDisk({ size: 16 * MiB, content: pattern(16 * MiB), slow: () => random.below(8), fault });
    const control = await run([source], new MemoryDisk({ size: 16 * MiB }), { salvage: true });
    expect(control.warnings).toEqual(
      Array.from(
        { length: 16 },
        (_, at) => `512 bytes at byte ${at * MiB} could not be read and are replaced by zeroes: bad disk`,
      ),
    );
  });

  test.each([false, true])('stops at any step when cancelled, with nothing in flight; slow disks: %s', async (slow) => {
    const content = contentWith(6 * MiB, [0, 2 * MiB], [3 * MiB, 3 * MiB]);
    for (let steps = 0; steps < 8; steps++) {
      const control = new Control();
      let left = steps;
      control.checkpoint = () => {
        if (left-- <= 0) throw new Cancelled();
      };
      const source = new MemoryDisk({ size: 6 * MiB, content, slow, holes: 64 * KiB });
      const target = new MemoryDisk({ size: 6 * MiB, slow });
      await expect(run([source], target, { parallel: 2, control })).rejects.toMatchObject({ code: 'ECANCELED' });
      expect(source.inFlight + target.inFlight).toBe(0);
      expect(target.of('write').length).toBeLessThanOrEqual(steps);
    }
  });

  test('lets the event loop turn while everything completes at once', async () => {
    const source = new MemoryDisk({ size: 64 * MiB, content: pattern(64 * MiB) });
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await run([source], new MemoryDisk({ size: 64 * MiB }));
    clearInterval(timer);
    expect(turns).toBeGreaterThan(0);
  });

  test('makes the same disk of any content, layout and settings', async () => {
    const range = fc.tuple(fc.integer({ min: 0, max: 2047 }), fc.integer({ min: 1, max: 300 }));
    const property = fc.asyncProperty(
      fc.array(fc.array(range, { maxLength: 8 }), { minLength: 1, maxLength: 3 }),
      fc.record({
        holes: fc.constantFrom(undefined, 512, 4096, 65536),
        slow: fc.boolean(),
        sparse: fc.constantFrom(0, 512, 4096, 6144, 65536),
        clusterSize: fc.constantFrom(1, 512, 4096, 65536),
        compressed: fc.boolean(),
        unordered: fc.boolean(),
        offload: fc.boolean(),
        readsZero: fc.boolean(),
        parallel: fc.integer({ min: 1, max: 16 }),
        transfer: fc.constantFrom(64 * KiB, 256 * KiB, MiB),
        tail: fc.integer({ min: 0, max: 200 }),
      }),
      async (layouts, { holes, slow, tail, ...settings }) => {
        const size = MiB + tail * 512;
        const disks = layouts.map((ranges) => {
          const clipped = ranges.map(
            ([at, n]) => [(at * 512) % size, Math.min(n * 512, size - ((at * 512) % size))] as const,
          );
          const content = contentWith(size, ...clipped);
          return new MemoryDisk({ size, content, slow, copies: 'works', ...(holes ? { holes } : {}) });
        });
        const total = size * disks.length;
        const target = new MemoryDisk({
          size: total,
          slow,
          compresses: true,
          ...(settings.readsZero ? {} : { content: pattern(total) }),
        });
        const compressed = settings.compressed && settings.clusterSize >= 512;
        const control = await run(disks, target, { ...settings, compressed });
        expect(Buffer.compare(target.data, Buffer.concat(disks.map((disk) => disk.data)))).toBe(0);
        expect(control.done).toBe(total);
      },
    );
    await fc.assert(property, { numRuns: 60 });
  });
});
