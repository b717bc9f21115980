import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OFFLOAD_TRANSFER } from '../../../../src/core/job/copy-engine/offload.ts';
import { Random } from '../../../support/random.ts';
import { type DiskSettings, MemoryDisk, pattern } from '../memory-disk.ts';
import { covered, run, spans } from './support.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

describe('copying in the kernel', () => {
  test('has the kernel copy in long pieces, none of which needs memory', async () => {
    const size = 2 * OFFLOAD_TRANSFER + 2 * MiB;
    const content = pattern(size);
    const works = new MemoryDisk({ size, content, copies: 'works' });
    const target = new MemoryDisk({ size });
    await run([works], target, { offload: true });
    expect(works.of('read')).toEqual([]);
    expect(spans(works.of('copy'))).toEqual([
      // A trial, of the usual length.
      [0, MiB],
      [MiB, OFFLOAD_TRANSFER - MiB],
      [OFFLOAD_TRANSFER, OFFLOAD_TRANSFER],
      [2 * OFFLOAD_TRANSFER, 2 * MiB],
    ]);
    expect(Buffer.compare(target.data, content)).toBe(0);
  });

  test.each([false, true])('copies through memory what the kernel cannot, unordered: %s', async (unordered) => {
    const size = 3 * OFFLOAD_TRANSFER;
    const content = pattern(size);
    // One piece is unfit, which is no reason not to try the others.
    const picky = new MemoryDisk({ size, content, copies: ({ offset }) => offset !== OFFLOAD_TRANSFER });
    const target = new MemoryDisk({ size });
    const control = await run([picky], target, { offload: true, unordered });
    expect(Buffer.compare(target.data, content)).toBe(0);
    expect(covered(picky.of('read'))).toEqual([[OFFLOAD_TRANSFER, OFFLOAD_TRANSFER]]);
    expect(control.done).toBe(size);
    const refuses = new MemoryDisk({ size, content, copies: () => false });
    const other = new MemoryDisk({ size });
    const after = await run([refuses], other, { offload: true, unordered, parallel: 1 });
    expect(Buffer.compare(other.data, content)).toBe(0);
    expect(refuses.of('copy').length).toBe(4);
    // Back to the usual transfers.
    expect(Math.max(...other.of('write').map(({ length }) => length))).toBe(MiB);
    expect(after.done).toBe(size);
  });

  test('copies what is mapped, whatever is found beside it and ends before it', async () => {
    const size = 12 * MiB;
    // More stretches in a row that are not than would be tried in vain, each as long as one through memory.
    const unmapped = (offset: number): boolean => offset < 6 * MiB || (offset >= 8 * MiB && offset < 9 * MiB);
    const mixed = { size, content: pattern(size), holes: 64 * KiB, unmapped, copies: 'works' } as const;
    for (const slow of [false, true]) {
      const source = new MemoryDisk({ ...mixed, slow });
      const target = new MemoryDisk({ size, slow });
      await run([source], target, { offload: true });
      expect(spans(source.of('copy'))).toEqual([
        [6 * MiB, MiB],
        [7 * MiB, MiB],
        [9 * MiB, 3 * MiB],
      ]);
      expect(covered(source.of('read'))).toEqual([
        [0, 6 * MiB],
        [8 * MiB, MiB],
      ]);
      expect(Buffer.compare(target.data, source.data)).toBe(0);
    }
  });

  test('leaves to memory what is short between stretches that are not mapped, and the rest of a cluster', async () => {
    const size = 4 * MiB;
    const unmapped = (offset: number): boolean => offset % (256 * KiB) === 0 || offset === 3 * MiB + 64 * KiB;
    const mixed = { size, content: pattern(size), holes: 64 * KiB, copies: 'works' } as const;
    const source = new MemoryDisk({ ...mixed, unmapped });
    await run([source], new MemoryDisk({ size }), { offload: true });
    expect(source.of('copy')).toEqual([]);
    // Not mapped from the middle of a cluster of the target on.
    const late = new MemoryDisk({ ...mixed, unmapped: (offset) => offset >= 2 * MiB + 64 * KiB });
    const target = new MemoryDisk({ size });
    await run([late], target, { offload: true, clusterSize: 128 * KiB });
    expect(spans(late.of('copy'))).toEqual([[0, MiB]]);
    expect(covered(late.of('read'))).toEqual([[MiB, size - MiB]]);
    expect(Buffer.compare(target.data, late.data)).toBe(0);
  });

  test('gives the same content, and however long requests take, copies and writes the same ranges', async () => {
    const size = 384 * KiB;
    const property = fc.asyncProperty(
      fc.array(fc.constantFrom('hole', 'mapped', 'patchy', 'unmapped', 'unfit'), { minLength: 24, maxLength: 24 }),
      fc.constantFrom(1, 4 * KiB, 16 * KiB, 64 * KiB),
      fc.constantFrom(16 * KiB, 32 * KiB, 128 * KiB),
      fc.boolean(),
      fc.nat(),
      async (kinds, clusterSize, transfer, unordered, seed) => {
        const unit = size / kinds.length;
        const content = pattern(size);
        for (const [at, kind] of kinds.entries()) {
          if (kind === 'hole') content.fill(0, at * unit, (at + 1) * unit);
          if (kind === 'patchy') content.fill(0, at * unit + 6 * KiB, at * unit + 14 * KiB);
        }
        const settings: DiskSettings = {
          size,
          content,
          holes: unit,
          unmapped: (offset) => kinds[Math.floor(offset / unit)] === 'unmapped',
          copies: ({ offset }) => kinds[Math.floor(offset / unit)] !== 'unfit',
        };
        const done: unknown[] = [];
        const random = new Random(seed);
        for (const slow of [false, true, () => random.below(8)]) {
          const source = new MemoryDisk({ ...settings, slow });
          const target = new MemoryDisk({ size, slow });
          const control = await run([source], target, { offload: true, clusterSize, transfer, unordered });
          expect(control.done).toBe(size);
          expect(Buffer.compare(target.data, content)).toBe(0);
          const [copied, written] = [covered(source.of('copy')), covered(target.of('write'))];
          done.push({ copied, written });
          for (const { offset, length } of source.of('copy')) {
            const within = kinds.slice(Math.floor(offset / unit), Math.ceil((offset + length) / unit));
            expect(within.filter((kind) => kind === 'unmapped')).toEqual([]);
          }
        }
        expect(done[1]).toEqual(done[0]);
        expect(done[2]).toEqual(done[0]);
      },
    );
    await fc.assert(property, { numRuns: 150 });
  });

  test('lays out in order what the kernel turns out not to copy', async () => {
    const size = 24 * MiB;
    const random = new Random(1);
    const slow = (): number => random.below(8);
    const source = new MemoryDisk({ size, content: pattern(size), slow, copies: () => false });
    const target = new MemoryDisk({ size, slow });
    await run([source], target, { offload: true });
    const offsets = target.of('write').map(({ offset }) => offset);
    expect(offsets).toEqual([...offsets].sort((a, b) => a - b));
  });
});
