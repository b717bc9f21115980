/** How jobs keep to their speed, and what they do while they wait for it. Time is told to go by. */
import { expect, test } from 'vitest';
import { type Clock, SLICE_MS } from '../../../src/core/async/rate-limit.ts';
import { whileDrained } from '../../../src/core/block/graph/drain.ts';
import { backupJob } from '../../../src/core/job/backup-job.ts';
import { commitLayers } from '../../../src/core/job/commit-job.ts';
import type { Job, JobInit } from '../../../src/core/job/job.ts';
import { JobList } from '../../../src/core/job/job-list.ts';
import { activeCommit, liveMirror } from '../../../src/core/job/mirror/start.ts';
import { stream } from '../../../src/core/job/stream-job.ts';
import { type LiveDisk, liveDisk, MiB } from './live.ts';

class TestClock implements Clock {
  time = 0;
  readonly #timers = new Set<{ readonly at: number; readonly action: () => void }>();

  now(): number {
    return this.time;
  }
  after(ms: number, action: () => void): () => void {
    const timer = { at: this.time + ms, action };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }
  get waiting(): boolean {
    return this.#timers.size > 0;
  }
  /** To the next timer, all that can go on having done so. */
  async step(): Promise<void> {
    const next = [...this.#timers].reduce((a, b) => (b.at < a.at ? b : a));
    this.#timers.delete(next);
    this.time = Math.max(this.time, next.at);
    next.action();
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

/** Until the job waits for its speed, or is done. */
async function settled(clock: TestClock, job: Job): Promise<void> {
  for (let quiet = 0; quiet < 3; ) {
    await turn();
    const busy = !clock.waiting && (job.state === 'running' || job.state === 'waiting' || job.state === 'pending');
    quiet = busy ? 0 : quiet + 1;
  }
}

const jobs: readonly [string, (disk: LiveDisk, init: Partial<JobInit>) => Promise<Job>][] = [
  [
    'mirror',
    async (disk, init) => {
      const target = await disk.target('t', 4 * MiB);
      return liveMirror(new JobList(), disk.graph, { source: disk.user.image, target, sync: 'full' }, init);
    },
  ],
  [
    'active commit',
    (disk, init) => activeCommit(new JobList(), disk.graph, { top: disk.layer(2), base: disk.layer(0) }, init),
  ],
  [
    'commit',
    (disk, init) => commitLayers(new JobList(), disk.graph, { top: disk.layer(1), base: disk.layer(0) }, init),
  ],
  ['stream', (disk, init) => stream(new JobList(), disk.graph, { top: disk.layer(2) }, init)],
  [
    'backup',
    async (disk, init) => {
      const target = await disk.target('t', 4 * MiB);
      const options = { graph: disk.graph, source: disk.user.image, target, sync: 'full' } as const;
      return (await backupJob(new JobList(), options, init)).job;
    },
  ],
];

/** The disks are full of data that has to be copied. */
async function fullDisk(): Promise<LiveDisk> {
  const disk = await liveDisk();
  await disk.user.write(0, Buffer.alloc(4 * MiB, 1));
  return disk;
}

test.each(jobs)('%s copies no more than its speed allows, and no less', async (name, start) => {
  const disk = name === 'mirror' || name === 'active commit' || name === 'backup' ? await fullDisk() : await liveDisk();
  const clock = new TestClock();
  const speed = MiB / 2;
  const job = await start(disk, { clock, speed });
  const passed: { readonly at: number; readonly bytes: number }[] = [];
  const { throttle } = job;
  job.throttle = (bytes) => {
    const done = throttle.call(job, bytes);
    const note = (): void => void passed.push({ at: clock.time, bytes });
    if (done instanceof Promise) return done.then(note);
    note();
    return done;
  };
  void job.start().catch(() => undefined);
  for (;;) {
    await settled(clock, job);
    if (job.state !== 'running' || !clock.waiting) break;
    await clock.step();
  }
  expect(['ready', 'null']).toContain(job.state);
  let sum = 0;
  for (const { at, bytes } of passed) {
    sum += bytes;
    expect(bytes).toBeLessThanOrEqual(64 * 1024);
    expect(sum).toBeLessThanOrEqual((speed * (at + SLICE_MS)) / 1000 + 1);
  }
  expect(sum).toBeGreaterThan(speed);
  expect(sum).toBeGreaterThanOrEqual((speed * clock.time) / 1000 - 64 * 1024 - (speed * 50) / 1000);
  if (job.state === 'ready') job.complete();
  await job.finished;
});

test.each(jobs)(
  'a %s that waits for its speed pauses at once, and does nothing while the graph is quiet',
  async (_, start) => {
    const disk = await liveDisk();
    const clock = new TestClock();
    const job = await start(disk, { clock, speed: 1 });
    void job.start().catch(() => undefined);
    await settled(clock, job);
    expect(job.state).toBe('running');
    job.pause();
    await turn();
    expect(job.state).toBe('paused');
    expect(clock.waiting).toBe(false);
    job.resume();
    await settled(clock, job);
    expect(clock.waiting).toBe(true);
    const nodes = [...disk.graph.nodes.values()];
    await whileDrained(
      () => nodes,
      async () => {
        job.setSpeed(0);
        for (let n = 0; n < 5; n++) await turn();
        expect(job.state).toBe('paused');
        expect(nodes.map((node) => node.io.inFlight).filter((count) => count > 0)).toEqual([]);
      },
    );
    job.cancel();
    await expect(job.finished).rejects.toMatchObject({ code: 'ECANCELED' });
  },
);
