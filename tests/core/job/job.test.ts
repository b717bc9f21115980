import { describe, expect, test } from 'vitest';
import { whileDrained } from '../../../src/core/block/graph/drain.ts';
import { operations } from '../../../src/core/block/graph/operations.ts';
import { BlockError } from '../../../src/core/errors/block-error.ts';
import type { Job, JobBody } from '../../../src/core/job/job.ts';
import { JobList } from '../../../src/core/job/job-list.ts';
import { MemoryDisk, MemoryGraph } from './memory-disk.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A body that works in steps until it is told to end. */
class Steps implements JobBody {
  steps = 0;
  end = false;
  readonly calls: string[] = [];
  failure: Error | undefined;
  prepareFailure: Error | undefined;

  async run(job: Job): Promise<void> {
    while (!this.end) {
      await job.checkpoint();
      if (this.failure) throw this.failure;
      this.steps++;
      await turn();
    }
  }
  async prepare(): Promise<void> {
    this.calls.push('prepare');
    if (this.prepareFailure) throw this.prepareFailure;
  }
  commit(): void {
    this.calls.push('commit');
  }
  abort(): void {
    this.calls.push('abort');
  }
}

function make(init: object = {}): { job: Job; body: Steps; states: string[]; jobs: JobList } {
  const jobs = new JobList();
  const body = new Steps();
  const job = jobs.add({ type: 'test', body, ...init });
  const states: string[] = [job.state];
  job.events.on('state', ({ to }) => states.push(to));
  return { job, body, states, jobs };
}

