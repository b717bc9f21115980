/**
 * The same script to the storage daemon of QEMU and to ours: the same events in the same order, with the same members;
 * moments aside, and the names that were made up.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { img, programPath, runProgram } from '../../support/cli.ts';
import { findPeer, peersFor } from '../../support/peers.ts';
import { tempDir, tempDirForSuite } from '../../support/temp.ts';

type Data = Readonly<Record<string, unknown>>;

interface Message {
  readonly event?: string;
  readonly data?: Data;
  readonly id?: number;
  readonly error?: { readonly class: string };
}

/** A command, or an event that is waited for: its name, and members of its data. */
type Step = readonly [execute: string, args?: object] | { readonly event: string; readonly data?: Data };

const MiB = 1024 * 1024;

/** Talk to a program until it ends. What is told: events in order, and which steps were refused. */
async function talk(command: string, args: readonly string[], cwd: string, steps: readonly Step[]): Promise<unknown[]> {
  const child = spawn(command, [...args, '--chardev', 'stdio,id=c', '--monitor', 'chardev=c'], { cwd });
  const messages: Message[] = [];
  let text = '';
  let wake = (): void => undefined;
  child.stdout.on('data', (chunk: Buffer) => {
    const lines = (text + chunk.toString()).split(/\r?\n/);
    text = lines.pop() ?? '';
    // It also tells on its standard output of the images that it makes.
    for (const line of lines) if (line.startsWith('{')) messages.push(JSON.parse(line) as Message);
    wake();
  });
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint += chunk.toString();
  });
  let ended = false;
  const end = new Promise<void>((resolve) => {
    child.on('close', () => {
      ended = true;
      wake();
      resolve();
    });
  });
  const until = async (wanted: (message: Message) => boolean, what: string, from = 0): Promise<number> => {
    const limit = performance.now() + 60_000;
    for (;;) {
      const told = withoutBlinks(messages, -1);
      const at = told.findIndex((message, index) => index >= from && wanted(message));
      if (at >= 0) return at;
      if (ended || performance.now() > limit) {
        child.kill('SIGKILL');
        throw new Error(`no ${what} from ${command}: ${JSON.stringify(messages)} ${complaint}`);
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
        setTimeout(resolve, 1000).unref();
      });
    }
  };
  const refused: string[] = [];
  let seen = 0;
  const all: Step[] = [['qmp_capabilities'], ...steps, ['quit']];
  for (const [id, step] of all.entries()) {
    if ('event' in step) {
      const fits = ({ event, data }: Message): boolean =>
        event === step.event && Object.entries(step.data ?? {}).every(([key, value]) => data?.[key] === value);
      seen = (await until(fits, JSON.stringify(step), seen)) + 1;
      continue;
    }
    const [execute, given] = step;
    child.stdin.write(JSON.stringify({ execute, id, ...(given ? { arguments: given } : {}) }));
    const at = await until((message) => message.id === id, `answer to ${execute}`);
    const { error } = withoutBlinks(messages, -1)[at] ?? {};
    if (error) refused.push(`${execute}: ${error.class}`);
  }
  await end;
  const lastCommand = all.findLastIndex((step, index) => !('event' in step) && index < all.length - 1);
  const events = withoutBlinks(messages, lastCommand).filter(({ event }) => event !== undefined);
  return [...byJob(events).map(plain), { refused }];
}

/**
 * A job there is said to be paused and running again for every moment that the graph is made quiet, before the command
 * that makes it is answered and when the program ends, which is after the `last` command: nobody asked for that.
 */
function withoutBlinks(messages: readonly Message[], last: number): Message[] {
  const fresh = new Set<unknown>();
  const running = new Set<unknown>();
  let ending = false;
  return messages.filter(({ id, event, data }) => {
    if (id !== undefined) fresh.clear();
    if (id === last) ending = true;
    if (event === 'SHUTDOWN') return false;
    if (event !== 'JOB_STATUS_CHANGE') return true;
    const { id: job, status } = data ?? {};
    if (status === 'created') fresh.add(job);
    const blinks = (status === 'paused' || status === 'running') && running.has(job) && (fresh.has(job) || ending);
    if (status === 'running') running.add(job);
    return !blinks;
  });
}

/** Those of one job stay in order; what happens to several at the same time has none. */
function byJob(messages: readonly Message[]): Message[] {
  const jobOf = ({ event, data }: Message): string => String(event === 'JOB_STATUS_CHANGE' ? data?.id : data?.device);
  return [...messages].sort((a, b) => jobOf(a).localeCompare(jobOf(b)));
}

