/** preallocate: the file is longer than the disk while it is open, and not a byte longer afterwards. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openDisk, readDisk } from '../../support/disk.ts';
import { MemoryDisk, memoryEntry } from '../../support/memory-driver.ts';
import { Random, seeds } from '../../support/random.ts';
import { tempDir } from '../../support/temp.ts';

const K = 1024;
const M = 1024 * K;

function file(): { path: string; spec: Record<string, unknown> } {
  const path = join(tempDir(), 'disk');
  writeFileSync(path, Buffer.alloc(4 * K, 1));
  const spec = {
    driver: 'preallocate',
    'prealloc-size': '4M',
    'prealloc-align': '1M',
    file: { driver: 'file', filename: path },
  };
  return { path, spec };
}

/** The backend keeps to the disk; growing by writing is what formats do, through the edge. */
const open = (spec: Record<string, unknown>) => openDisk(spec, { writable: true });

describe('preallocate', () => {
  test('sets space aside for a write past the end, and cuts the file when it closes', async () => {
    const { path, spec } = file();
    const disk = await open(spec);
    await disk.root.write(4 * K, Buffer.alloc(8 * K, 2));
    expect([disk.size, statSync(path).size]).toEqual([12 * K, 5 * M]);
    expect(statSync(path).blocks * 512).toBeGreaterThanOrEqual(5 * M);
    await disk.root.write(4 * M, Buffer.alloc(512, 3));
    expect([disk.size, statSync(path).size]).toEqual([4 * M + 512, 5 * M]);
    expect((await readDisk(disk, 12 * K, 4 * M - 12 * K)).every((byte) => byte === 0)).toBe(true);
    await disk.close();
    expect(statSync(path).size).toBe(4 * M + 512);
  });

  test('need not zero what was never written', async () => {
    const memory = new MemoryDisk({ size: 4 * K });
    const spec = { driver: 'preallocate', 'prealloc-size': '1M', file: { driver: 'memory', disk: 'a' } };
    const disk = await openDisk(spec, { writable: true, extraDrivers: [memoryEntry(new Map([['a', memory]]))] });
    await disk.root.zero(4 * K, 64 * K);
    expect([disk.size, memory.counts.zero, memory.counts.write]).toEqual([68 * K, 0, 0]);
    await disk.root.write(128 * K, Buffer.alloc(512, 1));
    await disk.root.zero(100 * K, 64 * K);
    expect(memory.counts.zero).toBe(1);
    expect((await readDisk(disk, 128 * K, 512)).every((byte) => byte === 0)).toBe(true);
    await disk.close();
    expect(memory.size).toBe(164 * K);
  });

  test('leaves a file alone that it was only to read, and keeps others from changing it', async () => {
    const { path, spec } = file();
    const reading = await openDisk(spec);
    await reading.close();
    expect(statSync(path).size).toBe(4 * K);
    const disk = await open(spec);
    await expect(openDisk({ driver: 'file', filename: path }, { writable: true })).rejects.toThrow('lock');
    await disk.close();
  });

  test('does without where the file cannot set space aside', async () => {
    const memory = new MemoryDisk({ size: 4 * K, has: ['writev', 'zero'] });
    const spec = { driver: 'preallocate', file: { driver: 'memory', disk: 'a' } };
    const disk = await openDisk(spec, { writable: true, extraDrivers: [memoryEntry(new Map([['a', memory]]))] });
    await disk.root.write(4 * K, Buffer.alloc(512, 1));
    expect([disk.size, memory.size]).toEqual([4 * K + 512, 4 * K + 512]);
    await disk.close();
  });

  test.each(seeds(10))('is a file like any other, seed %i', async (seed) => {
    const random = new Random(seed);
    const { path, spec } = file();
    let disk = await open({ ...spec, 'prealloc-size': random.pick([0, '64k', '4M']) });
    let model = Buffer.alloc(4 * K, 1);
    const grow = (end: number) => {
      if (end > model.length) model = Buffer.concat([model, Buffer.alloc(end - model.length)]);
    };
    for (let step = 0; step < 60; step++) {
      const offset = random.below(3000) * 512;
      const length = random.between(1, 200) * 512;
      const draw = random.below(8);
      if (draw === 0) {
        await disk.truncate(offset);
        const next = Buffer.alloc(offset);
        model.copy(next);
        model = next;
      } else if (draw === 1) {
        await disk.close();
        expect(statSync(path).size).toBe(model.length);
        disk = await open(spec);
      } else if (draw < 4) {
        grow(offset + length);
        model.fill(0, offset, offset + length);
        await disk.root.zero(offset, length);
      } else {
        grow(offset + length);
        const data = random.bytes(length);
        data.copy(model, offset);
        await disk.root.write(offset, data);
      }
      expect(disk.size).toBe(model.length);
    }
    expect((await readDisk(disk)).equals(model)).toBe(true);
    await disk.close();
    expect(readFileSync(path).equals(model)).toBe(true);
  });
});
