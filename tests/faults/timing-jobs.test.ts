/** Jobs on a chain of disks: what they leave on them does not depend on how long requests take. */
import { readdirSync } from 'node:fs';
import { expect, test, vi } from 'vitest';
import { backupJob } from '../../src/core/job/backup-job.ts';
import { commitLayers } from '../../src/core/job/commit-job.ts';
import type { Job } from '../../src/core/job/job.ts';
import { JobList } from '../../src/core/job/job-list.ts';
import { activeCommit, liveMirror } from '../../src/core/job/mirror/start.ts';
import { stream } from '../../src/core/job/stream-job.ts';
import { type LiveDisk, liveDisk, MiB } from '../core/job/live.ts';
import { seeds } from '../support/random.ts';
import { setPace } from '../support/uneven-host.ts';
import { seenOf } from './seen-image.ts';

vi.mock(import('../../src/core/host/calls.ts'), async (original) =>
  (await import('../support/uneven-host.ts')).unevenCalls(original),
);
vi.mock(import('../../src/core/host/libc.ts'), async (original) =>
  (await import('../support/uneven-host.ts')).unevenLibc(original),
);
vi.mock(import('../../src/drivers/qcow2/codec.ts'), async (original) =>
  (await import('../support/uneven-host.ts')).unevenCodec(original),
);

const list = (): JobList => new JobList();
const target = (disk: LiveDisk) => disk.target('t', 4 * MiB);
const mirror = (sync: 'full' | 'top') => async (disk: LiveDisk) =>
  liveMirror(list(), disk.graph, { source: disk.user.image, target: await target(disk), sync });
const backup = (sync: 'full' | 'top', compressed: boolean) => async (disk: LiveDisk) => {
  const options = { graph: disk.graph, source: disk.user.image, target: await target(disk), sync, compressed };
  return (await backupJob(list(), options, {})).job;
};

const jobs: readonly [string, (disk: LiveDisk) => Promise<Job>][] = [
  ['mirror', mirror('full')],
  ['mirror of the top layer', mirror('top')],
  ['backup', backup('full', false)],
  ['compressed backup of the top layer', backup('top', true)],
  ['commit', (disk) => commitLayers(list(), disk.graph, { top: disk.layer(1), base: disk.layer(0) })],
  ['active commit', (disk) => activeCommit(list(), disk.graph, { top: disk.layer(2), base: disk.layer(0) })],
  ['stream', (disk) => stream(list(), disk.graph, { top: disk.layer(2) })],
  ['stream down to a base', (disk) => stream(list(), disk.graph, { top: disk.layer(2), base: disk.layer(0) })],
];

async function outcomeOf(make: (disk: LiveDisk) => Promise<Job>, seed: number | undefined): Promise<unknown> {
  const disk = await liveDisk({ seed: 5 });
  for (let step = 0; step < 200; step++) await disk.step();
  await disk.user.flush();
  setPace(seed);
  const job = await make(disk);
  const states: unknown[] = [];
  job.events.on('state', (state: unknown) => void states.push(state));
  const done = job.start();
  done.catch(() => undefined);
  await expect.poll(() => job.state, { interval: 1 }).toMatch(/^(ready|null|concluded)$/);
  if (job.state === 'ready') job.complete();
  await done;
  setPace(undefined);
  await disk.user.close();
  await disk.graph.close();
  const seen: unknown[] = [];
  for (const file of readdirSync(disk.folder).sort()) {
    // Several streams and mirrors write in any order.
    const { bytes: _bytes, ...rest } = (await seenOf(disk.file(file), 'qcow2')) ?? {};
    seen.push({ file, ...rest });
  }
  return JSON.parse(JSON.stringify({ progress: job.progress, states, seen }).replaceAll(disk.folder, ''));
}

test.each(jobs)('%s', async (_name, make) => {
  const usual = await outcomeOf(make, undefined);
  for (const seed of seeds(3)) expect(await outcomeOf(make, seed), `pace ${seed}`).toEqual(usual);
});