function plain({ event, data }: Message): object {
  const told: Record<string, unknown> = { event, ...data };
  // How far a limited job comes in a moment.
  if (event === 'BLOCK_JOB_CANCELLED' && data?.speed !== 0) told.offset = 'some';
  // What is done is not begun in the same order.
  if (data?.error !== undefined && 'offset' in told) told.offset = 'some';
  // The words of errors are each program's own.
  if ('error' in told) told.error = 'an error';
  if ('reason' in told && event === 'BLOCK_IO_ERROR') told.reason = 'a reason';
  return told;
}

const state = (status: string, id = 'j'): Step => ({ event: 'JOB_STATUS_CHANGE', data: { id, status } });
const gone = state('null');
const ready: Step = { event: 'BLOCK_JOB_READY' };

const open = (name: string, more: object = {}): Step => [
  'blockdev-add',
  { driver: 'qcow2', 'node-name': name, file: { driver: 'file', filename: name }, ...more },
];

/** `base` ← `mid` ← `top`, of which each holds a MiB of its own, and an empty `target`. */
const chain: readonly Step[] = [
  open('base'),
  open('mid', { backing: 'base' }),
  open('top', { backing: 'mid' }),
  open('target'),
];
const job = { 'job-id': 'j', device: 'top' };
const copy = { ...job, target: 'target', sync: 'full' };

const failing = (errno: number, sector: number): readonly Step[] => [
  [
    'blockdev-add',
    {
      driver: 'qcow2',
      'node-name': 'target',
      file: {
        driver: 'blkdebug',
        image: { driver: 'file', filename: 'target' },
        'inject-error': [{ event: 'write_aio', errno, sector, once: true }],
      },
    },
  ],
  open('base'),
];

