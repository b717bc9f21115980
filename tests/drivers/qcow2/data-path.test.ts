import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Preallocation } from '../../../src/core/block/driver.ts';
import {
  edgeOn,
  hasQemuImg,
  openMemory,
  qemuCheck,
  qemuImg,
  READ_ONLY,
  randomFrom,
  scratch,
} from './support/harness.ts';
import { MemoryFile } from './support/memory-file.ts';

const dir = scratch('data-path');
const image = path.join(dir, 'a.qcow2');
const KiB = 1024;
const MiB = 1024 * KiB;

function made(options: string, size: number | string = 4 * MiB): MemoryFile {
  fs.rmSync(image, { force: true });
  qemuImg('create', '-q', '-f', 'qcow2', '-o', options, image, String(size));
  return MemoryFile.load(image);
}

function sound(file: MemoryFile): void {
  file.save(image);
  const report = qemuCheck(image);
  expect([report['check-errors'], report.corruptions ?? 0, report.leaks ?? 0]).toEqual([0, 0, 0]);
}

async function contentOf(file: MemoryFile, length: number): Promise<Buffer> {
  const opened = await openMemory({ file, modes: READ_ONLY });
  const content = Buffer.alloc(length);
  await opened.edge.read(0, content);
  await opened.image.close();
  return content;
}

