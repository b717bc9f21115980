/**
 * An NBD server that vanishes, or runs out of space, in the middle of every job, on the side where it serves the job: under
 * every policy the job ends, waits or goes on as that says, its disk goes on being used, and once the server is back
 * what stopped goes on to a right end. Nothing hangs, and no data is wrong.
 */
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { Backend } from '../../src/core/block/backend/backend.ts';
import { errorPolicies } from '../../src/core/block/error-policy.ts';
import { operations } from '../../src/core/block/graph/operations.ts';
import type { Job } from '../../src/core/job/job.ts';
import { type Client, type Scene, scene } from '../core/qmp/client.ts';
import { img } from '../support/cli.ts';
import { type RunningServer, startNbdkit } from '../support/nbd-servers.ts';
import { peersFor } from '../support/peers.ts';
import { tempDir } from '../support/temp.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const SIZE = 2 * MiB;
/** Bytes per second: enough for several requests before the server goes, and for many after. */
const SPEED = 4 * MiB;

/** A server of the file `far`, whose writes fail for want of space while the file `full` is there. */
class Server {
  readonly #dir: string;
  readonly #socket: string;
  #running: RunningServer | undefined;

  constructor(dir: string) {
    this.#dir = dir;
    this.#socket = path.join(dir, 'sock');
    fs.writeFileSync(this.file, Buffer.alloc(SIZE));
  }

