/**
 * Jobs under load: fio writes to an export, reads it back and verifies every block, while each kind of job runs to its
 * end (limited, paused, resumed, limited otherwise), is cancelled, or dies with the program. The data is right on every
 * path, and the images are sound for us and for qemu-img. BLOCKYARD_ROUNDS multiplies the load.
 */
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { imgOutput, runProgram } from '../support/cli.ts';
import { peerOutput, peersFor, qemuImg, runPeer } from '../support/peers.ts';
import { StorageDaemon } from '../support/storage-daemon.ts';
import { tempDir } from '../support/temp.ts';

const MiB = 1024 * 1024;
const SIZE = 16 * MiB;
/** The first part is written once, and must be there to the end; the rest is written to all the time. */
const KEPT = 4 * MiB;
const LOAD = 6 * MiB * Math.max(1, Number(process.env.BLOCKYARD_ROUNDS ?? 1));
/** Bytes per second: a job is to be under way still after all that clients do meanwhile, also where the machine is busy. */
const SLOW = 128 * 1024;

type Daemon = StorageDaemon;

interface Work {
  readonly name: string;
  /** The job, named `j`, at a low speed. */
  start(daemon: Daemon, dir: string): Promise<void>;
  /** It is ready before its end. */
  readonly ready: boolean;
  /** Files that show the disk afterwards, the first being the one that the export stands on. */
  readonly after: readonly string[];
}

async function newImage(daemon: Daemon, dir: string): Promise<void> {
  const filename = path.join(dir, 'new');
  const make = async (id: string, options: object): Promise<void> => {
    await daemon.run('blockdev-create', { 'job-id': id, options });
    await daemon.reached(id, 'concluded');
    await daemon.run('job-dismiss', { id });
  };
  await make('file', { driver: 'file', filename, size: 0 });
  await daemon.run('blockdev-add', { driver: 'file', 'node-name': 'new-file', filename });
  await make('image', { driver: 'qcow2', file: 'new-file', size: SIZE });
  await daemon.run('blockdev-add', { driver: 'qcow2', 'node-name': 'new', file: 'new-file', discard: 'unmap' });
}

const mirror = (copyMode: 'background' | 'write-blocking') => async (daemon: Daemon, dir: string) => {
  await newImage(daemon, dir);
  const common = { 'job-id': 'j', device: 'top', target: 'new', sync: 'full', speed: SLOW };
  await daemon.run('blockdev-mirror', { ...common, 'copy-mode': copyMode });
};

const run = (command: string, args: object) => async (daemon: Daemon) => {
  await daemon.run(command, { 'job-id': 'j', device: 'top', speed: SLOW, ...args });
};

const works: readonly Work[] = [
  { name: 'mirror in the background', start: mirror('background'), ready: true, after: ['new'] },
  { name: 'mirror that blocks writes', start: mirror('write-blocking'), ready: true, after: ['new'] },
  { name: 'active commit', start: run('block-commit', { 'base-node': 'base' }), ready: true, after: ['base'] },
  {
    name: 'commit of a layer between',
    start: run('block-commit', { 'top-node': 'mid', 'base-node': 'base' }),
    ready: false,
    after: ['top', 'base'],
  },
  { name: 'stream of everything', start: run('block-stream', {}), ready: false, after: ['top'] },
  {
    name: 'stream above a base',
    start: run('block-stream', { 'base-node': 'base' }),
    ready: false,
    after: ['top', 'base'],
  },
  {
    name: 'stream into a layer between',
    start: run('block-stream', { device: 'mid' }),
    ready: false,
    after: ['top', 'mid'],
  },
  {
    name: 'backup',
    async start(daemon, dir) {
      await newImage(daemon, dir);
      await daemon.run('blockdev-backup', { 'job-id': 'j', device: 'top', target: 'new', sync: 'full', speed: SLOW });
    },
    ready: false,
    after: ['top', 'mid', 'base'],
  },
];

const node = (dir: string, names: readonly string[]): object => {
  const [name = '', ...below] = names;
  const file = { driver: 'file', filename: path.join(dir, name) };
  return {
    driver: 'qcow2',
    'node-name': name,
    file,
    'read-only': false,
    discard: 'unmap',
    ...(below.length > 0 ? { backing: node(dir, below) } : {}),
  };
};

async function served(dir: string): Promise<Daemon> {
  const layers = ['base', 'mid', 'top'];
  for (const [index, name] of layers.entries()) {
    const below = index === 0 ? [] : ['-b', path.join(dir, layers[index - 1] ?? ''), '-F', 'qcow2'];
    const file = path.join(dir, name);
    await qemuImg(['create', '-q', '-f', 'qcow2', ...below, file, String(SIZE)]);
    const writes = [`write -P ${index + 1} ${4 + index * 3}M 4M`, `write -z ${5 + index}M 64k`];
    await peerOutput('qemu-io', ['-f', 'qcow2', ...writes.flatMap((each) => ['-c', each]), file]);
  }
  return serve(dir, layers.reverse());
}

async function serve(dir: string, layers: readonly string[]): Promise<Daemon> {
  const daemon = await StorageDaemon.start(dir, [
    ...['--blockdev', JSON.stringify(node(dir, layers))],
    ...['--export', `nbd,id=e,node-name=${layers[0]},name=disk,writable=on`],
  ]);
  return daemon;
}

