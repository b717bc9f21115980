/**
 * One suite over every driver that can make images, and every capability its images claim: what was written is
 * read, in one process and in the next, however requests are cut, and status, zeroing and discarding agree.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Backend } from '../../src/core/block/backend/backend.ts';
import { type Driver, Flag } from '../../src/core/block/driver.ts';
import { BlockGraph } from '../../src/core/block/graph/block-graph.ts';
import { operations } from '../../src/core/block/graph/operations.ts';
import type { NodeSpec } from '../../src/core/block/graph/spec.ts';
import type { BlockError } from '../../src/core/errors/block-error.ts';
import { createImage } from '../../src/core/job/index.ts';
import { driverList } from '../../src/drivers/index.ts';
import { Random } from '../support/random.ts';
import { tempDir, tempDirForSuite } from '../support/temp.ts';

const MIB = 1 << 20;
const SIZE = 4 * MIB;

function graphOf(): BlockGraph {
  return new BlockGraph({ drivers: driverList, references: 'all', warn: () => undefined });
}

/** What has to be there already, a device, a server or a secret, has tests of its own. */
const ELSEWHERE = ['host_device', 'luks', 'nbd'];
const entries = driverList.entries.filter((entry) => entry.creatable && !ELSEWHERE.includes(entry.name));
const drivers = await Promise.all(entries.map((entry) => entry.load()));

interface OpenSettings {
  readonly readOnly?: boolean;
  readonly options?: NodeSpec;
}

async function reopen(driver: Driver, path: string, settings: OpenSettings = {}): Promise<Backend> {
  const { readOnly = false, options = {} } = settings;
  const file = { driver: 'file', filename: path };
  const spec = driver.kind === 'protocol' ? { ...file, driver: driver.name } : { driver: driver.name, file };
  return Backend.open(
    graphOf(),
    { discard: 'unmap', ...spec, ...options },
    {
      user: 'the test',
      permissions: readOnly ? operations.read.image : operations.resize.image,
      open: { modes: { readOnly } },
    },
  );
}

async function make(driver: Driver, path: string, options: Readonly<Record<string, unknown>> = {}): Promise<string> {
  await using graph = graphOf();
  await createImage(graph, { driver: driver.name, fileName: path, options: { size: SIZE, ...options } });
  return path;
}

async function open(driver: Driver, path: string, settings: OpenSettings = {}): Promise<Backend> {
  const disk = await reopen(driver, path, settings);
  onTestFinished(() => disk.close());
  return disk;
}

async function content(disk: Backend, offset = 0, length = disk.size - offset): Promise<Buffer> {
  const buffer = Buffer.alloc(length, 0xee);
  await disk.read(offset, buffer);
  return buffer;
}

/** Every byte that status calls zero is zero; answers follow each other to the end. */
async function checkStatus(disk: Backend, model: Buffer): Promise<void> {
  for (let offset = 0; offset < disk.size; ) {
    const { length, data, zero, allocated } = await disk.chainStatus(offset, disk.size - offset);
    expect(length).toBeGreaterThan(0);
    expect(offset + length).toBeLessThanOrEqual(disk.size);
    if (zero) expect(model.subarray(offset, offset + length).every((byte) => byte === 0)).toBe(true);
    if (!allocated) expect(data).toBe(false);
    offset += length;
  }
}

async function checkImage(disk: Backend): Promise<void> {
  if (!disk.image.modes.readOnly) await disk.flush();
  const result = await disk.image.image.check?.run({ repair: 'none', report: () => undefined });
  if (result) expect([result.corruptions, result.checkErrors, result.leaks]).toEqual([0, 0, 0]);
}

