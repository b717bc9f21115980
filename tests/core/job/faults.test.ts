/**
 * Requests that fail in the middle of every job, on each side, under every policy: the job ends, stops or goes on as the
 * policy says, goes on where it was when it is resumed, and the disk is right in every case.
 */
import { describe, expect, test } from 'vitest';
import type { Image } from '../../../src/core/block/driver.ts';
import type { ErrorPolicy } from '../../../src/core/block/error-policy.ts';
import type { Node } from '../../../src/core/block/graph/node.ts';
import { BlockError } from '../../../src/core/errors/block-error.ts';
import { backupJob } from '../../../src/core/job/backup-job.ts';
import { commitLayers } from '../../../src/core/job/commit-job.ts';
import type { Job } from '../../../src/core/job/job.ts';
import { JobList } from '../../../src/core/job/job-list.ts';
import type { CopyMode } from '../../../src/core/job/mirror/live-mirror.ts';
import { activeCommit, liveMirror } from '../../../src/core/job/mirror/start.ts';
import { stream } from '../../../src/core/job/stream-job.ts';
import { type LiveDisk, liveDisk, MiB } from './live.ts';

interface Made {
  readonly job: Job;
  /** The layer that is read from, and the one that is written to. */
  readonly source: Node;
  readonly target: Node;
}

type Make = (disk: LiveDisk, policy: ErrorPolicy) => Promise<Made>;

const mirror =
  (copyMode: CopyMode): Make =>
  async (disk, policy) => {
    const target = await disk.target('t', 4 * MiB);
    const source = disk.layer(2);
    const request = { source, target, sync: 'full', copyMode, onSourceError: policy, onTargetError: policy } as const;
    return { job: await liveMirror(new JobList(), disk.graph, request), source, target };
  };

const kinds: readonly (readonly [string, Make])[] = [
  ['background mirror', mirror('background')],
  ['write-blocking mirror', mirror('write-blocking')],
  [
    'active commit',
    async (disk, policy) => {
      const request = { top: disk.layer(2), base: disk.layer(0), onSourceError: policy, onTargetError: policy };
      const job = await activeCommit(new JobList(), disk.graph, request);
      return { job, source: disk.layer(2), target: disk.layer(0) };
    },
  ],
  [
    'commit',
    async (disk, onError) => {
      const job = await commitLayers(new JobList(), disk.graph, { top: disk.layer(1), base: disk.layer(0), onError });
      return { job, source: disk.layer(1), target: disk.layer(0) };
    },
  ],
  [
    'stream',
    async (disk, onError) => {
      const job = await stream(new JobList(), disk.graph, { top: disk.layer(2), onError });
      return { job, source: disk.layer(1), target: disk.layer(2) };
    },
  ],
  [
    'backup',
    async (disk, policy) => {
      const target = await disk.target('t', 4 * MiB);
      const { graph } = disk;
      const source = disk.layer(2);
      const options = { graph, source, target, sync: 'full', onSourceError: policy, onTargetError: policy } as const;
      return { job: (await backupJob(new JobList(), options)).job, source, target };
    },
  ],
];

type Code = 'EIO' | 'ENOSPC';

/** Have the third and every later request fail, until it is healed. */
function breakDown(image: Image, side: 'read' | 'write', code: Code): { heal(): void; readonly failed: number } {
  const state = { broken: true, requests: 0, failed: 0 };
  const check = (): void => {
    if (!state.broken || ++state.requests < 3) return;
    state.failed++;
    throw new BlockError('broken', { code });
  };
  const methods = side === 'read' ? (['read', 'readv'] as const) : (['write', 'writev', 'zero'] as const);
  // The kernel would copy past what is broken.
  if (side === 'read') Object.assign(image, { copyRangeFrom: () => false });
  for (const name of methods) {
    const before = image[name] as ((...args: unknown[]) => unknown) | undefined;
    if (!before) continue;
    Object.assign(image, {
      [name](...args: unknown[]) {
        check();
        return before.apply(image, args);
      },
    });
  }
  return {
    heal() {
      state.broken = false;
    },
    get failed() {
      return state.failed;
    },
  };
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (const start = performance.now(); !condition(); ) {
    if (performance.now() - start > 30_000) throw new Error(`never ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

const actionOf = (policy: ErrorPolicy, code: Code): string =>
  policy === 'enospc' ? (code === 'ENOSPC' ? 'stop' : 'report') : policy;

/** To the end, whatever that is. */
async function finish(job: Job): Promise<void> {
  await until(() => job.state === 'ready' || job.state === 'null', 'done');
  if (job.state === 'ready') job.complete();
  await job.finished;
}

describe.each(kinds)('%s', (name, make) => {
  const cases = (['report', 'ignore', 'stop', 'enospc'] as const).flatMap((policy) =>
    (['EIO', 'ENOSPC'] as const).flatMap((code) =>
      (['read', 'write'] as const).map((side) => [policy, code, side] as const),
    ),
  );

  test.each(cases)('%s: %s when it %ss', async (policy, code, side) => {
    const disk = await liveDisk();
    // Data all over, in pieces, so that there are more requests than one.
    for (let at = 0; at < 4; at++) {
      await disk.user.write(at * MiB + 128 * 1024, Buffer.alloc(256 * 1024, at + 1));
      disk.model.fill(at + 1, at * MiB + 128 * 1024, at * MiB + 384 * 1024);
    }
    const before = Buffer.from(disk.model);
    const { job, source, target } = await make(disk, policy);
    const fault = breakDown((side === 'read' ? source : target).image, side, code);
    const seen: string[] = [];
    job.events.on('error', ({ action, error, operation }) => seen.push(`${operation} ${action} ${error.code}`));
    job.start().catch(() => undefined);
    const action = actionOf(policy, code);
    const ends = action === 'report' || (action === 'ignore' && name === 'stream');
    if (ends) {
      const failure = await job.finished.then(
        () => undefined,
        (error: BlockError) => error,
      );
      expect(failure?.code).toBe(code);
      fault.heal();
    } else {
      await until(() => (action === 'stop' ? job.state === 'paused' : seen.length >= 2), action);
      if (action === 'stop') expect(job.ioStatus).toBe(code === 'ENOSPC' ? 'nospace' : 'failed');
      fault.heal();
      if (action === 'stop') job.resume();
      await finish(job);
      expect(job.ioStatus).toBe('ok');
    }
    expect(fault.failed).toBeGreaterThan(0);
    for (const each of seen) {
      if (name !== 'stream') expect(each.split(' ')[0]).toBe(side);
      expect(each.split(' ').slice(1)).toEqual([action, code]);
    }
    for (let n = 0; n < 20; n++) await disk.step();
    expect(Buffer.compare(await disk.content(), disk.model)).toBe(0);
    const names = [...disk.graph.nodes.values()].map((node) => node.driver.name);
    expect(names.filter((each) => each !== 'file' && each !== 'qcow2')).toEqual([]);
    if (name === 'backup' && !ends) expect(Buffer.compare(await disk.content(target), before)).toBe(0);
    if (ends) expect(disk.user.image.name).toBe('l2');
  });
});