async function fio(daemon: Daemon, dir: string, args: readonly string[]): Promise<void> {
  const common = [
    '--name=load',
    '--ioengine=nbd',
    `--uri=${daemon.uri('disk')}`,
    '--verify=crc32c',
    '--verify_fatal=1',
  ];
  const { code, stdout, stderr } = await runPeer('fio', [...common, '--output-format=terse', ...args], { cwd: dir });
  if (code !== 0 || /verify|error/i.test(stderr)) throw new Error(`fio ended with status ${code}: ${stderr}${stdout}`);
}

/** What is written once and must be there whatever happens. */
const keep = (daemon: Daemon, dir: string, more: readonly string[] = ['--end_fsync=1']): Promise<void> =>
  fio(daemon, dir, ['--rw=randwrite', '--bs=16k', `--size=${KEPT}`, '--randseed=7', ...more]);

let round = 0;
const load = (daemon: Daemon, dir: string): Promise<void> =>
  fio(daemon, dir, [
    ...['--rw=randrw', '--bsrange=4k-64k', '--bs_unaligned=0', '--iodepth=8', '--verify_backlog=64'],
    ...[`--offset=${KEPT}`, `--size=${SIZE - KEPT}`, `--io_size=${LOAD}`, `--randseed=${++round}`],
  ]);

async function sound(dir: string, names: readonly string[], leaksAllowed = false): Promise<void> {
  for (const name of names) {
    const file = path.join(dir, name);
    const ours = await runProgram('img', ['check', '-f', 'qcow2', file]);
    const theirs = await runPeer('qemu-img', ['check', '-f', 'qcow2', file]);
    for (const { code, stdout } of [ours, theirs]) {
      expect(code === 3 && leaksAllowed ? 0 : code, `${name}: ${stdout}`).toBe(0);
    }
  }
}

/** The disk as clients see it. */
async function shown(daemon: Daemon, dir: string, name: string): Promise<string> {
  const file = path.join(dir, name);
  await qemuImg(['convert', '-f', 'raw', '-O', 'raw', daemon.uri('disk'), file]);
  return file;
}

const compare = (raw: string, image: string) =>
  peerOutput('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', raw, image]);

const missing = peersFor('qemu-img', 'qemu-io', 'fio').missing;

describe.skipIf(missing).each(works)('$name, the disk being written to', ({ name, start, ready, after }) => {
  const TIME = { timeout: 120_000 };

  test('is limited, paused, resumed, and comes to its end', TIME, async () => {
    const dir = tempDir();
    const daemon = await served(dir);
    await keep(daemon, dir);
    const before = await shown(daemon, dir, 'before');
    await start(daemon, dir);
    await load(daemon, dir);
    await daemon.run('job-pause', { id: 'j' });
    await daemon.reached('j', 'paused');
    const [paused] = await daemon.run<{ 'current-progress': number }[]>('query-jobs');
    await load(daemon, dir);
    const [still] = await daemon.run<{ 'current-progress': number }[]>('query-jobs');
    // A backup goes forward with every write that it saves the old data for.
    if (name !== 'backup') expect(still?.['current-progress']).toBe(paused?.['current-progress']);
    await daemon.run('job-resume', { id: 'j' });
    const loading = load(daemon, dir);
    await daemon.run('block-job-set-speed', { device: 'j', speed: 0 });
    if (ready) {
      await daemon.event('BLOCK_JOB_READY');
      await daemon.run('job-complete', { id: 'j' });
    }
    const { data } = await daemon.event('BLOCK_JOB_COMPLETED');
    expect(data).not.toHaveProperty('error');
    await loading;
    await load(daemon, dir);
    await keep(daemon, dir, ['--verify_only']);
    const now = await shown(daemon, dir, 'now');
    await daemon.quit();
    const [top = ''] = after;
    await compare(now, path.join(dir, top));
    if (name === 'backup') await compare(before, path.join(dir, 'new'));
    await sound(dir, name === 'backup' ? [...after, 'new'] : after);
  });

  test('is cancelled', TIME, async () => {
    const dir = tempDir();
    const daemon = await served(dir);
    await keep(daemon, dir);
    await start(daemon, dir);
    const loading = load(daemon, dir);
    await new Promise((resolve) => setTimeout(resolve, 200));
    await daemon.run('job-cancel', { id: 'j' });
    await daemon.event('BLOCK_JOB_CANCELLED');
    await loading;
    await load(daemon, dir);
    await keep(daemon, dir, ['--verify_only']);
    const nodes = await daemon.run<{ drv: string }[]>('query-named-block-nodes', { flat: true });
    expect(nodes.filter(({ drv }) => drv !== 'file' && drv !== 'qcow2')).toEqual([]);
    const now = await shown(daemon, dir, 'now');
    await daemon.quit();
    await compare(now, path.join(dir, 'top'));
    await sound(dir, ['top', 'mid', 'base']);
  });

  test('dies with the program', TIME, async () => {
    const dir = tempDir();
    const daemon = await served(dir);
    await keep(daemon, dir);
    await start(daemon, dir);
    const loading = load(daemon, dir).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 250));
    await daemon.running.end('SIGKILL');
    await loading;
    await sound(dir, ['top', 'mid', 'base'], true);
    await imgOutput(['check', '-q', '-r', 'leaks', '-f', 'qcow2', path.join(dir, 'top')]);
    const again = await serve(dir, ['top', 'mid', 'base']);
    await keep(again, dir, ['--verify_only']);
    await again.quit();
  });
});
