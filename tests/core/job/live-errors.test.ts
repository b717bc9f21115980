/** What live jobs do when requests fail, by their policies; the disk is right in every case. */
import { describe, expect, test } from 'vitest';
import { commitLayers } from '../../../src/core/job/commit-job.ts';
import type { ErrorPolicy } from '../../../src/core/job/error-policy.ts';
import type { Job } from '../../../src/core/job/job.ts';
import { JobList } from '../../../src/core/job/job-list.ts';
import { copyModes } from '../../../src/core/job/mirror/live-mirror.ts';
import { liveMirror } from '../../../src/core/job/mirror/start.ts';
import { stream } from '../../../src/core/job/stream-job.ts';
import { type LiveDisk, liveDisk, MiB } from './live.ts';

const ENOSPC = 28;
const EIO = 5;

/** A layer below which the first `count` writes fail. */
const failing = (event: string, errno: number, once: boolean) => (file: object) => ({
  driver: 'blkdebug',
  image: file,
  'inject-error': [{ event, errno, once }],
});

async function right(disk: LiveDisk): Promise<void> {
  await disk.quiet();
  expect(Buffer.compare(await disk.content(), disk.model)).toBe(0);
}

/** Errors the job told of. */
function errorsOf(job: Job): string[] {
  const seen: string[] = [];
  job.events.on('error', ({ operation, action, error }) => seen.push(`${operation} ${action} ${error.code}`));
  return seen;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

async function mirrorInto(
  errno: number,
  once: boolean,
  onTargetError: ErrorPolicy,
  copyMode: (typeof copyModes)[number],
) {
  const disk = await liveDisk();
  const wrap = failing('pwritev', errno, once);
  const file = disk.file('t.img');
  const target = await disk.target('t', 4 * MiB, {
    driver: 'raw',
    file: wrap({ driver: 'file', filename: file }),
  });
  const request = { source: disk.user.image, target, sync: 'full', onTargetError, copyMode } as const;
  const job = await liveMirror(new JobList(), disk.graph, request);
  return { disk, target, job, errors: errorsOf(job) };
}

describe.each(copyModes)('a %s mirror into a target that fails', (copyMode) => {
  test.each([
    ['report', EIO],
    ['enospc', EIO],
  ] as const)('ends by policy %s, its users going on', async (policy, errno) => {
    const { disk, job, errors } = await mirrorInto(errno, false, policy, copyMode);
    disk.busy();
    await expect(job.start()).rejects.toMatchObject({ code: 'EIO' });
    expect(errors[0]).toBe('write report EIO');
    expect(disk.user.image.name).toBe('l2');
    await right(disk);
  });

  test.each([
    ['stop', EIO],
    ['enospc', ENOSPC],
  ] as const)('pauses by policy %s, and goes on where it was', async (policy, errno) => {
    const { disk, target, job, errors } = await mirrorInto(errno, true, policy, copyMode);
    disk.busy();
    job.start().catch(() => undefined);
    await until(() => job.state === 'paused');
    expect(errors).toHaveLength(1);
    job.resume();
    await until(() => job.state === 'ready');
    await disk.quiet();
    job.complete();
    await job.finished;
    expect(disk.user.image).toBe(target);
    await right(disk);
  });

  test('tries again by policy ignore until all is there', async () => {
    const { disk, job, errors } = await mirrorInto(EIO, true, 'ignore', copyMode);
    disk.busy();
    job.start().catch(() => undefined);
    await until(() => job.state === 'ready');
    expect(errors).toEqual(['write ignore EIO']);
    job.complete();
    await job.finished;
    await right(disk);
  });
});

describe('commit and stream on layers that fail', () => {
  test('stop: the job pauses when a layer cannot be read, and goes on', async () => {
    for (const kind of ['commit', 'stream'] as const) {
      const disk = await liveDisk();
      let faults = 1;
      const { image } = disk.layer(1);
      const { read } = image;
      image.read = (offset, buf) => {
        if (faults-- > 0) throw Object.assign(new Error('broken'), { code: 'EIO' });
        return read.call(image, offset, buf);
      };
      const jobs = new JobList();
      const job =
        kind === 'commit'
          ? await commitLayers(jobs, disk.graph, { top: disk.layer(1), base: disk.layer(0), onError: 'stop' })
          : await stream(jobs, disk.graph, { top: disk.layer(2), onError: 'stop' });
      const errors = errorsOf(job);
      const done = job.start();
      await until(() => job.state === 'paused');
      expect(errors).toEqual(['read stop EIO']);
      job.resume();
      await done;
      await right(disk);
    }
  });

  test('report: the job ends, the chain and the disk being what they were', async () => {
    for (const kind of ['commit', 'stream'] as const) {
      const disk = await liveDisk();
      const { image } = disk.layer(1);
      const { read } = image;
      let broken = true;
      image.read = (offset, buf) => {
        if (broken) throw Object.assign(new Error('broken'), { code: 'EIO' });
        return read.call(image, offset, buf);
      };
      const jobs = new JobList();
      const job =
        kind === 'commit'
          ? await commitLayers(jobs, disk.graph, { top: disk.layer(1), base: disk.layer(0) })
          : await stream(jobs, disk.graph, { top: disk.layer(2) });
      await expect(job.start()).rejects.toMatchObject({ code: 'EIO' });
      broken = false;
      expect(disk.user.image.name).toBe('l2');
      expect(disk.layer(2).backing?.node).toBe(disk.layer(1));
      await right(disk);
    }
  });
});
