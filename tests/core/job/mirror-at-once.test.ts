/** Mirrors whose disk changes its shape while they begin, run or end: their users read what they have written. */
import { expect, test } from 'vitest';
import { closeByForce } from '../../../src/core/block/graph/force-close.ts';
import type { Node } from '../../../src/core/block/graph/node.ts';
import { addOverlay } from '../../../src/core/block/graph/reshape.ts';
import type { Job } from '../../../src/core/job/job.ts';
import { JobList } from '../../../src/core/job/job-list.ts';
import { type CopyMode, copyModes } from '../../../src/core/job/mirror/live-mirror.ts';
import { type LiveMirrorRequest, liveMirror } from '../../../src/core/job/mirror/start.ts';
import { stream } from '../../../src/core/job/stream-job.ts';
import { type LiveDisk, liveDisk, MiB } from './live.ts';

function mirror(disk: LiveDisk, target: Node, request: Partial<LiveMirrorRequest>): Promise<Job> {
  const whole = { source: disk.layer(2), target, sync: 'full', ...request } as const;
  return liveMirror(new JobList(), disk.graph, whole);
}

async function ready(job: Job): Promise<void> {
  void job.start().catch(() => undefined);
  while (job.state !== 'ready') await new Promise((resolve) => setTimeout(resolve, 2));
}

async function steps(disk: LiveDisk): Promise<void> {
  for (let i = 0; i < 100; i++) await disk.step();
}

async function completed(disk: LiveDisk, job: Job): Promise<void> {
  job.complete();
  await job.finished;
  await steps(disk);
  expect(Buffer.compare(await disk.content(), disk.model)).toBe(0);
}

test.each(copyModes.flatMap((copyMode) => [['top', copyMode] as const, ['none', copyMode] as const]))(
  'with sync=%s, %s, what surrounds a write in a cluster of the target comes from below',
  async (sync, copyMode: CopyMode) => {
    const disk = await liveDisk();
    const target = await disk.target('t', 4 * MiB);
    const job = await mirror(disk, target, { sync, copyMode, sourceBacking: true });
    await ready(job);
    await steps(disk);
    await completed(disk, job);
    expect(target.backing?.node.name).toBe(sync === 'top' ? 'l1' : 'l2');
  },
);

test.each(copyModes)('an overlay comes on the source while a mirror begins, %s', async (copyMode) => {
  const disk = await liveDisk();
  const target = await disk.target('t', 4 * MiB);
  const overlay = await disk.target('o', 4 * MiB);
  const [job] = await Promise.all([mirror(disk, target, { copyMode }), addOverlay(disk.graph, disk.layer(2), overlay)]);
  await ready(job);
  await steps(disk);
  await completed(disk, job);
});

test('the target is an overlay of the source: it stands on that, not on the filter', async () => {
  const disk = await liveDisk();
  const target = await disk.target('t', 4 * MiB, { backing: 'l2' });
  await disk.user.close();
  const job = await mirror(disk, target, {});
  await ready(job);
  job.complete();
  await job.finished;
  expect(target.backing?.node.name).toBe('l2');
  expect(Buffer.compare(await disk.content(target), disk.model)).toBe(0);
});

test('a stream of a layer and a mirror of it that leaves out what is below refuse each other', async () => {
  const disk = await liveDisk();
  const target = await disk.target('t', 4 * MiB);
  const top = disk.layer(2);
  const job = await mirror(disk, target, { sync: 'top' });
  await expect(stream(new JobList(), disk.graph, { top })).rejects.toThrow(/mirror job .* relies on it/);
  job.cancel();
  await job.finished.catch(() => undefined);
  const other = await stream(new JobList(), disk.graph, { top });
  await expect(mirror(disk, target, { sync: 'top' })).rejects.toThrow(/stream job .* relies on it/);
  other.cancel();
  await other.finished.catch(() => undefined);
  expect(disk.user.image).toBe(top);
  expect(Buffer.compare(await disk.content(), disk.model)).toBe(0);
});

test('the source is closed by force: the filter stays with its users and is nobody else’s', async () => {
  const disk = await liveDisk();
  const job = await mirror(disk, await disk.target('t', 4 * MiB), {});
  await ready(job);
  await closeByForce(disk.graph, disk.layer(2));
  job.cancel();
  await job.finished.catch(() => undefined);
  expect([disk.user.image.driver.name, disk.user.image.owner]).toEqual(['mirror_top', undefined]);
  await expect(disk.content()).rejects.toThrow('has been closed');
  await disk.user.close();
  await disk.graph.close();
  expect(disk.graph.nodes.size).toBe(0);
});
