/**
 * A crash while a snapshot is made, applied or removed: the disk is as before or as after, every snapshot that is listed
 * holds what it held, and whoever opens the image next finds no damage. Who only looks at it before that finds leaks and
 * flags that do not fit their counts, which no order of writes avoids, and in version 3 the bit that has them mended.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Backend } from '../../src/core/block/backend/backend.ts';
import { snapshotApply, snapshotCreate, snapshotRemove } from '../../src/core/block/graph/snapshot-operations.ts';
import type { NodeSpec } from '../../src/core/block/graph/spec.ts';
import { checkDisk, firstDifference, makeImage, openDisk, readDisk } from '../support/disk.ts';
import { Clock, MemoryFile, memoryFileDriver } from '../support/memory-file.ts';
import { findPeer, qemuImgCheck, runPeer } from '../support/peers.ts';
import { Random } from '../support/random.ts';
import { tempDir } from '../support/temp.ts';

const MOMENTS = 40;
const PEER_MOMENTS = 3;
const KILLS = 25;
const SIZE = 256 * 1024;

const layouts = [
  { name: 'small clusters', options: { cluster_size: 512 } },
  { name: 'small caches', options: { cluster_size: 1024 }, small: true },
  { name: 'subclusters', options: { cluster_size: 16384, extended_l2: true } },
  { name: 'lazy refcounts', options: { cluster_size: 1024, lazy_refcounts: true } },
  { name: 'version 2', options: { cluster_size: 1024, compat: '0.10' } },
] as const;

const operations = {
  create: async (disk: Backend) => void (await snapshotCreate(disk.graph, disk.image, { name: 'new' })),
  apply: (disk: Backend) => snapshotApply(disk.graph, disk.image, 'one'),
  remove: async (disk: Backend) => void (await snapshotRemove(disk.graph, disk.image, 'one')),
} as const;

/** What the disk and each of its snapshots hold. */
interface Contents {
  readonly disk: Buffer;
  readonly snapshots: ReadonlyMap<string, Buffer>;
}

describe.each(layouts)('after a crash, $name', (layout) => {
  const version2 = 'compat' in layout.options;
  const caches = { 'l2-cache-entry-size': 512, 'l2-cache-size': 2048, 'refcount-cache-size': 4096 };
  const spec: NodeSpec = {
    driver: 'qcow2',
    file: { driver: 'memory-file', id: 'image' },
    ...('small' in layout ? caches : {}),
  };

  test.each(Object.entries(operations))('during %s', async (name, operation) => {
    const random = new Random(layouts.indexOf(layout) * 10 + name.length);
    const folder = tempDir();
    const path = join(folder, 'image.qcow2');
    await makeImage('qcow2', path, { size: SIZE, ...layout.options });
    const prepared = new MemoryFile(readFileSync(path), { random });
    const before = await prepare(prepared, spec, random);

    const clock = new Clock();
    const file = new MemoryFile(Buffer.from(prepared.bytes), { clock, random, logging: true });
    const disk = await open(file, spec);
    await operation(disk);
    await disk.close();
    const after = await contents(file, spec);
    expect(after.snapshots.size).toBe(before.snapshots.size + { create: 1, apply: 0, remove: -1 }[name as 'create']);
    if (name === 'apply') expect(firstDifference(after.disk, before.snapshots.get('one') ?? Buffer.alloc(0))).toBe(-1);
    else expect(firstDifference(after.disk, before.disk)).toBe(-1);

    for (let moment = 0; moment < MOMENTS; moment++) {
      const time = moment === 0 ? clock.now : file.moment(random);
      const what = `moment ${moment}, time ${time} of ${clock.now}`;
      const crashed = file.afterCrash(time, random);
      if (moment < PEER_MOMENTS) await expectPeerMends(folder, crashed, what);
      const found = await contents(crashed, spec);
      expectOneOf(found, [before, after], what);
      await expectUsable(crashed, spec, { found, version2, what });
    }
  });

  // Counts that lag behind are what lazy refcounts are about.
  const orderly = Object.entries('lazy_refcounts' in layout.options ? {} : operations);
  test.skipIf(orderly.length === 0).each(orderly)(
    'a check of an image on which %s was killed',
    async (name, operation) => {
      const random = new Random(layouts.indexOf(layout) * 10 + name.length);
      const folder = tempDir();
      const path = join(folder, 'image.qcow2');
      await makeImage('qcow2', path, { size: SIZE, ...layout.options });
      const prepared = new MemoryFile(readFileSync(path), { random });
      await prepare(prepared, spec, random);
      const clock = new Clock();
      const file = new MemoryFile(Buffer.from(prepared.bytes), { clock, random, logging: true });
      const disk = await open(file, spec);
      await operation(disk);
      await disk.close();
      let complaints = 0;
      for (let kill = 0; kill <= KILLS; kill++) {
        const time = Math.round((clock.now * kill) / KILLS);
        const killed = file.afterKill(time, random);
        const said = { lines: await linesOfCheck(killed, spec), what: `killed at ${time} of ${clock.now}` };
        if (kill % 8 === 4) said.lines.push(...(await linesOfPeer(folder, killed)));
        complaints += expectNothingButFlags(killed, said, version2);
      }
      // The moments are such that the state is met.
      if (name === 'create') expect(complaints).toBeGreaterThan(0);
    },
  );
});