const scripts: Readonly<Record<string, readonly Step[]>> = {
  'a mirror that is completed': [...chain, ['blockdev-mirror', copy], ready, ['job-complete', { id: 'j' }], gone],
  'a mirror that is cancelled when it is ready': [
    ...chain,
    ['blockdev-mirror', copy],
    ready,
    ['block-job-cancel', { device: 'j' }],
    gone,
  ],
  'a mirror that is cancelled by force': [
    ...chain,
    ['blockdev-mirror', copy],
    ready,
    ['block-job-cancel', { device: 'j', force: true }],
    gone,
  ],
  'a write-blocking mirror, job-cancel': [
    ...chain,
    ['blockdev-mirror', { ...copy, 'copy-mode': 'write-blocking' }],
    ready,
    ['job-cancel', { id: 'j' }],
    gone,
  ],
  'a mirror that is paused, finalized and dismissed': [
    ...chain,
    ['blockdev-mirror', { ...copy, 'auto-finalize': false, 'auto-dismiss': false }],
    ready,
    ['job-pause', { id: 'j' }],
    state('standby'),
    ['job-resume', { id: 'j' }],
    state('ready'),
    ['job-complete', { id: 'j' }],
    state('pending'),
    ['job-finalize', { id: 'j' }],
    state('concluded'),
    ['job-dismiss', { id: 'j' }],
    gone,
  ],
  'a mirror of the topmost layer': [
    ...chain,
    ['blockdev-mirror', { ...copy, sync: 'top' }],
    ready,
    ['job-complete', { id: 'j' }],
    gone,
  ],
  'a mirror of what changes': [
    ...chain,
    ['blockdev-mirror', { ...copy, sync: 'none' }],
    ready,
    ['job-complete', { id: 'j' }],
    gone,
  ],
  'a backup of the topmost layer': [...chain, ['blockdev-backup', { ...copy, sync: 'top' }], gone],
  'an active commit': [...chain, ['block-commit', job], ready, ['job-complete', { id: 'j' }], gone],
  'a commit below': [...chain, ['block-commit', { ...job, 'top-node': 'mid' }], gone],
  'a commit below, left pending and cancelled': [
    ...chain,
    ['block-commit', { ...job, 'top-node': 'mid', 'auto-finalize': false }],
    state('pending'),
    ['job-cancel', { id: 'j' }],
    gone,
  ],
  'a stream': [...chain, ['block-stream', job], gone],
  'a stream down to a base': [...chain, ['block-stream', { ...job, 'base-node': 'base' }], gone],
  'a backup': [...chain, ['blockdev-backup', copy], gone],
  'a backup that is finalized': [
    ...chain,
    ['blockdev-backup', { ...copy, 'auto-finalize': false, 'auto-dismiss': false }],
    state('pending'),
    ['block-job-finalize', { id: 'j' }],
    state('concluded'),
    ['block-job-dismiss', { id: 'j' }],
    gone,
  ],
  'a backup that is cancelled': [
    ...chain,
    ['blockdev-backup', { ...copy, sync: 'none' }],
    state('running'),
    ['block-job-cancel', { device: 'j' }],
    gone,
  ],
  'a paused backup that is cancelled': [
    ...chain,
    ['blockdev-backup', { ...copy, speed: 65536 }],
    state('running'),
    ['job-pause', { id: 'j' }],
    state('paused'),
    ['job-cancel', { id: 'j' }],
    gone,
  ],
  'two backups that end together': [
    ...chain,
    ['blockdev-add', { driver: 'null-co', 'node-name': 'other', size: 3 * MiB, 'read-zeroes': true }],
    ['blockdev-add', { driver: 'null-co', 'node-name': 'void', size: 3 * MiB, 'read-zeroes': true }],
    [
      'transaction',
      {
        properties: { 'completion-mode': 'grouped' },
        actions: [
          { type: 'blockdev-backup', data: { ...copy, speed: 8 * MiB } },
          { type: 'blockdev-backup', data: { 'job-id': 'k', device: 'other', target: 'void', sync: 'full', speed: 1 } },
        ],
      },
    ],
    ['job-cancel', { id: 'k' }],
    gone,
  ],
  'a job that fails': [
    ...failing(5, -1),
    [
      'blockdev-backup',
      { 'job-id': 'j', device: 'base', target: 'target', sync: 'full', 'x-perf': { 'max-workers': 1 } },
    ],
    gone,
  ],
  'a job that stops for want of space': [
    ...failing(28, -1),
    [
      'blockdev-backup',
      {
        ...{ 'job-id': 'j', device: 'base', target: 'target', sync: 'full' },
        'on-target-error': 'enospc',
        'x-perf': { 'max-workers': 1 },
      },
    ],
    { event: 'BLOCK_JOB_ERROR' },
    state('paused'),
    ['job-resume', { id: 'j' }],
    gone,
  ],
  'an active commit that is cancelled': [
    ...chain,
    ['block-commit', { ...job, 'auto-dismiss': false }],
    ready,
    ['job-cancel', { id: 'j' }],
    state('concluded'),
    ['job-dismiss', { id: 'j' }],
    gone,
  ],
  'an active commit that is cancelled in the old way': [
    ...chain,
    ['block-commit', job],
    ready,
    ['block-job-cancel', { device: 'j' }],
    gone,
  ],
  'a limited stream that is paused, hurried, and comes to its end': [
    ...chain,
    ['block-stream', { ...job, speed: 65536 }],
    state('running'),
    ['job-pause', { id: 'j' }],
    state('paused'),
    ['block-job-set-speed', { device: 'j', speed: 0 }],
    ['job-resume', { id: 'j' }],
    gone,
  ],
  'a limited commit that is cancelled': [
    ...chain,
    ['block-commit', { ...job, 'top-node': 'mid', speed: 65536 }],
    state('running'),
    ['job-cancel', { id: 'j' }],
    gone,
  ],
  'a stream that meets an error': [
    [
      'blockdev-add',
      {
        driver: 'qcow2',
        'node-name': 'base',
        file: {
          driver: 'blkdebug',
          image: { driver: 'file', filename: 'base' },
          'inject-error': [{ event: 'read_aio', errno: 5, once: true }],
        },
      },
    ],
    open('mid', { backing: 'base' }),
    open('top', { backing: 'mid' }),
    ['block-stream', job],
    gone,
  ],
  'a backup of what a bitmap says, and what is wrong with others': [
    ...chain,
    ['block-dirty-bitmap-add', { node: 'top', name: 'b' }],
    ['blockdev-backup', { ...copy, sync: 'incremental' }],
    ['blockdev-backup', { ...copy, sync: 'incremental', bitmap: 'none' }],
    ['blockdev-backup', { ...copy, sync: 'full', 'bitmap-mode': 'always' }],
    ['blockdev-backup', { ...copy, sync: 'none', bitmap: 'b', 'bitmap-mode': 'always' }],
    ['blockdev-backup', { ...copy, sync: 'incremental', bitmap: 'b' }],
    gone,
    ['blockdev-backup', { ...copy, target: 'top' }],
    ['blockdev-backup', { ...copy, target: 'none' }],
  ],
  'a transaction that fails, and one that does not': [
    ...chain,
    [
      'transaction',
      {
        actions: [
          { type: 'block-dirty-bitmap-add', data: { node: 'top', name: 'b' } },
          { type: 'blockdev-backup', data: copy },
          { type: 'abort', data: {} },
        ],
      },
    ],
    [
      'transaction',
      {
        actions: [
          { type: 'block-dirty-bitmap-add', data: { node: 'top', name: 'b' } },
          { type: 'blockdev-backup', data: copy },
        ],
      },
    ],
    { event: 'BLOCK_JOB_COMPLETED' },
    gone,
  ],
  'what jobs refuse in states that are wrong for it': [
    ...chain,
    ['blockdev-mirror', copy],
    ready,
    ['job-finalize', { id: 'j' }],
    ['job-dismiss', { id: 'j' }],
    ['job-resume', { id: 'j' }],
    ['block-job-resume', { device: 'j' }],
    ['blockdev-mirror', copy],
    ['blockdev-del', { 'node-name': 'target' }],
    ['block_resize', { 'node-name': 'top', size: 8 * MiB }],
    ['job-complete', { id: 'j' }],
    gone,
    ['job-complete', { id: 'j' }],
    ['block-job-complete', { device: 'j' }],
  ],
  'an image that is made': [
    ['blockdev-create', { 'job-id': 'j', options: { driver: 'file', filename: 'new', size: 0 } }],
    state('concluded'),
    ['job-dismiss', { id: 'j' }],
    ['blockdev-add', { driver: 'file', 'node-name': 'new', filename: 'new' }],
    ['blockdev-create', { 'job-id': 'k', options: { driver: 'qcow2', file: 'new', size: MiB } }],
    state('concluded', 'k'),
    ['job-dismiss', { id: 'k' }],
  ],
  'an image that cannot be made': [
    ['blockdev-create', { 'job-id': 'j', options: { driver: 'file', filename: 'no/such/folder', size: 0 } }],
    state('concluded'),
    ['job-dismiss', { id: 'j' }],
  ],
  exports: [
    open('base'),
    ['nbd-server-start', { addr: { type: 'unix', data: { path: 'nbd' } } }],
    ['block-export-add', { type: 'nbd', id: 'a', 'node-name': 'base', name: 'a' }],
    ['block-export-add', { type: 'nbd', id: 'b', 'node-name': 'base', name: 'b', writable: true }],
    ['block-export-add', { type: 'nbd', id: 'a', 'node-name': 'base', name: 'c' }],
    ['nbd-server-add', { device: 'base', name: 'd' }],
    ['block-export-del', { id: 'a' }],
    { event: 'BLOCK_EXPORT_DELETED', data: { id: 'a' } },
    ['nbd-server-remove', { name: 'd' }],
    { event: 'BLOCK_EXPORT_DELETED', data: { id: 'd' } },
    ['nbd-server-stop'],
    { event: 'BLOCK_EXPORT_DELETED', data: { id: 'b' } },
  ],
  'exports that are there at the end': [
    open('base'),
    ['nbd-server-start', { addr: { type: 'unix', data: { path: 'nbd' } } }],
    ['block-export-add', { type: 'nbd', id: 'a', 'node-name': 'base', name: 'a' }],
  ],
  'snapshots, bitmaps, lengths': [
    ...chain,
    ['blockdev-snapshot-internal-sync', { device: 'target', name: 's' }],
    ['blockdev-snapshot-delete-internal-sync', { device: 'target', name: 's' }],
    ['blockdev-snapshot-sync', { 'node-name': 'top', 'snapshot-file': 'over', 'snapshot-node-name': 'over' }],
    ['block_resize', { 'node-name': 'target', size: 8 * MiB }],
    ['block-dirty-bitmap-add', { node: 'target', name: 'b' }],
    ['block-dirty-bitmap-remove', { node: 'target', name: 'b' }],
  ],
  'a job at the end': [...chain, ['blockdev-mirror', { ...copy, speed: 65536 }], state('running')],
};

