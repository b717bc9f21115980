/** Two jobs on one disk that is written to: both are right, whichever ends first. */
import { expect, test } from 'vitest';
import { backupJob } from '../../../src/core/job/backup-job.ts';
import type { Job } from '../../../src/core/job/job.ts';
import { JobList } from '../../../src/core/job/job-list.ts';
import { copyModes } from '../../../src/core/job/mirror/live-mirror.ts';
import { activeCommit, type LiveMirrorRequest, liveMirror } from '../../../src/core/job/mirror/start.ts';
import { stream } from '../../../src/core/job/stream-job.ts';
import { type LiveDisk, liveDisk, MiB } from './live.ts';

async function ready(job: Job): Promise<void> {
  while (job.state !== 'ready') await new Promise((r) => setTimeout(r, 2));
}

/** Two mirrors of the top layer; the second ends first, and the users go on with the target of the first. */
async function mirrorTwice(request: Pick<LiveMirrorRequest, 'sync' | 'copyMode' | 'sourceBacking'>): Promise<LiveDisk> {
  const disk = await liveDisk();
  const jobs = new JobList();
  const begin = async (name: string): Promise<Job> => {
    const target = await disk.target(name, 4 * MiB);
    const job = await liveMirror(jobs, disk.graph, { ...request, source: disk.layer(2), target });
    void job.start().catch(() => undefined);
    await ready(job);
    return job;
  };
  const [a, b] = [await begin('a'), await begin('b')];
  b.complete();
  await b.finished;
  for (let i = 0; i < 200; i++) await disk.step();
  a.complete();
  await a.finished;
  expect(disk.user.image.name).toBe('a');
  expect(Buffer.compare(await disk.content(), disk.model)).toBe(0);
  return disk;
}

test.each(copyModes)('two mirrors, %s', async (copyMode) => {
  await mirrorTwice({ sync: 'full', copyMode });
});

test('two mirrors of what the top layer has', async () => {
  const disk = await mirrorTwice({ sync: 'top', sourceBacking: true });
  expect(disk.user.image.backing?.node).toBe(disk.layer(1));
});

test('a mirror, and an active commit below it', async () => {
  const disk = await liveDisk();
  const jobs = new JobList();
  const a = await liveMirror(jobs, disk.graph, {
    source: disk.layer(2),
    target: await disk.target('a', 4 * MiB),
    sync: 'full',
  });
  void a.start().catch(() => undefined);
  await ready(a);
  const b = await activeCommit(jobs, disk.graph, { top: disk.layer(2), base: disk.layer(0) });
  void b.start().catch(() => undefined);
  await ready(b);
  b.complete();
  await b.finished;
  for (let i = 0; i < 200; i++) await disk.step();
  a.complete();
  await a.finished;
  expect(disk.user.image.name).toBe('a');
  expect(Buffer.compare(await disk.content(), disk.model)).toBe(0);
});

test('a backup, and a mirror below it', async () => {
  const disk = await liveDisk();
  const jobs = new JobList();
  const then = Buffer.from(disk.model);
  const target = await disk.target('t', 4 * MiB);
  const a = await backupJob(jobs, { graph: disk.graph, source: disk.layer(2), target, sync: 'full' }, { speed: 1 });
  await a.fix();
  void a.job.start().catch(() => undefined);
  const b = await liveMirror(jobs, disk.graph, {
    source: disk.layer(2),
    target: await disk.target('b', 4 * MiB),
    sync: 'full',
  });
  void b.start().catch(() => undefined);
  await ready(b);
  for (let i = 0; i < 100; i++) await disk.step();
  b.complete();
  await b.finished;
  for (let i = 0; i < 100; i++) await disk.step();
  a.job.setSpeed(0);
  await a.job.finished;
  expect(Buffer.compare(await disk.content(), disk.model)).toBe(0);
  expect(Buffer.compare(await disk.content(target), then)).toBe(0);
});

test('a mirror below a stream is refused, one that was there first goes on', async () => {
  const disk = await liveDisk();
  const jobs = new JobList();
  const target = await disk.target('b', 4 * MiB);
  const mirror = () => liveMirror(jobs, disk.graph, { source: disk.layer(2), target, sync: 'full' }, { id: 'm' });
  const first = await stream(jobs, disk.graph, { top: disk.layer(2) }, { id: 's', speed: 1 });
  await expect(mirror()).rejects.toThrow(/^mirror job 'm' of node 'l2': .* stream job 's' relies on it$/);
  first.cancel();
  await first.finished.catch(() => undefined);
  const a = await mirror();
  void a.start().catch(() => undefined);
  const b = await stream(jobs, disk.graph, { top: disk.layer(2) }, { speed: 1 });
  void b.start().catch(() => undefined);
  await ready(a);
  for (let i = 0; i < 100; i++) await disk.step();
  a.complete();
  await a.finished;
  for (let i = 0; i < 100; i++) await disk.step();
  b.setSpeed(0);
  await b.finished;
  expect(Buffer.compare(await disk.content(), disk.model)).toBe(0);
});