/** Two snapshots, and changes before, between and after them. */
async function prepare(file: MemoryFile, spec: NodeSpec, random: Random): Promise<Contents> {
  const disk = await open(file, spec);
  for (const name of ['one', 'two', undefined]) {
    for (let count = 0; count < 25; count++) await scribble(disk, random);
    if (name !== undefined) await snapshotCreate(disk.graph, disk.image, { name });
  }
  await disk.close();
  return contents(file, spec);
}

async function scribble(disk: Backend, random: Random): Promise<void> {
  const offset = random.below(SIZE / 512) * 512;
  const length = Math.min(random.between(1, 16) * 512, SIZE - offset);
  await disk.write(offset, Buffer.alloc(length, random.between(1, 255)));
}

function open(file: MemoryFile, spec: NodeSpec): Promise<Backend> {
  const extraDrivers = [memoryFileDriver(new Map([['image', file]]))];
  return openDisk(spec, { writable: true, modes: { unmap: true }, extraDrivers });
}

/** Opened for writing, as who uses the image next does it: what a crash left to be mended is mended. */
async function contents(file: MemoryFile, spec: NodeSpec): Promise<Contents> {
  const disk = await open(file, spec);
  const { snapshots } = disk.image.image;
  const map = new Map<string, Buffer>();
  for (const info of snapshots?.list() ?? []) {
    const view = await snapshots?.view(info);
    const bytes = Buffer.alloc(view?.size ?? 0);
    await view?.read(0, bytes);
    await view?.close();
    map.set(info.name, bytes);
  }
  const found = { disk: await readDisk(disk), snapshots: map };
  await disk.close();
  return found;
}

function expectOneOf(found: Contents, allowed: readonly Contents[], what: string): void {
  const same = allowed.some(
    ({ disk, snapshots }) =>
      disk.equals(found.disk) &&
      snapshots.size === found.snapshots.size &&
      [...snapshots].every(([name, bytes]) => found.snapshots.get(name)?.equals(bytes)),
  );
  expect(same, what).toBe(true);
}

interface Usable {
  readonly found: Contents;
  readonly version2: boolean;
  readonly what: string;
}

/** No damage; and what is written now changes the disk and none of the snapshots. */
async function expectUsable(file: MemoryFile, spec: NodeSpec, { found, version2, what }: Usable): Promise<void> {
  const disk = await open(file, spec);
  const { lines, corruptions } = await checkDisk(disk);
  // Version 2 has no dirty bit: flags may be wrong, which costs a copy at worst.
  if (version2)
    expect(
      lines.filter((line) => !/OFLAG_COPIED|Leaked/.test(line)),
      what,
    ).toEqual([]);
  else
    expect({ corruptions, lines: lines.filter((line) => !line.startsWith('Leaked')) }, what).toEqual({
      corruptions: 0,
      lines: [],
    });
  const mark = Buffer.alloc(64 * 1024, 0xee);
  await disk.write(32 * 1024, mark);
  await disk.close();
  const then = await contents(file, spec);
  mark.copy(found.disk, 32 * 1024);
  expectOneOf(then, [found], `${what}, after another write`);
}

/** What a check says that changes nothing. */
async function linesOfCheck(file: MemoryFile, spec: NodeSpec): Promise<string[]> {
  const extraDrivers = [memoryFileDriver(new Map([['image', file]]))];
  const disk = await openDisk(spec, { modes: { readOnly: true, forRepair: true, noIo: true }, extraDrivers });
  const { lines } = await checkDisk(disk);
  await disk.close();
  return lines;
}

async function linesOfPeer(folder: string, file: MemoryFile): Promise<string[]> {
  if (findPeer('qemu-img') === undefined) return [];
  const path = join(folder, 'killed.qcow2');
  writeFileSync(path, file.bytes);
  const { stdout, stderr } = await runPeer('qemu-img', ['check', path]);
  return `${stdout}\n${stderr}`.split('\n').filter((line) => /^(ERROR|Leaked)/.test(line));
}

/** Returns how many lines were about flags. */
function expectNothingButFlags(
  file: MemoryFile,
  { lines, what }: { readonly lines: readonly string[]; readonly what: string },
  version2: boolean,
): number {
  const serious = lines.filter((line) => !line.startsWith('Leaked'));
  expect(
    serious.filter((line) => !line.includes('OFLAG_COPIED')),
    what,
  ).toEqual([]);
  if (serious.length > 0 && !version2) expect(file.bytes.readBigUInt64BE(72) & 1n, what).toBe(1n);
  return serious.length;
}

/** QEMU repairs an image with the dirty bit when it opens it; version 2 is repaired when it is told to. */
async function expectPeerMends(folder: string, file: MemoryFile, what: string): Promise<void> {
  if (findPeer('qemu-img') === undefined) return;
  const path = join(folder, 'crashed.qcow2');
  writeFileSync(path, file.bytes);
  const { code } = await runPeer('qemu-img', ['check', '-q', '-r', 'all', path]);
  expect(code, what).toBe(0);
  expect(await qemuImgCheck(path), what).toMatchObject({ code: 0 });
}