describe.each(drivers.map((driver) => [driver.name, driver] as const))('%s', (_name, driver) => {
  const folder = tempDirForSuite();
  const path = join(folder, 'shared');
  beforeAll(async () => {
    await make(driver, path);
  });
  afterAll(() => expect(existsSync(path)).toBe(true));

  test('a new image has its size, reads as zeroes and says so', async () => {
    const disk = await open(driver, await make(driver, join(tempDir(), 'new')));
    expect(disk.size).toBe(SIZE);
    expect((await content(disk)).every((byte) => byte === 0)).toBe(true);
    await checkStatus(disk, Buffer.alloc(SIZE));
    await checkImage(disk);
  });

  test('patterns at unaligned edges are there in this process and the next', async () => {
    const model = Buffer.alloc(SIZE);
    const edges = [0, 1, 511, 512, 4095, 4097, 65_535, 65_536, 65_537, MIB - 1, MIB, 2 * MIB + 17, SIZE - 1];
    const disk = await reopen(driver, path);
    for (const [index, edge] of edges.entries()) {
      for (const length of [1, 511, 513, 65_536, 70_001]) {
        const buf = Buffer.alloc(Math.min(length, SIZE - edge), index * 5 + (length % 7) + 1);
        if (length % 2 === 0) await disk.write(edge, buf);
        else await disk.writev(edge, [buf.subarray(0, 1), buf.subarray(1, 100), buf.subarray(100)]);
        buf.copy(model, edge);
      }
    }
    expect((await content(disk)).equals(model)).toBe(true);
    await checkStatus(disk, model);
    await disk.close();
    const again = await open(driver, path, { readOnly: true });
    expect((await content(again)).equals(model)).toBe(true);
    const parts = [Buffer.alloc(3), Buffer.alloc(70_000), Buffer.alloc(1)];
    await again.readv(65_530, parts);
    expect(Buffer.concat(parts).equals(model.subarray(65_530, 65_530 + 70_004))).toBe(true);
    await checkStatus(again, model);
    await checkImage(again);
    expect(() => again.write(0, Buffer.alloc(1))).toThrow();
  });

  test('random requests, many at once, agree with a model', async () => {
    const random = new Random(20);
    const disk = await open(driver, await make(driver, join(tempDir(), 'random')));
    const model = Buffer.alloc(SIZE);
    for (let batch = 0; batch < 40; batch++) {
      // Neighbours share sectors and clusters, never bytes.
      const cuts = [...Array.from({ length: 31 }, () => random.below(SIZE)), 0, SIZE].sort((a, b) => a - b);
      const work = cuts.slice(1).map(async (end, index) => {
        const start = cuts[index] ?? 0;
        const length = Math.min(end - start, 100_000);
        const action = random.below(10);
        if (length === 0 || action === 9) return;
        if (action === 8) return void (await disk.flush());
        if (action >= 6) {
          await disk.zero(start, length, action === 7 ? Flag.MAY_UNMAP : Flag.NONE);
          model.fill(0, start, start + length);
          return;
        }
        const buf = Buffer.alloc(length, 1 + random.below(255));
        await disk.write(start, buf, action === 5 ? Flag.FUA : Flag.NONE);
        buf.copy(model, start);
      });
      await Promise.all(work);
    }
    expect((await content(disk)).equals(model)).toBe(true);
    await disk.flush();
    await checkStatus(disk, model);
    await checkImage(disk);
  });

  test('zeroes read as zeroes, and with unmap take no more space than before', async () => {
    const disk = await open(driver, await make(driver, join(tempDir(), 'zero')));
    const model = Buffer.alloc(SIZE, 3);
    await disk.write(0, model);
    const before = await disk.image.image.allocatedSize?.();
    for (const [offset, length, flags] of [
      [0, MIB, Flag.MAY_UNMAP],
      [MIB + 1, 100, 0],
      [MIB + 65_530, 70_000, Flag.MAY_UNMAP],
      [3 * MIB, MIB, 0],
    ] as const) {
      await disk.zero(offset, length, flags);
      model.fill(0, offset, offset + length);
      expect((await content(disk, offset, length)).every((byte) => byte === 0)).toBe(true);
    }
    expect((await content(disk)).equals(model)).toBe(true);
    await checkStatus(disk, model);
    await disk.flush();
    const after = await disk.image.image.allocatedSize?.();
    if (before !== undefined && after !== undefined) expect(after).toBeLessThanOrEqual(before + MIB);
    try {
      await disk.zero(2 * MIB, MIB, Flag.MAY_UNMAP | Flag.NO_FALLBACK);
      model.fill(0, 2 * MIB, 3 * MIB);
    } catch (error) {
      expect((error as BlockError).code).toBe('ENOTSUP');
    }
    expect((await content(disk)).equals(model)).toBe(true);
    await checkImage(disk);
  });

  test('a discard touches only what it was asked for', async () => {
    const disk = await open(driver, await make(driver, join(tempDir(), 'discard')));
    const model = Buffer.alloc(SIZE, 4);
    await disk.write(0, model);
    for (const [offset, length] of [
      [100, 200],
      [65_536, 65_536],
      [MIB - 1, MIB],
      [SIZE - 1000, 1000],
    ] as const) {
      await disk.discard(offset, length);
      const now = await content(disk, offset, length);
      // Old or zero, byte by byte.
      expect(now.every((byte) => byte === 4 || byte === 0)).toBe(true);
      now.copy(model, offset);
    }
    expect((await content(disk)).equals(model)).toBe(true);
    await checkStatus(disk, model);
    await checkImage(disk);
  });

  test('resizing keeps what is inside, and what is new is zero', async () => {
    const target = await make(driver, join(tempDir(), 'resize'));
    let disk = await reopen(driver, target);
    const model = Buffer.alloc(2 * SIZE);
    if (!disk.image.image.truncate) return disk.close();
    model.fill(6, 0, SIZE);
    await disk.write(0, model.subarray(0, SIZE));
    await disk.truncate(SIZE + 65_536 + 512);
    expect(disk.size).toBe(SIZE + 65_536 + 512);
    expect((await content(disk)).equals(model.subarray(0, disk.size))).toBe(true);
    let shrunk = true;
    try {
      await disk.truncate(MIB + 512);
    } catch (error) {
      // Not every format can.
      expect((error as BlockError).code).toBe('ENOTSUP');
      shrunk = false;
    }
    await disk.truncate(2 * SIZE);
    if (shrunk) model.fill(0, MIB + 512);
    await disk.close();
    disk = await open(driver, target);
    expect(disk.size).toBe(2 * SIZE);
    expect((await content(disk)).equals(model)).toBe(true);
    await checkStatus(disk, model);
    await checkImage(disk);
  });

  test('what was flushed, and what was forced, is in the file at once', async () => {
    const target = await make(driver, join(tempDir(), 'flush'));
    const disk = await open(driver, target);
    await disk.write(1000, Buffer.alloc(70_000, 8));
    await disk.flush();
    await disk.write(2 * MIB, Buffer.alloc(100, 9), Flag.FUA);
    const modes = { readOnly: true, forceShare: true };
    const file = { driver: 'file', filename: target };
    const spec = driver.kind === 'protocol' ? file : { driver: driver.name, file };
    const other = await Backend.open(graphOf(), spec, {
      user: 'a reader',
      permissions: operations.read.image,
      open: { modes },
    });
    onTestFinished(() => other.close());
    expect((await content(other, 1000, 70_000)).every((byte) => byte === 8)).toBe(true);
    expect((await content(other, 2 * MIB, 100)).every((byte) => byte === 9)).toBe(true);
  });

  test('a backing file shows through, and one that is shorter ends', async (context) => {
    if (!driver.slots?.some(({ name }) => name === 'backing')) return context.skip('no backing files');
    for (const baseSize of [MIB + 512, SIZE, 2 * SIZE]) {
      const dir = tempDir();
      const base = await make(driver, join(dir, 'base'), { size: baseSize });
      const model = Buffer.alloc(2 * SIZE);
      {
        await using disk = await reopen(driver, base);
        const full = Buffer.alloc(baseSize, 11);
        await disk.write(0, full);
        full.copy(model, 0, 0, Math.min(baseSize, SIZE));
      }
      const top = await make(driver, join(dir, 'top'), { backing_file: 'base', backing_fmt: driver.name });
      let disk = await reopen(driver, top);
      const edges = [100, 65_530, MIB + 500, MIB + 70_000];
      expect((await content(disk)).equals(model.subarray(0, SIZE))).toBe(true);
      for (const offset of edges) {
        await disk.write(offset, Buffer.alloc(20, 12));
        model.fill(12, offset, offset + 20);
      }
      await disk.zero(MIB - 1000, 800);
      model.fill(0, MIB - 1000, MIB - 200);
      await checkStatus(disk, model.subarray(0, SIZE));
      // What a longer backing file has beyond the old end must not come to light.
      await disk.truncate(SIZE + MIB);
      expect((await content(disk)).equals(model.subarray(0, SIZE + MIB))).toBe(true);
      await disk.close();
      disk = await open(driver, top, { readOnly: true });
      expect((await content(disk)).equals(model.subarray(0, SIZE + MIB))).toBe(true);
      await checkStatus(disk, model.subarray(0, SIZE + MIB));
      await checkImage(disk);
    }
  });

  test('compressed clusters read as what they were', async (context) => {
    const disk = await open(driver, await make(driver, join(tempDir(), 'compressed')));
    if (!disk.image.image.writeCompressed) return context.skip('does not compress');
    const cluster = (await disk.image.image.info?.())?.clusterSize ?? 65_536;
    const model = Buffer.alloc(SIZE);
    for (let at = 0; at < SIZE; at += 3 * cluster) {
      const buf = Buffer.alloc(cluster, `text at ${at} `);
      await disk.writeCompressed(at, buf);
      buf.copy(model, at);
    }
    await disk.write(100, Buffer.alloc(10, 1));
    model.fill(1, 100, 110);
    expect((await content(disk)).equals(model)).toBe(true);
    await checkStatus(disk, model);
    await checkImage(disk);
  });

  test('what its images say of themselves makes sense', async () => {
    const disk = await open(driver, path, { readOnly: true });
    const { image } = disk.image;
    for (const [name, value] of Object.entries(image.limits ?? {})) {
      const makesSense = name === 'takesParts' ? typeof value === 'boolean' : typeof value === 'number' && value >= 1;
      expect([name, makesSense]).toEqual([name, true]);
    }
    const align = image.limits?.requestAlignment ?? 1;
    expect(Number.isInteger(Math.log2(align))).toBe(true);
    expect((await image.allocatedSize?.()) ?? 0).toBeGreaterThanOrEqual(0);
    const info = await image.info?.();
    if (info?.clusterSize !== undefined) expect(info.clusterSize).toBeGreaterThan(0);
    // Closing twice is closing once.
    await Promise.all([disk.close(), disk.close()]);
  });
});