describe.skipIf(!hasQemuImg)('writing qcow2', () => {
  it('waits for both parts of a cluster that a write leaves, though one fails at once', async () => {
    let reads = 0;
    const read = (): Promise<void> => {
      if (reads++ > 0) throw new Error('at once');
      return new Promise((_, reject) => setImmediate(() => reject(new Error('later'))));
    };
    const backing = edgeOn({ size: MiB, read, close: async () => undefined }, READ_ONLY, 'backing');
    const file = made('cluster_size=64k', MiB);
    const { edge, image: opened } = await openMemory({ file, backing });
    await expect(edge.write(4096, Buffer.alloc(512))).rejects.toThrow('later');
    await opened.close();
  });

  it('copies a cluster whose count is larger than a number can be exactly, and counts it down', async () => {
    const file = made('cluster_size=64k,refcount_bits=64', MiB);
    await openMemory({ file }).then(async ({ edge, image: opened }) => {
      await edge.write(0, Buffer.alloc(64 * KiB, 1));
      await opened.close();
    });
    const [counts, l2, data] = [2, 4, 5].map((cluster) => cluster * 64 * KiB) as [number, number, number];
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(2n ** 63n);
    file.write(counts + 5 * 8, bytes);
    // Without the flag of a cluster that is referenced once.
    bytes.writeBigUInt64BE(BigInt(data));
    file.write(l2, bytes);
    const { edge, image: opened } = await openMemory({ file });
    await edge.write(0, Buffer.alloc(512, 2));
    await opened.close();
    file.read(counts + 5 * 8, bytes);
    expect(bytes.readBigUInt64BE()).toBe(2n ** 63n - 1n);
    const content = await contentOf(file, 64 * KiB);
    expect([content[0], content[511], content[512]]).toEqual([2, 2, 1]);
  });

  it('completes at once when the file does, and writes a large request in one piece without reading', async () => {
    const file = made('cluster_size=64k', 64 * MiB);
    const { edge, image: opened } = await openMemory({ file });
    expect(edge.write(0, Buffer.alloc(2 * MiB, 1))).toBeUndefined();
    const before = { ...file.counts };
    expect(edge.write(2 * MiB, Buffer.alloc(2 * MiB, 2))).toBeUndefined();
    expect(file.counts.writes - before.writes).toBe(1);
    expect(file.counts.reads - before.reads).toBe(0);
    expect(edge.read(MiB, Buffer.alloc(4096))).toBeUndefined();
    await opened.close();
    sound(file);
  });

  it('writes over data and preallocated zeroes in one request, and leaves what lies beside it alone', async () => {
    const file = made('cluster_size=64k');
    const { edge, image: opened } = await openMemory({ file });
    const cluster = 64 * KiB;
    await edge.write(0, Buffer.alloc(3 * cluster, 1));
    await edge.zero(cluster, cluster, 0);
    const before = { ...file.counts };
    await edge.write(1000, Buffer.alloc(3 * cluster - 2000, 2));
    expect([file.counts.writes - before.writes, file.counts.reads - before.reads]).toEqual([1, 0]);
    await opened.close();
    sound(file);
    const content = await contentOf(file, 3 * cluster);
    expect(content).toEqual(
      Buffer.concat([Buffer.alloc(1000, 1), Buffer.alloc(3 * cluster - 2000, 2), Buffer.alloc(1000, 1)]),
    );
  });

  it('loses no write beside one that covers data and preallocated zeroes', async () => {
    const file = made('cluster_size=64k');
    const { edge, image: opened } = await openMemory({ file });
    const cluster = 64 * KiB;
    await edge.write(0, Buffer.alloc(2 * cluster, 1));
    await edge.zero(cluster, cluster, 0);
    file.delay = () => 1;
    await Promise.all([
      edge.write(0, Buffer.alloc(512, 3)),
      edge.write(4096, Buffer.alloc(2 * cluster - 4096, 2)),
      edge.write(1024, Buffer.alloc(512, 4)),
    ]);
    file.delay = () => 0;
    await opened.close();
    sound(file);
    const content = await contentOf(file, 2 * cluster);
    const expected = Buffer.alloc(2 * cluster, 2)
      .fill(1, 0, 4096)
      .fill(3, 0, 512)
      .fill(4, 1024, 1536);
    expect(content.equals(expected)).toBe(true);
  });

  it('stores data where much was discarded before it lets the file grow', async () => {
    const file = made('cluster_size=64k', 64 * MiB);
    const { edge, image: opened } = await openMemory({ file });
    await edge.write(0, Buffer.alloc(32 * MiB, 1));
    await edge.flush();
    const before = file.size;
    await edge.discard(4 * MiB, 20 * MiB);
    await edge.write(40 * MiB, Buffer.alloc(16 * MiB, 2));
    await opened.close();
    expect(file.size).toBe(before);
    sound(file);
  });

  it.each([66_000, 77, 131_071])('writes at any byte, in place and into new clusters: %i', async (offset) => {
    const file = made('cluster_size=64k');
    const { edge, image: opened } = await openMemory({ file });
    for (const value of [1, 2]) await edge.write(offset, Buffer.alloc(100_003, value));
    await edge.zero(offset + 10, 5000);
    await opened.close();
    sound(file);
    const content = await contentOf(file, 256 * KiB);
    const expected = Buffer.alloc(256 * KiB)
      .fill(2, offset, offset + 100_003)
      .fill(0, offset + 10, offset + 5010);
    expect(content.equals(expected)).toBe(true);
  });

  it('puts a refcount block behind the data that needs it, which takes no zeroing', async () => {
    const file = made('cluster_size=1k,refcount_bits=64', MiB);
    const { edge, image: opened } = await openMemory({ file });
    await edge.write(0, Buffer.alloc(1000, 1));
    // More than one block of 128 counts covers; its last cluster is filled up by what was never written.
    await edge.write(KiB, Buffer.alloc(124 * KiB - 300, 2));
    const { length } = await opened.status(KiB, 124 * KiB, true);
    await opened.close();
    sound(file);
    expect(length).toBe(124 * KiB);
    const content = await contentOf(file, 126 * KiB);
    expect(
      content.equals(
        Buffer.alloc(126 * KiB)
          .fill(1, 0, 1000)
          .fill(2, KiB, 125 * KiB - 300),
      ),
    ).toBe(true);
  });

  it('puts a table before the compressed clusters that it maps', async () => {
    const file = made('cluster_size=64k');
    const { edge, image: opened } = await openMemory({ file });
    await edge.writeCompressed(0, Buffer.alloc(128 * KiB, 1));
    await opened.close();
    sound(file);
    const bytes = fs.readFileSync(image);
    const table = Number(bytes.readBigUInt64BE(Number(bytes.readBigUInt64BE(40))) & ((1n << 56n) - 512n));
    expect(Number(bytes.readBigUInt64BE(table) & ((1n << 54n) - 1n))).toBe(table + 64 * KiB);
  });

  it('lays parallel sequential writes out one after the other', async () => {
    const file = made('cluster_size=64k', 64 * MiB);
    const { edge, image: opened } = await openMemory({ file });
    file.delay = () => 1;
    await Promise.all(Array.from({ length: 16 }, (_, n) => edge.write(n * 2 * MiB, Buffer.alloc(2 * MiB, n + 1))));
    file.delay = () => 0;
    const extent = await opened.status(0, 32 * MiB, true);
    expect(extent).toMatchObject({ data: true, allocated: true });
    // One L2 table lies before the data, so all of it is one run.
    expect(extent.length).toBe(32 * MiB);
    await opened.close();
    sound(file);
  });

  it('runs parallel small writes to one new cluster without losing any', async () => {
    const file = made('cluster_size=64k', MiB);
    const { edge, image: opened } = await openMemory({ file });
    file.delay = () => 1;
    await Promise.all(Array.from({ length: 64 }, (_, n) => edge.write(n * 4096, Buffer.alloc(4096, n + 1))));
    file.delay = () => 0;
    await opened.close();
    const content = await contentOf(file, 256 * KiB);
    for (let n = 0; n < 64; n++) expect(content[n * 4096 + 4095]).toBe(n + 1);
    sound(file);
  });

  it('answers for a terabyte without tables in one step', async () => {
    const file = made('cluster_size=64k', '1T');
    const { image: opened } = await openMemory({ file, modes: READ_ONLY });
    expect(await opened.status(0, 2 ** 40, true)).toEqual({
      length: 2 ** 40,
      allocated: false,
      data: false,
      zero: false,
    });
    await opened.close();
  });

  it('keeps what was written when a later flush fails, and can flush again', async () => {
    const file = made('cluster_size=4k', MiB);
    const { edge, image: opened } = await openMemory({ file });
    await edge.write(0, Buffer.alloc(MiB / 2, 5));
    let failures = 0;
    file.failure = (kind) => kind === 'write' && failures++ < 3;
    for (let n = 0; n < 3; n++) await expect(async () => edge.flush()).rejects.toThrow();
    await edge.flush();
    await opened.close();
    expect((await contentOf(file, MiB / 2)).every((byte) => byte === 5)).toBe(true);
    sound(file);
  });

  it('gives clusters back when writing their data fails', async () => {
    const file = made('cluster_size=4k', MiB);
    const { edge, image: opened } = await openMemory({ file });
    await edge.write(0, Buffer.alloc(4096, 1));
    file.failure = (kind) => kind === 'write';
    await expect(async () => edge.write(65536, Buffer.alloc(65536, 2))).rejects.toThrow('injected');
    file.failure = undefined;
    const content = Buffer.alloc(65536, 9);
    await edge.read(65536, content);
    expect(content.every((byte) => byte === 0)).toBe(true);
    await opened.close();
    sound(file);
  });

  it('survives random failures of the file', async () => {
    const random = randomFrom(4);
    const file = made('cluster_size=1k', MiB);
    const { edge, image: opened } = await openMemory({
      file,
      options: { 'l2-cache-size': 1024, 'l2-cache-entry-size': 512 },
    });
    await edge.write(0, Buffer.alloc(1024, 1));
    file.delay = () => random(2);
    file.failure = () => random(12) === 0;
    for (let round = 0; round < 40; round++) {
      const requests = Array.from({ length: 8 }, async (_, n) => {
        const offset = (n * 128 + random(120)) * KiB;
        const length = (1 + random(8)) * 512;
        if (random(4) === 0) await edge.zero(offset, 4 * KiB, 2);
        else if (random(5) === 0) await edge.flush();
        else await edge.write(offset, Buffer.alloc(length, round + 1));
      });
      await Promise.allSettled(requests);
    }
    file.failure = undefined;
    file.delay = () => 0;
    await opened.close();
    file.save(image);
    const report = qemuCheck(image);
    expect([report['check-errors'], report.corruptions ?? 0]).toEqual([0, 0]);
  });
});

