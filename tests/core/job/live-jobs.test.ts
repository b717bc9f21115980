import { describe, expect, test } from 'vitest';
import { commitLayers } from '../../../src/core/job/commit-job.ts';
import type { Job } from '../../../src/core/job/job.ts';
import { JobList } from '../../../src/core/job/job-list.ts';
import { copyModes } from '../../../src/core/job/mirror/live-mirror.ts';
import { activeCommit, liveMirror } from '../../../src/core/job/mirror/start.ts';
import { stream } from '../../../src/core/job/stream-job.ts';
import { type LiveDisk, liveDisk, MiB } from './live.ts';

/** Start, and wait until the job is ready or at its end. */
function reached(job: Job, state: 'ready' | 'null'): Promise<void> {
  return new Promise((resolve, reject) => {
    job.events.on('state', ({ to }) => {
      if (to === state) resolve();
    });
    job.start().catch(reject);
  });
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function chainOf(disk: LiveDisk): string[] {
  const names: string[] = [];
  for (let node = disk.user.image; ; ) {
    names.push(node.name);
    const next = node.backing?.node;
    if (!next) return names;
    node = next;
  }
}

async function rightAtTheEnd(disk: LiveDisk): Promise<void> {
  await disk.quiet();
  expect(Buffer.compare(await disk.content(), disk.model)).toBe(0);
}

describe.each(copyModes)('a live mirror, %s', (copyMode) => {
  test('keeps up with its user, and switches to the target', async () => {
    const disk = await liveDisk();
    const target = await disk.target('t', 4 * MiB);
    disk.busy();
    const jobs = new JobList();
    const job = await liveMirror(jobs, disk.graph, { source: disk.user.image, target, sync: 'full', copyMode });
    expect(disk.user.image.driver.name).toBe('mirror_top');
    await reached(job, 'ready');
    await pause(30);
    job.complete();
    await job.finished;
    expect(disk.user.image).toBe(target);
    await rightAtTheEnd(disk);
    expect([...disk.graph.nodes.values()].map((node) => node.driver.name).sort()).toEqual(['file', 'qcow2']);
  });

  test('ends without a switch, its target being a copy of that moment', async () => {
    const disk = await liveDisk();
    const target = await disk.target('t', 4 * MiB, { driver: 'raw' });
    disk.busy();
    const job = await liveMirror(new JobList(), disk.graph, {
      source: disk.user.image,
      target,
      sync: 'full',
      copyMode,
    });
    await reached(job, 'ready');
    await disk.quiet();
    job.cancel({ force: false });
    await job.finished;
    expect(disk.user.image.name).toBe('l2');
    expect(Buffer.compare(await disk.content(target), disk.model)).toBe(0);
    await rightAtTheEnd(disk);
  });

  test('is paused, throttled, cancelled', async () => {
    const disk = await liveDisk();
    const target = await disk.target('t', 4 * MiB);
    disk.busy();
    const job = await liveMirror(
      new JobList(),
      disk.graph,
      { source: disk.user.image, target, sync: 'full', copyMode, speed: 256 * 1024 },
      {},
    );
    const done = job.start();
    done.catch(() => undefined);
    await pause(20);
    job.pause();
    await pause(20);
    job.resume();
    job.setSpeed(0);
    await pause(10);
    job.cancel();
    await expect(done).rejects.toMatchObject({ code: 'ECANCELED' });
    expect(chainOf(disk)).toEqual(['l2', 'l1', 'l0']);
    await rightAtTheEnd(disk);
  });
});

describe('jobs on a chain in use', () => {
  test('a mirror changes its copy mode while it runs', async () => {
    const disk = await liveDisk();
    const target = await disk.target('t', 4 * MiB);
    disk.busy();
    const job = await liveMirror(new JobList(), disk.graph, { source: disk.user.image, target, sync: 'full' });
    await reached(job, 'ready');
    job.change({ 'copy-mode': 'write-blocking' });
    expect(() => job.change({ 'copy-mode': 'background' })).toThrow(/cannot be changed to copy-mode background/);
    await pause(300);
    await disk.quiet();
    await expect.poll(() => job.details).toEqual({ 'actively-synced': true });
    expect(Buffer.compare(await disk.content(target), disk.model)).toBe(0);
    job.complete();
    await job.finished;
    await rightAtTheEnd(disk);
  });

  test('the active layer is committed into the deepest', async () => {
    const disk = await liveDisk({ sizes: [2 * MiB, 4 * MiB, 4 * MiB] });
    disk.busy();
    const job = await activeCommit(new JobList(), disk.graph, { top: disk.user.image, base: disk.layer(0) });
    await reached(job, 'ready');
    await pause(20);
    job.complete();
    await job.finished;
    expect(chainOf(disk)).toEqual(['l0']);
    await rightAtTheEnd(disk);
  });

  test.runIf(process.platform === 'linux')('what is committed does not pass through memory', async () => {
    const disk = await liveDisk();
    const layers = [disk.layer(1), disk.layer(2)];
    const files = layers.map((layer) => layer.children.get('file')?.node.accounts);
    const read = () => files.reduce((sum, accounts) => sum + (accounts?.read.bytes ?? Number.NaN), 0);
    const before = read();
    const job = await activeCommit(new JobList(), disk.graph, {
      top: disk.user.image,
      base: disk.layer(0),
      endWhenReady: true,
    });
    await job.start();
    // Tables, and the last cluster of each file, which ends within it: of two megabytes and more.
    expect(read() - before).toBeLessThan(512 * 1024);
    expect(Buffer.compare(await disk.content(disk.layer(0)), disk.model)).toBe(0);
    await rightAtTheEnd(disk);
  });

  test('a layer in between is committed', async () => {
    const disk = await liveDisk({ sizes: [3 * MiB, 4 * MiB, 4 * MiB, 4 * MiB] });
    disk.busy();
    const job = await commitLayers(new JobList(), disk.graph, { top: disk.layer(2), base: disk.layer(0) });
    await job.start();
    expect(chainOf(disk)).toEqual(['l3', 'l0']);
    expect(disk.layer(3).image.backing?.fileName).toBe(disk.file('l0.qcow2'));
    await rightAtTheEnd(disk);
  });

  test('a short layer in between goes on hiding what a longer base has', async () => {
    const disk = await liveDisk({ sizes: [4 * MiB, 2 * MiB, 4 * MiB] });
    disk.busy();
    const job = await commitLayers(new JobList(), disk.graph, {
      top: disk.layer(1),
      base: disk.layer(0),
      backingFile: 'l0.qcow2',
    });
    await job.start();
    expect(disk.layer(2).image.backing?.fileName).toBe('l0.qcow2');
    await rightAtTheEnd(disk);
  });

  test('a chain is streamed into the active layer, whole or down to a base', async () => {
    for (const base of [undefined, 0]) {
      const disk = await liveDisk();
      disk.busy();
      const kept = base === undefined ? undefined : disk.layer(base);
      const job = await stream(new JobList(), disk.graph, { top: disk.layer(2), base: kept });
      expect(disk.user.image.driver.name).toBe('copy-on-read');
      await job.start();
      expect(chainOf(disk)).toEqual(base === undefined ? ['l2'] : ['l2', 'l0']);
      expect(disk.layer(2).image.backing?.fileName).toBe(base === undefined ? undefined : disk.file('l0.qcow2'));
      await rightAtTheEnd(disk);
    }
  });

  test('a layer in between is streamed into', async () => {
    const disk = await liveDisk({ sizes: [4 * MiB, 2 * MiB, 4 * MiB, 4 * MiB] });
    disk.busy();
    const job = await stream(new JobList(), disk.graph, { top: disk.layer(2), bottom: disk.layer(1) });
    await job.start();
    expect(chainOf(disk)).toEqual(['l3', 'l2', 'l0']);
    await rightAtTheEnd(disk);
  });

  test('disjoint parts of a chain are worked on at once, the same parts are not', async () => {
    const disk = await liveDisk({ sizes: [4, 4, 4, 4, 4].map((size) => size * MiB) });
    disk.busy();
    const jobs = new JobList();
    const low = await commitLayers(jobs, disk.graph, { top: disk.layer(1), base: disk.layer(0) });
    await expect(commitLayers(jobs, disk.graph, { top: disk.layer(1), base: disk.layer(0) })).rejects.toThrow();
    await expect(stream(jobs, disk.graph, { top: disk.layer(2), base: disk.layer(0) })).rejects.toThrow();
    const high = await stream(jobs, disk.graph, { top: disk.layer(4), base: disk.layer(2) });
    await Promise.all([low.start(), high.start()]);
    expect(chainOf(disk)).toEqual(['l4', 'l2', 'l0']);
    await rightAtTheEnd(disk);
  });

  test('every job is cancelled at any moment, and the disk stays what it was', async () => {
    for (let turns = 0; turns < 6; turns++) {
      const disk = await liveDisk();
      disk.busy();
      const jobs = new JobList();
      const makers = [
        () => stream(jobs, disk.graph, { top: disk.layer(2) }),
        () => commitLayers(jobs, disk.graph, { top: disk.layer(1), base: disk.layer(0) }),
        () => activeCommit(jobs, disk.graph, { top: disk.user.image, base: disk.layer(0) }),
      ];
      for (const make of makers) {
        const job = await make();
        const done = turns === 0 ? job.finished : job.start();
        done.catch(() => undefined);
        await pause(turns);
        if (job.state !== 'null') job.cancel();
        await done.catch((error: { code: string }) => expect(error.code).toBe('ECANCELED'));
      }
      await rightAtTheEnd(disk);
      expect(jobs.all()).toEqual([]);
    }
  });
});
