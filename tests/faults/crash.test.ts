/**
 * A crash at any moment: every write to the host file is logged, the image is built again as it could have been found
 * at many points of the log, and each of those opens, has no damage (leaks are fine), and holds all flushed data.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Backend } from '../../src/core/block/backend/backend.ts';
import { operations } from '../../src/core/block/graph/operations.ts';
import type { NodeSpec } from '../../src/core/block/graph/spec.ts';
import { convert } from '../../src/core/job/index.ts';
import { checkDisk, makeImage, openDisk, readDisk } from '../support/disk.ts';
import { Clock, MemoryFile, memoryFileDriver } from '../support/memory-file.ts';
import { findPeer, qemuImgCheck, runPeer } from '../support/peers.ts';
import { Random, seeds } from '../support/random.ts';
import { tempDir } from '../support/temp.ts';
import { CrashDisk, marked, SECTOR } from './crash-disk.ts';

/** Moments looked at in each run, and how many of them QEMU looks at too. */
const MOMENTS = 60;
/** Every so many moments the image is also written to, and looked at again. */
const REWRITES = 5;
const SAMPLES = 3;

interface Scenario {
  readonly name: string;
  readonly size: number;
  readonly options: Readonly<Record<string, unknown>> & { readonly cluster_size: number };
  readonly backing?: boolean;
  readonly smallCaches?: boolean;
  /** Requests; default 300. */
  readonly steps?: number;
}

const KIB = 1024;
const scenarios: readonly Scenario[] = [
  { name: 'small clusters', size: 256 * KIB, options: { cluster_size: 512 } },
  { name: 'few clusters, used again and again', size: 64 * KIB, options: { cluster_size: 512 }, steps: 800 },
  { name: 'many tables', size: 4096 * KIB, options: { cluster_size: 512 }, steps: 600 },
  { name: 'small clusters and caches', size: 256 * KIB, options: { cluster_size: 1024 }, smallCaches: true },
  { name: 'default clusters', size: 2048 * KIB, options: { cluster_size: 65536 } },
  { name: 'lazy refcounts', size: 256 * KIB, options: { cluster_size: 1024, lazy_refcounts: true } },
  {
    name: 'lazy refcounts, subclusters',
    size: 1024 * KIB,
    options: { cluster_size: 16384, extended_l2: true, lazy_refcounts: true },
  },
  { name: 'subclusters', size: 1024 * KIB, options: { cluster_size: 16384, extended_l2: true } },
  {
    name: 'subclusters over a backing file',
    size: 1024 * KIB,
    options: { cluster_size: 16384, extended_l2: true },
    backing: true,
  },
  { name: 'a backing file', size: 512 * KIB, options: { cluster_size: 4096 }, backing: true },
  {
    name: 'a backing file, version 2',
    size: 512 * KIB,
    options: { cluster_size: 4096, compat: '0.10' },
    backing: true,
  },
  { name: 'refcounts of one bit', size: 256 * KIB, options: { cluster_size: 512, refcount_bits: 1 } },
  { name: 'refcounts of 64 bits', size: 512 * KIB, options: { cluster_size: 512, refcount_bits: 64 } },
  { name: 'preallocated metadata', size: 256 * KIB, options: { cluster_size: 1024, preallocation: 'metadata' } },
];

describe.each(scenarios)('after a crash, $name', (scenario) => {
  test.each(seeds(2))('random requests, seed %d', async (seed) => {
    const random = new Random(seed * 1000 + scenarios.indexOf(scenario));
    const folder = tempDir();
    const { start, spec, initial } = await prepare(folder, scenario, random);
    const clock = new Clock();
    const file = new MemoryFile(start, { clock, random, logging: true });
    const model = new CrashDisk(clock, random, initial);
    const disk = await open(file, spec);
    await model.exercise(disk, scenario.steps ?? 300, scenario.options.cluster_size);
    await model.flush(disk);
    await disk.close();
    for (let moment = 0; moment < MOMENTS; moment++) {
      const time = moment === 0 ? clock.now : file.moment(random);
      const what = `seed ${seed}, moment ${moment}, time ${time} of ${clock.now}`;
      const crashed = file.afterCrash(time, random);
      if (moment < SAMPLES) await expectPeerContent(folder, crashed, what);
      await expectWhole(crashed, spec, model, time, what);
      if (moment % REWRITES === 0) await expectUsable(crashed, spec, what);
    }
  });
});

describe('after a crash', () => {
  test.each([false, true])('during a conversion, lazy refcounts %s', async (lazy) => {
    const random = new Random(lazy ? 78 : 77);
    const folder = tempDir();
    const size = 2048 * KIB;
    const scenario = { name: '', size, options: { cluster_size: 4096, lazy_refcounts: lazy } };
    const { start, spec } = await prepare(folder, scenario, random);
    const content = Buffer.alloc(size);
    for (let count = 0; count < 30; count++) {
      const first = random.below(size / SECTOR);
      const mark = marked(100 + count, Math.min(random.between(1, 200) * SECTOR, size - first * SECTOR));
      mark.copy(content, first * SECTOR);
    }
    const clock = new Clock();
    const file = new MemoryFile(start, { clock, random, logging: true });
    const source = new MemoryFile(content, { random });
    await convertTo(source, file, spec);
    for (let moment = 0; moment < 3 * MOMENTS; moment++) {
      const time = moment === 0 ? clock.now : file.moment(random);
      const what = `moment ${moment}, time ${time} of ${clock.now}`;
      const crashed = file.afterCrash(time, random);
      if (moment < SAMPLES) await expectPeerContent(folder, crashed, what);
      const disk = await open(crashed, spec);
      const found = await readDisk(disk);
      expect(await checkDisk(disk), what).toMatchObject({ corruptions: 0 });
      await disk.close();
      if (time === clock.now) expect(found.equals(content), what).toBe(true);
      else expect(strangers(found, content), what).toEqual([]);
    }
  });
});