  get file(): string {
    return path.join(this.#dir, 'far');
  }

  get options() {
    return { driver: 'nbd', server: { type: 'unix', path: this.#socket }, 'reconnect-delay': 1 };
  }

  async start(): Promise<void> {
    const full = ['pwrite', 'zero'].flatMap((kind) => [
      `error-${kind}=ENOSPC`,
      `error-${kind}-rate=100%`,
      `error-${kind}-file=${path.join(this.#dir, 'full')}`,
    ]);
    this.#running = await startNbdkit(['--filter=error', 'file', this.file, ...full], this.#socket);
  }

  async break(how: Fault): Promise<void> {
    if (how === 'vanishes') await this.#running?.stop('SIGKILL');
    else fs.writeFileSync(path.join(this.#dir, 'full'), '');
  }

  async mend(how: Fault): Promise<void> {
    if (how === 'vanishes') await this.start();
    else fs.rmSync(path.join(this.#dir, 'full'));
  }
}

type Fault = 'vanishes' | 'is full';

interface Kind {
  readonly name: string;
  /** Local layers, the uppermost last; the lowest has the server as its backing file where it is `below`. */
  readonly layers: readonly string[];
  readonly below: boolean;
  /** Where the content of the disk is in the end. */
  readonly result: 'far' | 'disk' | 'both';
  start(client: Client, policy: string, server: Server): Promise<unknown>;
}

const common = { 'job-id': 'j', device: 'top', speed: SPEED };

const toFar =
  (command: string, more: object = {}) =>
  (client: Client, policy: string): Promise<unknown> =>
    client.run(command, { ...common, target: 'far', sync: 'full', 'on-target-error': policy, ...more });

const toFile =
  (command: string) =>
  (client: Client, policy: string, server: Server): Promise<unknown> =>
    client.run(command, {
      ...common,
      target: `json:${JSON.stringify(server.options)}`,
      format: 'raw',
      mode: 'existing',
      sync: 'full',
      'on-target-error': policy,
    });

const onChain =
  (command: string, more: object = {}) =>
  (client: Client, policy: string): Promise<unknown> =>
    client.run(command, { ...common, 'on-error': policy, ...more });

const alone = { layers: ['top'], below: false, result: 'both' } as const;

const kinds: readonly Kind[] = [
  { name: 'blockdev-mirror, background', ...alone, start: toFar('blockdev-mirror') },
  {
    name: 'blockdev-mirror, write-blocking',
    ...alone,
    start: toFar('blockdev-mirror', { 'copy-mode': 'write-blocking' }),
  },
  { name: 'drive-mirror', ...alone, start: toFile('drive-mirror') },
  { name: 'blockdev-backup', ...alone, start: toFar('blockdev-backup') },
  { name: 'drive-backup', ...alone, start: toFile('drive-backup') },
  { name: 'block-commit, active', layers: ['top'], below: true, result: 'far', start: onChain('block-commit') },
  {
    name: 'block-commit, below',
    layers: ['mid', 'top'],
    below: true,
    result: 'disk',
    start: onChain('block-commit', { 'top-node': 'mid' }),
  },
  { name: 'block-stream', layers: ['top'], below: true, result: 'disk', start: onChain('block-stream') },
];

interface Prepared extends AsyncDisposable {
  readonly client: Client;
  readonly user: Backend;
  readonly model: Buffer;
  readonly job: Job;
  readonly graph: Scene['service']['graph'];
}

/** The disk, its user, and the job under way. */
async function prepare(kind: Kind, policy: string, server: Server, dir: string): Promise<Prepared> {
  const made = await scene();
  const { client, service } = made;
  const { graph, jobs } = service;
  const model = Buffer.alloc(SIZE);
  const drive = kind.name.startsWith('drive');
  if (!drive) await client.run('blockdev-add', { ...server.options, 'node-name': 'far' });
  if (kind.below) {
    const filler = Backend.attach(graph, graph.find('far'), { user: 'filling', permissions: operations.write.image });
    await fill(filler, model, 1, SIZE / (64 * KiB));
    await filler.close();
  }
  let below: string | undefined = kind.below ? 'far' : undefined;
  for (const [index, name] of kind.layers.entries()) {
    const file = path.join(dir, name);
    await img(['create', '-q', '-f', 'qcow2', file, String(SIZE)]);
    await client.run('blockdev-add', {
      driver: 'qcow2',
      'node-name': name,
      file: { driver: 'file', filename: file },
      ...(below === undefined ? {} : { backing: below }),
    });
    const filler = Backend.attach(graph, graph.find(name), { user: 'filling', permissions: operations.write.image });
    // A stream has its work below, all others here.
    await fill(filler, model, 0x40 + index, kind.name === 'block-stream' ? 2 : SIZE / (64 * KiB) - 4 * index);
    await filler.close();
    below = name;
  }
  const user = Backend.attach(graph, graph.find('top'), {
    user: 'the user',
    permissions: operations['export-writable'].image,
  });
  await kind.start(client, policy, server);
  const dispose = async (): Promise<void> => {
    await user.close();
    await made[Symbol.asyncDispose]();
  };
  return { client, user, model, job: jobs.find('j'), graph, [Symbol.asyncDispose]: dispose };
}

async function fill(disk: Backend, model: Buffer, seed: number, pieces: number): Promise<void> {
  for (let n = 0; n < pieces; n++) await write({ user: disk, model }, n * 64 * KiB, 48 * KiB, seed + n);
  await disk.flush();
}

async function write(
  { user, model }: Pick<Prepared, 'user' | 'model'>,
  offset: number,
  length: number,
  byte: number,
): Promise<void> {
  await user.write(offset, Buffer.alloc(length, byte));
  model.fill(byte, offset, offset + length);
}

async function contentOf(user: Backend): Promise<Buffer> {
  const data = Buffer.alloc(SIZE);
  await user.read(0, data);
  return data;
}

/** Something that must come, and not as soon as time passes. */
async function until(condition: () => boolean, what: string): Promise<void> {
  for (const start = performance.now(); !condition(); ) {
    if (performance.now() - start > 40_000) throw new Error(`never ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const actionOf = (policy: string, fault: Fault): string =>
  policy === 'enospc' ? (fault === 'is full' ? 'stop' : 'report') : policy;

interface Case {
  readonly kind: Kind;
  readonly policy: string;
  readonly fault: Fault;
}

function casesOf(kind: Kind): Case[] {
  // From the base of a stream is only read.
  const faults: readonly Fault[] = kind.name === 'block-stream' ? ['vanishes'] : ['vanishes', 'is full'];
  return errorPolicies.flatMap((policy) => faults.map((fault) => ({ kind, policy, fault })));
}

const missing = peersFor('nbdkit').missing;

describe.skipIf(missing)('a server of a job', () => {
  test.each(kinds)('$name', { timeout: 120_000 }, async (kind) => {
    // Side by side, since most of it is waiting.
    const results = await Promise.allSettled(casesOf(kind).map(check));
    const failed = casesOf(kind).flatMap(({ policy, fault }, index) => {
      const result = results[index];
      return result?.status === 'rejected' ? [`it ${fault}, ${policy}: ${result.reason}`] : [];
    });
    expect(failed).toEqual([]);
  });
});

async function check(each: Case): Promise<void> {
  const dir = tempDir();
  await runIn(dir, each);
  if (each.policy !== 'stop') return;
  for (const name of each.kind.layers) {
    const { code, stdout } = await img(['check', path.join(dir, name)]);
    expect(code, stdout).toBe(0);
  }
}

/** Until it is done. Requests that had failed before all was well again may stop it once more. */
async function goOn(client: Client, job: Job): Promise<void> {
  const isDone = (): boolean => job.state === 'ready' || job.state === 'null';
  for (let times = 0; times < 16 && !isDone(); times++) {
    if (job.state === 'paused') await client.ask('job-resume', { id: 'j' });
    await until(() => isDone() || job.state === 'paused', 'done');
  }
}

async function runIn(dir: string, { kind, policy, fault }: Case): Promise<void> {
  const server = new Server(dir);
  await server.start();
  await using made = await prepare(kind, policy, server, dir);
  const { client, user, model, job } = made;
  const errors: string[] = [];
  job.events.on('error', ({ action, error }) => errors.push(`${action} ${error.code}`));
  const then = Buffer.from(model);
  const isBackup = kind.name.includes('backup');
  await until(() => job.progress.done > 0, 'begun');
  // While all is well.
  await write(made, 4 * KiB, 4 * KiB, 0xe1);
  await server.break(fault);
  const action = actionOf(policy, fault);
  const ends = action === 'report' || (action === 'ignore' && kind.name === 'block-stream');
  if (ends) {
    const failure = await job.finished.then(
      () => undefined,
      (error: Error) => error,
    );
    expect(failure).toMatchObject({ code: fault === 'is full' ? 'ENOSPC' : expect.any(String) });
  } else if (action === 'stop') {
    await until(() => job.state === 'paused', 'paused');
    expect(await client.run<unknown[]>('query-block-jobs')).toMatchObject([
      { device: 'j', status: 'paused', 'io-status': fault === 'is full' ? 'nospace' : 'failed' },
    ]);
  } else await until(() => errors.length >= 2, 'tried again');
  // What has been saved, or is here, can be written and read; a backup fails those writes that it cannot save for.
  if (!isBackup) await write(made, 1.5 * MiB, 64 * KiB, 0xe2);
  await write(made, 8 * KiB, 4 * KiB, 0xe3);
  const here = Buffer.alloc(8 * KiB);
  await user.read(4 * KiB, here);
  expect(Buffer.compare(here, model.subarray(4 * KiB, 12 * KiB))).toBe(0);
  await server.mend(fault);
  if (!ends) {
    if (job.state !== 'null') await client.ask('block-job-set-speed', { device: 'j', speed: 0 });
    await goOn(client, job);
    if (job.state === 'ready') {
      await write(made, MiB, 64 * KiB, 0xe4);
      await client.run('job-complete', { id: 'j' });
    }
    await job.finished;
    const far = fs.readFileSync(server.file);
    if (kind.result !== 'disk') expect(Buffer.compare(far, isBackup ? then : model)).toBe(0);
  }
  for (const each of errors) expect(each).toMatch(new RegExp(`^${action} ${fault === 'is full' ? 'ENOSPC' : 'E'}`));
  expect(errors.length).toBeGreaterThan(0);
  expect(Buffer.compare(await contentOf(user), model)).toBe(0);
  const drivers = [...made.graph.nodes.values()].map((node) => node.driver.name);
  expect(drivers.filter((each) => !['file', 'nbd', 'qcow2', 'raw'].includes(each))).toEqual([]);
}

describe.skipIf(missing)('a server of the image itself', () => {
  const settle = async (client: Client, id: string): Promise<string | undefined> => {
    await client.event('JOB_STATUS_CHANGE', (data) => data.id === id && data.status === 'concluded');
    const list = await client.run<{ id: string; error?: string }[]>('query-jobs');
    await client.run('job-dismiss', { id });
    return list.find((job) => job.id === id)?.error;
  };

  test.each(['vanishes', 'is full'] as const)('it %s: blockdev-create', { timeout: 60_000 }, async (fault) => {
    const server = new Server(tempDir());
    await server.start();
    await using made = await scene();
    const { client } = made;
    await client.run('blockdev-add', { ...server.options, 'node-name': 'far' });
    const create = (id: string) =>
      client.run('blockdev-create', {
        'job-id': id,
        options: { driver: 'qcow2', file: 'far', size: MiB },
      });
    await server.break(fault);
    await create('lost');
    expect(await settle(client, 'lost')).toMatch(fault === 'is full' ? /ENOSPC|space/i : /sock/);
    await server.mend(fault);
    await create('made');
    expect(await settle(client, 'made')).toBeUndefined();
    const { code, stdout } = await img(['check', '-f', 'qcow2', server.file]);
    expect(code, stdout).toBe(0);
  });

  test.each(['vanishes', 'is full'] as const)('it %s: x-blockdev-amend', { timeout: 60_000 }, async (fault) => {
    const server = new Server(tempDir());
    await img(['create', '-q', '-f', 'qcow2', server.file, String(MiB)]);
    fs.truncateSync(server.file, SIZE);
    await server.start();
    await using made = await scene();
    const { client, service } = made;
    await client.run('blockdev-add', { driver: 'qcow2', 'node-name': 'disk', file: server.options });
    const data = Buffer.alloc(192 * KiB, 0x5a);
    const user = Backend.attach(service.graph, service.graph.find('disk'), {
      user: 'the user',
      permissions: operations.write.image,
    });
    await user.write(64 * KiB, data);
    await user.flush();
    const amend = (id: string) =>
      client.run('x-blockdev-amend', {
        'job-id': id,
        'node-name': 'disk',
        options: { driver: 'qcow2', 'refcount-bits': 64 },
      });
    await server.break(fault);
    await amend('lost');
    expect(await settle(client, 'lost')).toMatch(fault === 'is full' ? /ENOSPC|space/i : /sock/);
    await server.mend(fault);
    await amend('done');
    expect(await settle(client, 'done')).toBeUndefined();
    const seen = Buffer.alloc(data.length);
    await user.read(64 * KiB, seen);
    expect(Buffer.compare(seen, data)).toBe(0);
    await user.close();
    await client.run('blockdev-del', { 'node-name': 'disk' });
    const { code, stdout } = await img(['check', '-f', 'qcow2', server.file]);
    expect(code, stdout).toBe(0);
  });
});

describe.skipIf(missing)('a server of the disk that is copied', () => {
  const commands = [
    ['blockdev-mirror', { 'copy-mode': 'background' }],
    ['blockdev-mirror', { 'copy-mode': 'write-blocking' }],
    ['blockdev-backup', {}],
  ] as const;

  async function copied(command: string, args: object, policy: string): Promise<void> {
    const dir = tempDir();
    const server = new Server(dir);
    const content = Buffer.alloc(SIZE);
    for (let at = 0; at < SIZE; at += 64 * KiB) content.fill(1 + at / (64 * KiB), at, at + 48 * KiB);
    fs.writeFileSync(server.file, content);
    await server.start();
    await using made = await scene();
    const { client, service } = made;
    await img(['create', '-q', '-f', 'qcow2', path.join(dir, 'copy'), String(SIZE)]);
    const file = { driver: 'file', filename: path.join(dir, 'copy') };
    await client.run('blockdev-add', { driver: 'qcow2', 'node-name': 'copy', file });
    await client.run('blockdev-add', { ...server.options, 'node-name': 'far' });
    const common = { 'job-id': 'j', device: 'far', target: 'copy', sync: 'full', speed: SPEED };
    await client.run(command, { ...common, ...args, 'on-source-error': policy });
    const job = service.jobs.find('j');
    const errors: string[] = [];
    job.events.on('error', ({ operation, action }) => errors.push(`${operation} ${action}`));
    await until(() => job.progress.done > 0, 'begun');
    await server.break('vanishes');
    const action = actionOf(policy, 'vanishes');
    if (action === 'report') await expect(job.finished).rejects.toMatchObject({ code: 'EIO' });
    else if (action === 'stop') await until(() => job.state === 'paused', 'paused');
    else await until(() => errors.length >= 2, 'tried again');
    for (const each of errors) expect(each).toBe(`read ${action}`);
    await server.mend('vanishes');
    if (action === 'report') return;
    if (job.state !== 'null') await client.ask('block-job-set-speed', { device: 'j', speed: 0 });
    await goOn(client, job);
    if (job.state === 'ready') await client.run('block-job-cancel', { device: 'j' });
    await job.finished;
    const copy = service.graph.find('copy');
    const reader = Backend.attach(service.graph, copy, { user: 'the test', permissions: operations.read.image });
    expect(Buffer.compare(await contentOf(reader), content)).toBe(0);
    await reader.close();
  }

  test.each(commands)('%s %o', { timeout: 120_000 }, async (command, args) => {
    const results = await Promise.allSettled(errorPolicies.map((policy) => copied(command, args, policy)));
    const failed = results.flatMap((result, index) =>
      result.status === 'rejected' ? [`${errorPolicies[index]}: ${result.reason}`] : [],
    );
    expect(failed).toEqual([]);
  });
});