describe('Job', () => {
  test('runs to its end and is forgotten', async () => {
    const { job, body, states, jobs } = make();
    const done = job.start();
    await turn();
    expect(job.state).toBe('running');
    expect(jobs.all()).toEqual([job]);
    body.end = true;
    await done;
    expect(states).toEqual(['created', 'running', 'waiting', 'pending', 'concluded', 'null']);
    expect(body.calls).toEqual(['prepare', 'commit']);
    expect(jobs.all()).toEqual([]);
  });

  test('waits for finalize and dismiss when told to', async () => {
    const { job, body, jobs } = make({ autoFinalize: false, autoDismiss: false });
    body.end = true;
    const done = job.start();
    await turn();
    expect(job.state).toBe('pending');
    expect(() => job.dismiss()).toThrow(/pending, dismiss is not possible/);
    await job.finalize();
    await done;
    expect(job.state).toBe('concluded');
    expect(jobs.find(job.id)).toBe(job);
    job.dismiss();
    expect(() => jobs.find(job.id)).toThrow(/no job/);
  });

  test('pauses between steps and goes on', async () => {
    const { job, body, states } = make();
    const done = job.start();
    await turn();
    job.pause();
    expect(() => job.pause()).toThrow(/paused already/);
    await turn();
    await turn();
    expect(job.state).toBe('paused');
    const { steps } = body;
    await turn();
    expect(body.steps).toBe(steps);
    job.resume();
    expect(() => job.resume()).toThrow(/not paused/);
    await turn();
    await turn();
    expect(body.steps).toBeGreaterThan(steps);
    body.end = true;
    await done;
    expect(states.slice(0, 4)).toEqual(['created', 'running', 'paused', 'running']);
  });

  test('is in standby when it is paused while ready, and completes only when ready', async () => {
    const { job, body } = make();
    const done = job.start();
    await turn();
    expect(() => job.complete()).toThrow(/complete is not possible/);
    job.becomeReady();
    job.pause();
    await turn();
    await turn();
    expect(job.state).toBe('standby');
    job.resume();
    expect(job.state).toBe('ready');
    job.complete();
    body.end = true;
    await done;
  });

  test.each(['created', 'running', 'paused', 'pending'] as const)('is cancelled while %s', async (when) => {
    const { job, body, states } = make({ autoFinalize: false });
    body.end = when === 'pending';
    if (when !== 'created') void job.start().catch(() => undefined);
    if (when === 'paused') job.pause();
    await turn();
    await turn();
    expect(job.state).toBe(when);
    job.cancel();
    await expect(job.finished).rejects.toMatchObject({ code: 'ECANCELED' });
    expect(states.slice(-3)).toEqual(['aborting', 'concluded', 'null']);
    expect(body.calls).toEqual(['abort']);
  });

  test('fails with the error of its body, and of its last step', async () => {
    const first = make();
    first.body.failure = new BlockError('went wrong', { code: 'EIO' });
    await expect(first.job.start()).rejects.toThrow('went wrong');
    expect(first.job.error).toMatchObject({ code: 'EIO' });
    const second = make();
    second.body.end = true;
    second.body.prepareFailure = new BlockError('not ready', { code: 'EBUSY' });
    await expect(second.job.start()).rejects.toThrow('not ready');
    expect(second.body.calls).toEqual(['prepare', 'abort']);
  });

  test('cannot be started twice, and ids are unique', async () => {
    const { job, body, jobs } = make({ id: 'a' });
    const done = job.start();
    expect(() => job.start()).toThrow(/running, it cannot be started/);
    expect(() => jobs.add({ id: 'a', type: 'test', body })).toThrow(/already a job 'a'/);
    body.end = true;
    await done;
  });

  test.each([
    ['report', 'EIO', 'report'],
    ['ignore', 'EIO', 'ignore'],
    ['stop', 'EIO', 'stop'],
    ['enospc', 'EIO', 'report'],
    ['enospc', 'ENOSPC', 'stop'],
  ] as const)('meets policy %s on %s with %s', async (policy, code, action) => {
    const seen: string[] = [];
    let answer: string | undefined;
    const jobs = new JobList();
    const body = {
      async run(job: Job): Promise<void> {
        answer = await job.onError('write', policy, new BlockError('failed', { code }));
      },
    };
    const job = jobs.add({ type: 'test', body });
    job.events.on('error', (event) => seen.push(event.action));
    const done = job.start();
    done.catch(() => undefined);
    await turn();
    expect(seen).toEqual([action]);
    if (action === 'stop') {
      expect(job.state).toBe('paused');
      job.resume();
    }
    if (action === 'report') await expect(done).rejects.toThrow('failed');
    else {
      await done;
      expect(answer).toBe(action === 'stop' ? 'retry' : 'ignore');
    }
  });

  test('holds nodes until it ends, and pauses while they are drained', async () => {
    const memory = new MemoryGraph();
    const backend = await memory.open('a', new MemoryDisk({ size: 1024 }), operations.read.image);
    const node = backend.image;
    const { job, body, jobs } = make();
    job.hold(memory.graph, { node, name: 'base', permissions: operations['read-stable'].image });
    expect(jobs.onNode(node)).toEqual([job]);
    const writer = { parent: backend, node, name: 'x', role: 'filtered' } as const;
    expect(() => memory.graph.attach(writer, operations.write.image)).toThrow(/not shared by test job 'test0'/);
    const done = job.start();
    await whileDrained(
      () => [node],
      async () => {
        await turn();
        await turn();
        expect(job.state).toBe('paused');
      },
    );
    expect(job.state).toBe('running');
    body.end = true;
    await done;
    expect(jobs.onNode(node)).toEqual([]);
    expect(node.parents.size).toBe(1);
    await backend.close();
    expect(memory.graph.nodes.size).toBe(0);
  });

  test('fails when closing what it holds fails', async () => {
    const memory = new MemoryGraph();
    const disk = new MemoryDisk({ size: 1024 });
    const backend = await memory.openTarget('t', disk);
    backend.image.image.close = () => Promise.reject(new BlockError('no room for the tables', { code: 'ENOSPC' }));
    const { job, body } = make();
    job.own(backend);
    body.end = true;
    await expect(job.start()).rejects.toThrow('no room for the tables');
  });
});