/** Sectors that are neither what the source has there, nor zero. */
function strangers(found: Buffer, content: Buffer): number[] {
  const zero = Buffer.alloc(SECTOR);
  return Array.from({ length: content.length / SECTOR }, (_, sector) => sector).filter((sector) => {
    const bytes = found.subarray(sector * SECTOR, (sector + 1) * SECTOR);
    return !bytes.equals(zero) && !bytes.equals(content.subarray(sector * SECTOR, (sector + 1) * SECTOR));
  });
}

async function convertTo(source: MemoryFile, target: MemoryFile, spec: NodeSpec): Promise<void> {
  const extraDrivers = [
    memoryFileDriver(
      new Map([
        ['source', source],
        ['image', target],
      ]),
    ),
  ];
  const from = await openDisk(
    { driver: 'raw', file: { driver: 'memory-file', id: 'source' } },
    { extraDrivers, permissions: operations.mirror.source },
  );
  await convert(from.graph, {
    sources: [from],
    target: {
      fileName: 'image',
      driver: 'qcow2',
      spec,
      cache: { direct: false, noFlush: false, writethrough: false },
      isZero: true,
    },
    parallel: 8,
    unordered: true,
  });
}

/** Make the image, and its backing file, in a folder; the image is then taken into memory. */
async function prepare(folder: string, scenario: Scenario, random: Random) {
  const { size, options } = scenario;
  const path = join(folder, 'image.qcow2');
  const initial = new Array<number>(size / SECTOR).fill(0);
  let backing = {};
  if (scenario.backing) {
    const below = join(folder, 'backing.raw');
    const content = Buffer.alloc(size);
    for (let sector = 0; sector < initial.length; sector++) {
      const mark = random.chance(0.7) ? sector + 1 : 0;
      initial[sector] = mark;
      marked(mark, SECTOR).copy(content, sector * SECTOR);
    }
    writeFileSync(below, content);
    backing = { backing_file: below, backing_fmt: 'raw' };
  }
  await makeImage('qcow2', path, { size, ...options, ...backing });
  const small = { 'l2-cache-entry-size': 512, 'l2-cache-size': 2048, 'refcount-cache-size': 4096 };
  const spec: NodeSpec = {
    driver: 'qcow2',
    file: { driver: 'memory-file', id: 'image' },
    ...(scenario.smallCaches ? small : {}),
  };
  return { start: readFileSync(path), spec, initial };
}

function open(file: MemoryFile, spec: NodeSpec): Promise<Backend> {
  const extraDrivers = [memoryFileDriver(new Map([['image', file]]))];
  return openDisk(spec, { writable: true, modes: { unmap: true }, extraDrivers });
}

/** Opens for writing, is sound, and holds what was flushed. */
async function expectWhole(
  file: MemoryFile,
  spec: NodeSpec,
  model: CrashDisk,
  time: number,
  what: string,
): Promise<void> {
  const disk = await open(file, spec);
  expect(await checkDisk(disk), what).toMatchObject({ corruptions: 0 });
  expect(model.faults(await readDisk(disk), time), what).toEqual([]);
  await disk.close();
}

/** Can be changed, and is sound after that too. */
async function expectUsable(file: MemoryFile, spec: NodeSpec, what: string): Promise<void> {
  const disk = await open(file, spec);
  const content = await readDisk(disk);
  const mark = marked(0xabcdef, 64 * SECTOR);
  mark.copy(content, 50 * SECTOR);
  await disk.write(50 * SECTOR, mark);
  await disk.close();
  const again = await open(file, spec);
  expect(await checkDisk(again), `${what}, after another write`).toMatchObject({ corruptions: 0 });
  expect((await readDisk(again)).equals(content), `${what}, after another write`).toBe(true);
  await again.close();
}

/** QEMU finds no damage either; with the dirty bit, it repairs first, as it does when it opens the image. */
async function expectPeerContent(folder: string, file: MemoryFile, what: string): Promise<void> {
  if (findPeer('qemu-img') === undefined) return;
  const path = join(folder, 'crashed.qcow2');
  writeFileSync(path, file.bytes);
  const DIRTY = 1;
  const isDirty = file.bytes.readUInt32BE(4) >= 3 && (file.bytes[79] ?? 0) & DIRTY;
  if (isDirty) expect(await runPeer('qemu-img', ['check', '-q', '-r', 'all', path]), what).toMatchObject({ code: 0 });
  expect([0, 3], `${what}: ${JSON.stringify(await qemuImgCheck(path))}`).toContain((await qemuImgCheck(path)).code);
}
