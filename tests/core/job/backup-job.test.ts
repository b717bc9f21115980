/** Backups of disks that go on changing: the target is what the disk was when the job began. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Backend } from '../../../src/core/block/backend/backend.ts';
import { addBitmap } from '../../../src/core/block/bitmaps/index.ts';
import { BlockGraph } from '../../../src/core/block/graph/block-graph.ts';
import type { Node } from '../../../src/core/block/graph/node.ts';
import { openNode } from '../../../src/core/block/graph/open.ts';
import { operations } from '../../../src/core/block/graph/operations.ts';
import { insertFilter } from '../../../src/core/block/graph/reshape.ts';
import type { NodeSpec } from '../../../src/core/block/graph/spec.ts';
import { type BackupOptions, backupJob, type Job, JobList, planBackup } from '../../../src/core/job/index.ts';
import { driverList } from '../../../src/drivers/index.ts';
import { makeImage, readDisk } from '../../support/disk.ts';
import { Random, seeds } from '../../support/random.ts';
import { tempDir } from '../../support/temp.ts';
import { holder } from '../block/graph/nodes.ts';

const SIZE = 4 * 1024 * 1024;
const GRAIN = 65536;

interface World {
  readonly graph: BlockGraph;
  readonly guest: Backend;
  readonly source: Node;
  readonly target: Node;
  readonly folder: string;
  run(options: Partial<BackupOptions>): Promise<Job>;
}

async function world(wrap: (file: NodeSpec) => NodeSpec = (file) => file): Promise<World & AsyncDisposable> {
  const folder = tempDir();
  for (const name of ['source', 'target']) await makeImage('qcow2', join(folder, name), { size: SIZE });
  const graph = new BlockGraph({ drivers: driverList, references: 'all', warn: () => undefined });
  const qcow2 = (name: string) => ({
    driver: 'qcow2',
    'node-name': name,
    file: { driver: 'file', filename: join(folder, name) },
  });
  const source = await openNode(graph, qcow2('source'), { modes: { readOnly: false } });
  const guest = Backend.attach(graph, source, { user: 'the guest', permissions: operations.write.image });
  const target = await openNode(graph, wrap(qcow2('target')), { modes: { readOnly: false } });
  graph.hold(target, holder);
  const run = async (options: Partial<BackupOptions>) =>
    (await backupJob(new JobList(), { graph, source, target, sync: 'full', ...options })).job;
  const close = async () => {
    await guest.close();
    await graph.close();
  };
  return { graph, guest, source, target, folder, run, [Symbol.asyncDispose]: close };
}

async function contentOf(graph: BlockGraph, node: Node): Promise<Buffer> {
  const reader = Backend.attach(graph, node, { user: 'the test', permissions: operations.read.image });
  const content = await readDisk(reader);
  await reader.close();
  return content;
}

async function scribble(guest: Backend, random: Random, count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    const at = random.below(SIZE / 512) * 512;
    const length = Math.min(SIZE - at, 512 * (1 + random.below(200)));
    if (random.chance(0.2)) await guest.zero(at, length);
    else if (random.chance(0.1)) await guest.discard(at, length);
    else await guest.write(at, Buffer.alloc(length, 1 + random.below(255)));
    if (random.chance(0.3)) await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('a backup of a disk in use', () => {
  test.each(seeds(3))('is the disk as it was, seed %d', async (seed) => {
    await using disk = await world();
    const random = new Random(seed);
    await scribble(disk.guest, random, 40);
    const before = await readDisk(disk.guest);
    const job = await disk.run({ maxChunk: GRAIN, maxWorkers: 2 });
    let begun = (): void => undefined;
    const running = new Promise<void>((resolve) => {
      begun = resolve;
    });
    job.events.on('progress', () => begun());
    const done = job.start();
    await running;
    await scribble(disk.guest, random, 60);
    await done;
    expect((await contentOf(disk.graph, disk.target)).equals(before)).toBe(true);
    expect((await readDisk(disk.guest)).equals(before)).toBe(false);
    expect(disk.guest.image).toBe(disk.source);
    expect(job.progress.done).toBe(job.progress.total);
  });

  test('by a bitmap copies what is dirty, and the bitmap starts anew', async () => {
    await using disk = await world();
    const { guest, source, graph, target } = disk;
    await guest.write(0, Buffer.alloc(SIZE, 1));
    await addBitmap(source, 'b', { granularity: GRAIN });
    await (await disk.run({})).start();
    await guest.write(3 * GRAIN, Buffer.alloc(512, 2));
    await guest.write(9 * GRAIN, Buffer.alloc(512, 3));
    const wanted = await readDisk(guest);
    const job = await disk.run({ sync: 'incremental', bitmap: 'b' });
    await job.start();
    expect(job.progress.total).toBe(2 * GRAIN);
    expect((await contentOf(graph, target)).equals(wanted)).toBe(true);
    expect(source.io.bitmaps.get('b').count).toBe(0);
    await guest.write(SIZE - 512, Buffer.alloc(512, 4));
    await (await disk.run({ sync: 'bitmap', bitmap: 'b', bitmapMode: 'never' })).start();
    expect(source.io.bitmaps.get('b').count).toBe(GRAIN);
  });

  test.each([
    ['on-success', 3 * GRAIN],
    ['always', 3 * GRAIN],
  ] as const)('that fails leaves the bitmap, with what came since (%s)', async (bitmapMode, count) => {
    const fails = (image: NodeSpec) => ({
      driver: 'blkdebug',
      'node-name': 'faulty',
      'inject-error': [{ event: 'none', iotype: 'write', errno: 28, once: false }],
      image,
    });
    await using disk = await world(fails);
    const { guest, source } = disk;
    await addBitmap(source, 'b', { granularity: GRAIN });
    await guest.write(0, Buffer.alloc(GRAIN, 1));
    await guest.write(5 * GRAIN, Buffer.alloc(GRAIN, 1));
    const job = await disk.run({ sync: 'bitmap', bitmap: 'b', bitmapMode, onCbwError: 'break-snapshot' });
    const done = job.start();
    done.catch(() => undefined);
    await guest.write(9 * GRAIN, Buffer.alloc(512, 1));
    await expect(done).rejects.toMatchObject({ code: 'ENOSPC' });
    const bitmap = source.io.bitmaps.get('b');
    expect({ count: bitmap.count, busy: bitmap.busy }).toEqual({ count, busy: false });
    expect(guest.image).toBe(source);
  });

  test('of what changes only can be read through snapshot-access, until it is cancelled', async () => {
    await using disk = await world();
    const { guest, graph } = disk;
    await scribble(guest, new Random(7), 40);
    const before = await readDisk(guest);
    const job = await disk.run({ sync: 'none', filterNodeName: 'cbw' });
    const done = job.start();
    done.catch(() => undefined);
    while (!graph.nodes.has('cbw') || guest.image.name !== 'cbw') await new Promise((resolve) => setImmediate(resolve));
    const access = await openNode(graph, { driver: 'snapshot-access', file: 'cbw', 'node-name': 'then' });
    await scribble(guest, new Random(8), 30);
    expect((await contentOf(graph, access)).equals(before)).toBe(true);
    expect((await readDisk(guest)).equals(before)).toBe(false);
    await graph.closeIfUnused(access);
    job.cancel();
    await expect(done).rejects.toMatchObject({ code: 'ECANCELED' });
    expect(guest.image.name).toBe('source');
  });

  test('refuses what does not go together', async () => {
    await using disk = await world();
    await expect(disk.run({ sync: 'incremental' })).rejects.toThrow("'incremental' needs a bitmap");
    await expect(disk.run({ bitmap: 'b', bitmapMode: 'always' })).rejects.toThrow("no dirty bitmap 'b'");
    await expect(disk.run({ target: disk.source })).rejects.toThrow('its own backup');
    expect(() => planBackup({ sync: 'bitmap', bitmap: 'b' })).toThrow('needs a bitmap mode');
    expect(() => planBackup({ sync: 'full', bitmap: 'b', bitmapMode: 'never' })).toThrow('has no meaning');
    expect(() => planBackup({ sync: 'none', bitmap: 'b', bitmapMode: 'always' })).toThrow("'none'");
    expect(() => planBackup({ sync: 'incremental', bitmap: 'b', bitmapMode: 'never' })).toThrow("not 'never'");
    expect(() => planBackup({ sync: 'full', bitmapMode: 'never' })).toThrow('needs a bitmap');
  });
});

test('what has been copied of a temporary disk is discarded there, and what it keeps for others too', async () => {
  await using made = await world();
  const { graph, guest, source, target, folder } = made;
  await scribble(guest, new Random(7), 40);
  const then = await contentOf(graph, source);
  await makeImage('qcow2', join(folder, 'kept'), { size: SIZE });
  const file = { driver: 'file', filename: join(folder, 'kept') };
  const kept = await openNode(
    graph,
    { driver: 'qcow2', 'node-name': 'kept', discard: 'unmap', file: { ...file, discard: 'unmap' } },
    { modes: { readOnly: false } },
  );
  const filter = await insertFilter(graph, source, { driver: 'copy-before-write', 'node-name': 'cbw', target: 'kept' });
  graph.hold(filter, holder);
  const access = { driver: 'snapshot-access', 'node-name': 'then', file: 'cbw', discard: 'unmap' };
  const view = await openNode(graph, access, { modes: { readOnly: false } });
  graph.hold(view, holder);
  await scribble(guest, new Random(8), 40);
  await guest.flush();
  const allocated = async () => {
    let sum = 0;
    for (let at = 0; at < SIZE; at += GRAIN) if ((await kept.io.status(at, GRAIN, true)).data) sum += GRAIN;
    return sum;
  };
  expect(await allocated()).toBeGreaterThan(0);
  const now = await contentOf(graph, source);
  const { job } = await backupJob(new JobList(), { graph, source: view, target, sync: 'full', discardSource: true });
  await job.start();
  expect(Buffer.compare(await contentOf(graph, target), then)).toBe(0);
  expect(Buffer.compare(await contentOf(graph, source), now)).toBe(0);
  expect(await allocated()).toBe(0);
  const reader = Backend.attach(graph, view, { user: 'the test', permissions: operations.read.image });
  await expect((async () => reader.read(0, Buffer.alloc(512)))()).rejects.toThrow(/has nothing at 0/);
  await reader.close();
});