describe.skipIf(!hasQemuImg)('resizing qcow2', () => {
  it.each([
    'cluster_size=512',
    'cluster_size=4k,compat=0.10',
    'cluster_size=64k',
    'cluster_size=16k,extended_l2=on',
    'cluster_size=2M',
  ])('grows and shrinks: %s', async (options) => {
    const random = randomFrom(options.length);
    const file = made(options, MiB);
    let model = Buffer.alloc(MiB);
    const { edge, image: opened } = await openMemory({ file });
    for (let round = 0; round < 30; round++) {
      const size = Math.max(1, random(8 * KiB)) * 512;
      await edge.truncate(size);
      const next = Buffer.alloc(size);
      model.copy(next);
      model = next;
      for (let n = 0; n < 4; n++) {
        const offset = random(size / 512) * 512;
        const data = Buffer.alloc(Math.min(size - offset, (1 + random(100)) * 512), 1 + random(255));
        await edge.write(offset, data);
        data.copy(model, offset);
      }
      const content = Buffer.alloc(size);
      await edge.read(0, content);
      expect(content.equals(model), `round ${round}`).toBe(true);
    }
    await opened.close();
    expect((await contentOf(file, model.length)).equals(model)).toBe(true);
    sound(file);
  });

  it('hides a longer backing file in new space', async () => {
    const base = path.join(dir, 'base.raw');
    fs.writeFileSync(base, Buffer.alloc(4 * MiB, 7));
    const backing = edgeOn(MemoryFile.load(base), READ_ONLY, 'backing');
    const file = made(`cluster_size=64k,backing_file=${base},backing_fmt=raw`, MiB + 512);
    const { edge, image: opened } = await openMemory({ file, backing });
    await edge.truncate(3 * MiB);
    const content = Buffer.alloc(3 * MiB);
    await edge.read(0, content);
    expect(content.subarray(0, MiB + 512).every((byte) => byte === 7)).toBe(true);
    expect(content.subarray(MiB + 512).every((byte) => byte === 0)).toBe(true);
    await opened.close();
    sound(file);
  });

  it.each<[Preallocation, string]>([
    ['metadata', 'cluster_size=64k'],
    ['full', 'cluster_size=4k'],
    ['falloc', 'cluster_size=16k,extended_l2=on'],
    ['metadata', 'cluster_size=4k,compat=0.10'],
  ])('preallocates new space: %s, %s', async (preallocation, options) => {
    const file = made(options, MiB);
    const { edge, image: opened } = await openMemory({ file });
    await edge.write(0, Buffer.alloc(4096, 3));
    await edge.truncate(9 * MiB, { preallocation });
    expect(await opened.status(2 * MiB, 4 * MiB, false)).toMatchObject({ allocated: true, data: true });
    const content = Buffer.alloc(8 * MiB, 1);
    await edge.read(MiB, content);
    expect(content.every((byte) => byte === 0)).toBe(true);
    const before = file.size;
    await edge.write(5 * MiB, Buffer.alloc(MiB, 4));
    await opened.close();
    expect(file.size).toBe(before);
    sound(file);
  });

  it.each<[Preallocation, number, number]>([
    ['metadata', 31 * KiB, 4 * MiB],
    ['full', 96 * KiB + 512, MiB],
    ['metadata', 31 * KiB, 31 * KiB],
  ])(
    'preallocates new space over a backing file, which shows where it did: %s, %i on %i',
    async (mode, size, below) => {
      const base = path.join(dir, 'base.raw');
      fs.writeFileSync(base, Buffer.alloc(below, 7));
      const backing = edgeOn(MemoryFile.load(base), READ_ONLY, 'backing');
      const file = made(`cluster_size=64k,backing_file=${base},backing_fmt=raw`, size);
      const { edge, image: opened } = await openMemory({ file, backing });
      await edge.truncate(2 * MiB, { preallocation: mode });
      const before = file.size;
      const content = Buffer.alloc(2 * MiB);
      await edge.read(0, content);
      expect(content.equals(Buffer.alloc(2 * MiB).fill(7, 0, size))).toBe(true);
      await edge.write(size, Buffer.alloc(2 * MiB - size, 4));
      await opened.close();
      expect(file.size).toBe(before);
      sound(file);
    },
  );

  it('moves the L1 table while other requests run', async () => {
    const file = made('cluster_size=512', MiB);
    const { edge, image: opened } = await openMemory({ file });
    file.delay = () => 1;
    const writes = Array.from({ length: 32 }, async (_, n) => {
      await edge.write(n * 32 * KiB, Buffer.alloc(16 * KiB, n + 1));
      if (n % 5 === 0) await edge.flush();
    });
    await Promise.all([...writes, edge.truncate(64 * MiB)]);
    file.delay = () => 0;
    await opened.close();
    const content = await contentOf(file, MiB);
    for (let n = 0; n < 32; n++) expect(content[n * 32 * KiB + 100]).toBe(n + 1);
    sound(file);
  });
});