async function images(dir: string): Promise<void> {
  const at = (name: string): string => path.join(dir, name);
  await img(['create', '-q', '-f', 'qcow2', at('base'), '3M']);
  await img(['create', '-q', '-f', 'qcow2', '-b', 'base', '-F', 'qcow2', at('mid')]);
  await img(['create', '-q', '-f', 'qcow2', '-b', 'mid', '-F', 'qcow2', at('top')]);
  await img(['create', '-q', '-f', 'qcow2', at('target'), '3M']);
  for (const [index, name] of ['base', 'mid', 'top'].entries()) {
    await runProgram('io', ['-c', `write -P ${index + 1} ${index}M 1M`, at(name)]);
  }
}

describe.skipIf(peersFor('qemu-storage-daemon').missing)('beside qemu-storage-daemon', () => {
  const made = tempDirForSuite();
  beforeAll(() => images(made), 60_000);

  test.each(Object.entries(scripts))('%s', { timeout: 120_000 }, async (_, steps) => {
    const run = async (program: 'ours' | 'theirs'): Promise<unknown[]> => {
      const cwd = tempDir();
      fs.cpSync(made, cwd, { recursive: true });
      if (program === 'theirs') return talk(findPeer('qemu-storage-daemon') ?? '', [], cwd, steps);
      const link = path.join(cwd, 'qemu-storage-daemon');
      fs.symlinkSync(programPath('nbd'), link);
      return talk(process.execPath, [link], cwd, steps);
    };
    expect(await run('ours')).toEqual(await run('theirs'));
  });
});
