import { describe, expect, test } from 'vitest';
import type { Job } from '../../../src/core/job/job.ts';
import { JobList } from '../../../src/core/job/job-list.ts';
import { type MirrorOptions, mirrorJob } from '../../../src/core/job/mirror-job.ts';
import { contentWith, failWith, MemoryDisk, MemoryGraph, pattern } from './memory-disk.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Made {
  readonly job: Job;
  readonly jobs: JobList;
  readonly memory: MemoryGraph;
  readonly warnings: string[];
}

async function make(
  source: MemoryDisk,
  target: MemoryDisk,
  rest: Partial<MirrorOptions> = {},
  speed = 0,
): Promise<Made> {
  const memory = new MemoryGraph();
  const jobs = new JobList();
  const warnings: string[] = [];
  const job = mirrorJob(
    jobs,
    {
      sources: [await memory.open('s', source)],
      target: await memory.openTarget('t', target),
      sync: 'full',
      targetReadsZero: true,
      warn: (message) => warnings.push(message),
      ...rest,
    },
    { speed },
  );
  return { job, jobs, memory, warnings };
}

describe('the mirror job', () => {
  test('copies, counts bytes, flushes, and closes all it holds', async () => {
    const source = new MemoryDisk({ size: 8 * MiB, content: contentWith(8 * MiB, [MiB, MiB]), holes: 4 * KiB });
    const target = new MemoryDisk({ size: 8 * MiB, slow: true });
    const { job, jobs, memory } = await make(source, target);
    const node = memory.graph.nodes.values().next().value;
    expect(node && jobs.onNode(node)).toEqual([job]);
    await job.start();
    expect(job.progress).toEqual({ done: 8 * MiB, total: 8 * MiB });
    expect(Buffer.compare(target.data, source.data)).toBe(0);
    expect(target.log.slice(-2).map((request) => request.kind)).toEqual(['flush', 'close']);
    expect(memory.graph.nodes.size).toBe(0);
  });

  test('counts data alone for someone who follows it', async () => {
    const content = contentWith(64 * MiB, [0, MiB], [2 * MiB, MiB], [40 * MiB, 2 * MiB]);
    const source = new MemoryDisk({ size: 64 * MiB, content, holes: 64 * KiB });
    const target = new MemoryDisk({ size: 64 * MiB });
    const { job } = await make(source, target, { countsData: true });
    const seen = new Set<string>();
    job.events.on('progress', ({ done, total }) => seen.add(`${done / MiB}/${total / MiB}`));
    await job.start();
    expect([...seen]).toEqual(['0/64', '0/4', '1/4', '2/4', '3/4', '4/4']);
    expect(Buffer.compare(target.data, source.data)).toBe(0);
  });

  test('asks for the status of each stretch once, also where it is counted first', async () => {
    const content = contentWith(8 * MiB, [0, MiB], [2 * MiB, MiB], [5 * MiB, 2 * MiB]);
    const asked: number[] = [];
    const statusFails = (offset: number): boolean => {
      asked.push(offset);
      return false;
    };
    const source = new MemoryDisk({ size: 8 * MiB, content, holes: 64 * KiB, statusFails });
    const target = new MemoryDisk({ size: 8 * MiB });
    const { job } = await make(source, target, { countsData: true });
    await job.start();
    expect(asked).toEqual([...new Set(asked)]);
    expect(job.progress).toEqual({ done: 4 * MiB, total: 4 * MiB });
    expect(Buffer.compare(target.data, source.data)).toBe(0);
  });

  test('counts bytes of the disk where the status cannot be had, and takes up what is known of it', async () => {
    const content = contentWith(8 * MiB, [0, MiB], [2 * MiB, MiB]);
    const asked: number[] = [];
    let fails = true;
    const statusFails = (offset: number): boolean => {
      asked.push(offset);
      const failing = fails && offset >= 2 * MiB;
      if (failing) fails = false;
      return failing;
    };
    const source = new MemoryDisk({ size: 8 * MiB, content, holes: 64 * KiB, statusFails });
    const target = new MemoryDisk({ size: 8 * MiB });
    const { job } = await make(source, target, { countsData: true });
    await job.start();
    expect(asked).toEqual([0, MiB, 2 * MiB, 2 * MiB, 3 * MiB]);
    expect(job.progress).toEqual({ done: 8 * MiB, total: 8 * MiB });
    expect(Buffer.compare(target.data, source.data)).toBe(0);
  });

  test('copies nothing with sync none', async () => {
    const source = new MemoryDisk({ size: MiB, content: pattern(MiB) });
    const target = new MemoryDisk({ size: MiB });
    const { job } = await make(source, target, { sync: 'none' });
    await job.start();
    expect(source.of('read')).toEqual([]);
    expect(target.of('write')).toEqual([]);
  });

  test('empties a target that holds something first, where that takes no writing', async () => {
    const source = new MemoryDisk({ size: 4 * MiB, content: contentWith(4 * MiB, [MiB, 64 * KiB]) });
    const settings = { size: 4 * MiB, content: contentWith(4 * MiB, [0, 64 * KiB], [3 * MiB, MiB]), holes: 64 * KiB };
    const target = new MemoryDisk(settings);
    const first = await make(source, target, { targetReadsZero: false });
    await first.job.start();
    expect(target.of('zero').map(({ offset }) => offset)).toEqual([0, 3 * MiB]);
    expect(Buffer.compare(target.data, source.data)).toBe(0);
    const stubborn = new MemoryDisk({ ...settings, noZero: true });
    const second = await make(source, stubborn, { targetReadsZero: false });
    await second.job.start();
    expect(Buffer.compare(stubborn.data, source.data)).toBe(0);
    const written = new MemoryDisk(settings);
    const third = await make(source, written, { targetReadsZero: false, sparse: 0 });
    await third.job.start();
    expect(written.of('zero')).toEqual([]);
    expect(Buffer.compare(written.data, source.data)).toBe(0);
  });

  test('refuses a target that is too small, and closes it all the same', async () => {
    const { job, memory } = await make(new MemoryDisk({ size: 2 * MiB }), new MemoryDisk({ size: MiB }));
    await expect(job.start()).rejects.toThrow(/the target has 1048576 bytes, too few for the 2097152 of the source/);
    expect(memory.graph.nodes.size).toBe(0);
  });

  test('is cancelled at any moment without a request left', async () => {
    for (let turns = 0; turns < 12; turns++) {
      const source = new MemoryDisk({ size: 8 * MiB, content: pattern(8 * MiB), slow: true });
      const target = new MemoryDisk({ size: 8 * MiB, slow: true });
      const { job, memory } = await make(source, target, { parallel: 2 });
      const done = job.start();
      done.catch(() => undefined);
      for (let i = 0; i < turns; i++) await turn();
      if (job.state === 'null') continue;
      job.cancel();
      await expect(done).rejects.toMatchObject({ code: 'ECANCELED' });
      expect(source.inFlight + target.inFlight).toBe(0);
      expect(memory.graph.nodes.size).toBe(0);
    }
  });

  test('is cancelled while it waits for its speed', async () => {
    const source = new MemoryDisk({ size: 8 * MiB, content: pattern(8 * MiB) });
    const { job } = await make(source, new MemoryDisk({ size: 8 * MiB }), {}, 1000);
    const done = job.start();
    done.catch(() => undefined);
    for (let i = 0; i < 5; i++) await turn();
    // It would go on for two hours.
    job.cancel();
    await expect(done).rejects.toMatchObject({ code: 'ECANCELED' });
  });

  test('pauses on a full target where the policy says so, and goes on when resumed', async () => {
    let full = true;
    const fault = failWith('ENOSPC', ({ kind, offset }) => full && kind === 'write' && offset >= 2 * MiB);
    const source = new MemoryDisk({ size: 4 * MiB, content: pattern(4 * MiB) });
    const target = new MemoryDisk({ size: 4 * MiB, slow: true, fault });
    const { job } = await make(source, target, { onTargetError: 'enospc' });
    const actions: string[] = [];
    job.events.on('error', ({ operation, action }) => actions.push(`${operation} ${action}`));
    const done = job.start();
    while (job.state !== 'paused') await turn();
    expect(actions).toContain('write stop');
    full = false;
    job.resume();
    await done;
    expect(Buffer.compare(target.data, source.data)).toBe(0);
  });

  test('salvages also where status cannot be told', async () => {
    const source = new MemoryDisk({ size: 2 * MiB, content: pattern(2 * MiB) });
    const image = source.image();
    let asked = 0;
    source.image = () => ({
      ...image,
      status: () => {
        asked++;
        throw new Error('no status');
      },
    });
    const strict = await make(source, new MemoryDisk({ size: 2 * MiB }));
    await expect(strict.job.start()).rejects.toThrow('error while reading block status at offset 0: no status');
    const target = new MemoryDisk({ size: 2 * MiB });
    const lenient = await make(source, target, { salvage: true });
    await lenient.job.start();
    expect(asked).toBeGreaterThan(1);
    expect(Buffer.compare(target.data, source.data)).toBe(0);
  });

  test('leaves the page cache of the source as it was, unless told not to', async () => {
    const source = new MemoryDisk({ size: MiB, content: pattern(MiB) });
    const calls: string[] = [];
    const image = source.image();
    source.image = () => ({
      ...image,
      pageCache: {
        begin: async () => {
          calls.push('begin');
          return { end: async () => void calls.push('end') };
        },
      },
    });
    await (await make(source, new MemoryDisk({ size: MiB }))).job.start();
    expect(calls).toEqual(['begin', 'end']);
    await (await make(source, new MemoryDisk({ size: MiB }), { cacheManners: false })).job.start();
    expect(calls.length).toBe(2);
  });
});
