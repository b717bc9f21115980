/**
 * Whoever comes while a job works on a disk, and would write to it past the job: he is refused, since what he wrote would
 * be missing from what the job makes. Who comes by the filter of the job, or only reads, is welcome.
 */
import { describe, expect, test } from 'vitest';
import { Backend } from '../../../src/core/block/backend/backend.ts';
import { addBitmap, disableBitmap, enableBitmap, removeBitmap } from '../../../src/core/block/bitmaps/index.ts';
import type { Node } from '../../../src/core/block/graph/node.ts';
import { openNode } from '../../../src/core/block/graph/open.ts';
import { operations } from '../../../src/core/block/graph/operations.ts';
import { Perm } from '../../../src/core/block/permissions-bits.ts';
import { backupJob } from '../../../src/core/job/backup-job.ts';
import { commitLayers } from '../../../src/core/job/commit-job.ts';
import type { Job } from '../../../src/core/job/job.ts';
import { JobList } from '../../../src/core/job/job-list.ts';
import { type CopyMode, copyModes } from '../../../src/core/job/mirror/live-mirror.ts';
import { activeCommit, liveMirror } from '../../../src/core/job/mirror/start.ts';
import { stream } from '../../../src/core/job/stream-job.ts';
import { holder } from '../block/graph/nodes.ts';
import { type LiveDisk, liveDisk, MiB } from './live.ts';

function writer(disk: LiveDisk, node: Node): Backend {
  return Backend.attach(disk.graph, node, { user: 'a writer', permissions: { perm: Perm.WRITE, shared: Perm.ALL } });
}

async function reads(disk: LiveDisk, node: Node): Promise<void> {
  const reader = Backend.attach(disk.graph, node, { user: 'a reader', permissions: operations.export.image });
  await reader.read(0, Buffer.alloc(512));
  await reader.close();
}

/** Somebody at the filter on top of `node` writes what the user of the disk would. */
async function writesAbove(disk: LiveDisk, filter: Node): Promise<void> {
  const other = writer(disk, filter);
  await other.write(MiB, Buffer.alloc(4096, 0xab));
  disk.model.fill(0xab, MiB, MiB + 4096);
  await other.close();
}

async function reached(job: Job, state: string): Promise<void> {
  while (job.state !== state) await new Promise((resolve) => setTimeout(resolve, 2));
}

async function right(disk: LiveDisk, node?: Node): Promise<void> {
  expect(Buffer.compare(await disk.content(node), disk.model)).toBe(0);
}

const refused = (node: string, job: string) =>
  new RegExp(`^permission conflict on node '${node}': 'write' is required by a writer .* not shared by .*${job}`);

async function mirror(disk: LiveDisk, copyMode: CopyMode): Promise<{ job: Job; target: Node }> {
  const target = await disk.target('t', 4 * MiB);
  const request = { source: disk.layer(2), target, sync: 'full', copyMode } as const;
  const job = await liveMirror(new JobList(), disk.graph, request, { id: 'j' });
  void job.start().catch(() => undefined);
  await reached(job, 'ready');
  return { job, target };
}

describe.each(copyModes)('a mirror, %s', (copyMode) => {
  test.each(['complete', 'settle', 'cancel'] as const)('%s', async (end) => {
    const disk = await liveDisk();
    const { job, target } = await mirror(disk, copyMode);
    const source = disk.layer(2);
    disk.graph.hold(source, holder);
    const filter = disk.user.image;
    expect(() => writer(disk, source)).toThrow(refused('l2', "mirror job 'j'"));
    // What it showed of the layers below would change too.
    expect(() => writer(disk, disk.layer(0))).toThrow(/'write' is required by a writer/);
    await reads(disk, source);
    await writesAbove(disk, filter);
    if (end === 'complete') job.complete();
    else job.cancel({ force: end === 'cancel' });
    await job.finished.catch(() => undefined);
    expect(disk.user.image).toBe(end === 'complete' ? target : source);
    await right(disk);
    if (end !== 'cancel') await right(disk, target);
    await writer(disk, source).close();
    await writer(disk, disk.layer(0)).close();
  });
});

test('a mirror whose copy mode is changed', async () => {
  const disk = await liveDisk();
  const { job, target } = await mirror(disk, 'background');
  await writesAbove(disk, disk.user.image);
  job.change({ 'copy-mode': 'write-blocking' });
  expect(() => writer(disk, disk.layer(2))).toThrow(refused('l2', "mirror job 'j'"));
  for (let n = 0; n < 50; n++) await disk.step();
  job.complete();
  await job.finished;
  await right(disk, target);
});

test('a mirror of a disk that nobody uses', async () => {
  const disk = await liveDisk();
  disk.graph.hold(disk.layer(2), holder);
  await disk.user.close();
  const { job } = await mirror(disk, 'write-blocking');
  expect(() => writer(disk, disk.layer(2))).toThrow(refused('l2', "mirror job 'j'"));
  job.cancel();
  await job.finished.catch(() => undefined);
  await writer(disk, disk.layer(2)).close();
});

test('an active commit: nobody else may write to the layers above the base, and the job may to it', async () => {
  const disk = await liveDisk();
  const job = await activeCommit(new JobList(), disk.graph, { top: disk.layer(2), base: disk.layer(0) }, { id: 'j' });
  void job.start().catch(() => undefined);
  await reached(job, 'ready');
  expect(() => writer(disk, disk.layer(2))).toThrow(refused('l2', "commit job 'j'"));
  expect(() => writer(disk, disk.layer(1))).toThrow(refused('l1', "commit job 'j'"));
  await writesAbove(disk, disk.user.image);
  for (let n = 0; n < 50; n++) await disk.step();
  job.complete();
  await job.finished;
  expect(disk.user.image).toBe(disk.layer(0));
  await right(disk);
});

test('a commit of layers below: neither may be written to', async () => {
  const disk = await liveDisk({ sizes: [4 * MiB, 4 * MiB, 4 * MiB, 4 * MiB] });
  const request = { top: disk.layer(2), base: disk.layer(0) };
  const job = await commitLayers(new JobList(), disk.graph, request, { id: 'j' });
  for (const index of [2, 1, 0]) {
    expect(() => writer(disk, disk.layer(index))).toThrow(refused(`l${index}`, "commit job 'j'"));
  }
  await writesAbove(disk, disk.layer(3));
  await job.start();
  await right(disk);
});

test('a stream: nobody else may write to the layer, nor to those it fetches from', async () => {
  const disk = await liveDisk();
  const job = await stream(new JobList(), disk.graph, { top: disk.layer(2) }, { id: 'j' });
  expect(() => writer(disk, disk.layer(1))).toThrow(refused('l1', "stream job 'j'"));
  expect(() => writer(disk, disk.layer(2))).toThrow(refused('l2', "stream job 'j'"));
  const running = job.start();
  await writesAbove(disk, disk.user.image);
  await running;
  await right(disk);
  await writer(disk, disk.layer(2)).close();
});

test.each([true, false])('a backup of a disk, used before it began: %s', async (used) => {
  const disk = await liveDisk();
  const source = disk.layer(2);
  const then = Buffer.from(disk.model);
  disk.graph.hold(source, holder);
  if (!used) await disk.user.close();
  const target = await disk.target('t', 4 * MiB);
  const { graph } = disk;
  const options = { graph, source, target, sync: 'full', filterNodeName: 'f' } as const;
  const backup = await backupJob(new JobList(), options, { id: 'j', speed: 1 });
  await backup.fix();
  void backup.job.start().catch(() => undefined);
  expect(() => writer(disk, source)).toThrow(refused('l2', "backup job 'j'"));
  // Whoever had used the disk is gone, and the backup goes on.
  if (used) await disk.user.close();
  expect(() => writer(disk, source)).toThrow(refused('l2', "backup job 'j'"));
  await reads(disk, source);
  await writesAbove(disk, graph.find('f'));
  backup.job.setSpeed(0);
  await backup.job.finished;
  expect(Buffer.compare(await disk.content(target), then)).toBe(0);
  await right(disk, source);
  await writer(disk, source).close();
});

test('a copy-before-write filter whose snapshot alone is in use', async () => {
  const disk = await liveDisk();
  const { graph } = disk;
  disk.graph.hold(disk.layer(2), holder);
  await disk.user.close();
  await disk.target('t', 4 * MiB);
  const filter = await openNode(graph, { driver: 'copy-before-write', 'node-name': 'c', file: 'l2', target: 't' });
  graph.hold(filter, holder);
  await writer(disk, disk.layer(2)).close();
  const snapshot = await openNode(graph, { driver: 'snapshot-access', 'node-name': 's', file: 'c' });
  graph.hold(snapshot, holder);
  expect(() => writer(disk, disk.layer(2))).toThrow(refused('l2', "node 'c'"));
  await writesAbove(disk, filter);
});

describe('a bitmap of a disk', () => {
  async function stacked() {
    const disk = await liveDisk();
    await disk.target('p', MiB, { driver: 'raw', 'node-name': 'r' });
    const raw = disk.graph.find('r');
    const below = raw.primary?.node;
    if (!below) throw new Error('raw without a file');
    return { disk, raw, below };
  }

  test('that records keeps others from writing to the file below', async () => {
    const { disk, raw, below } = await stacked();
    await addBitmap(raw, 'b');
    expect(() => writer(disk, below)).toThrow(refused(below.name, "node 'r'"));
    await reads(disk, below);
    await disableBitmap(raw, 'b');
    await writer(disk, below).close();
    await enableBitmap(raw, 'b');
    expect(() => writer(disk, below)).toThrow(refused(below.name, "node 'r'"));
    await removeBitmap(raw, 'b');
    await writer(disk, below).close();
  });

  test('cannot begin to record while others write to it', async () => {
    const { disk, raw, below } = await stacked();
    const undo = await addBitmap(raw, 'off', { recording: false });
    const other = writer(disk, below);
    await expect(addBitmap(raw, 'b')).rejects.toThrow(refused(below.name, "node 'r'"));
    expect(raw.io.bitmaps.find('b')).toBeUndefined();
    await expect(enableBitmap(raw, 'off')).rejects.toThrow(refused(below.name, "node 'r'"));
    expect(raw.io.bitmaps.get('off').recording).toBe(false);
    await other.close();
    await enableBitmap(raw, 'off');
    await undo();
    await writer(disk, below).close();
  });
});
