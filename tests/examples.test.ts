/**
 * The examples of help and man pages, every one of them, as a reader would type them: in a shell, one after the other in
 * a folder that has the files they name. What belongs to a machine (a device, a port, a host) is put in its place here.
 */
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { execa } from 'execa';
import { beforeAll, describe, expect, test } from 'vitest';
import { commandsOf, type Program } from '../src/commands/cli/main.ts';
import type { AnyCommand } from '../src/commands/cli/record.ts';
import { img } from '../src/commands/img/main.ts';
import { ioProgram } from '../src/commands/io/main.ts';
import { nbdProgram } from '../src/commands/nbd/main.ts';
import { imgOutput, programPath, runProgram } from './support/cli.ts';
import { tempDirForSuite } from './support/temp.ts';

const root = tempDirForSuite();
const stage = join(root, 'stage');

/** Words of an example that are another's, and what stands for them in the folder. */
const STAND_INS: readonly (readonly [string, string])[] = [
  ['/dev/sdx', 'sdx.raw'],
  ['/new/place/', ''],
  ['/run/', 'HERE/'],
  ['/tmp/', 'HERE/'],
  ['nbd://host/disk', 'nbd+unix:///disk?socket=host.sock'],
  // Space and time that a test has not got.
  ['disk.raw 100G', 'disk.raw 200M'],
  ['-c 1000000', '-c 2000'],
];

/** Those that end with another status than 0, since that is what they are about. */
const STATUS: Readonly<Record<string, number>> = {
  'img diff yesterday.qcow2 today.qcow2': 1,
  'img diff --output=json -g 64k a.raw b.qcow2': 1,
};

/** Disks of the machine that runs the tests are left alone: kernel-disk.test.ts has what is done with them. */
const KERNEL_DISK = / \/dev\/nbd\d/;

/** Examples of servers, which have to be ended; the others end by themselves. */
const isServer = (line: string) => line.startsWith('nbd ') && !line.startsWith('nbd completion');

/** Where shells look for completions, which the examples put there. */
const COMPLETIONS = ['.local/share/bash-completion/completions', '.zfunc', '.config/fish/completions'];

const shell = { PATH: [join(programPath('img'), '..'), process.env.PATH ?? ''].join(delimiter) };

let checksum = '';

beforeAll(async () => {
  await cp(await makeStage(), stage, { recursive: true });
  checksum = (await imgOutput(['checksum', 'disk.qcow2'], { cwd: stage })).split(/\s/)[0] ?? '';
}, 120_000);

/** Every file that an example reads. */
async function makeStage(): Promise<string> {
  const cwd = await mkdtemp(join(root, 'made-'));
  const files: Readonly<Record<string, string>> = {
    'old.txt': 'old password',
    'new.txt': 'new password',
    'commands.txt': 'read 0 4k\nmap\n',
  };
  for (const folder of COMPLETIONS) await mkdir(join(cwd, folder), { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(join(cwd, name), text);
  await imgOutput(['create', '-q', '-f', 'raw', 'disk.raw', '128M'], { cwd });
  const written = ['-c', 'write -P 7 0 1M', '-c', 'write -P 9 64M 64k'];
  const traced = await runProgram('io', ['--trace', 'disk.jsonl', '-f', 'raw', ...written, 'disk.raw'], { cwd });
  expect(traced, traced.stderr).toMatchObject({ code: 0 });
  for (const name of ['a.raw', 'b.raw', 'sdx.raw', 'scratch.raw', 'base.raw', 'copy.raw', 'upload.img']) {
    await cp(join(cwd, 'disk.raw'), join(cwd, name));
  }
  await imgOutput(['convert', '-f', 'raw', '-O', 'qcow2', 'disk.raw', 'disk.qcow2'], { cwd });
  for (const name of ['a', 'b', 'base', 'new-base', 'yesterday', 'today', 'running', 'upload', 'old', 'copy']) {
    await cp(join(cwd, 'disk.qcow2'), join(cwd, `${name}.qcow2`));
  }
  for (const name of ['overlay', 'top']) {
    await imgOutput(['create', '-q', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', `${name}.qcow2`], { cwd });
  }
  await imgOutput(['bitmap', '--add', 'old.qcow2', 'monday'], { cwd });
  await runProgram('io', ['-f', 'qcow2', '-c', 'write -P 1 3M 64k', 'today.qcow2'], { cwd });
  await runProgram('io', ['-f', 'raw', '-c', 'write -P 1 3M 64k', 'a.raw'], { cwd });
  const secret = ['--object', 'secret,id=old,file=old.txt'];
  await imgOutput(['create', '-q', ...secret, '-f', 'luks', '-o', 'key-secret=old,iter-time=10', 'disk.luks', '1M'], {
    cwd,
  });
  return cwd;
}

function asTyped(line: string, cwd: string): string {
  const here = STAND_INS.reduce((text, [theirs, ours]) => text.replaceAll(theirs, ours), line);
  return here.replaceAll('HERE', cwd).replace(/sha256-tree:\S*/, checksum);
}

/** Run it to its end; of a server, until its sockets are there and one signal more. */
async function perform(line: string, cwd: string): Promise<{ status: number | undefined; output: string }> {
  const typed = asTyped(line, cwd);
  // Ports may be taken, and everybody may connect to them.
  const server = /-k |--nbd-server/.test(typed) ? typed : typed.replace(/^nbd /, `nbd -k ${join(cwd, 'served.sock')} `);
  const command = isServer(line) ? `exec ${server}` : typed;
  const running = execa('bash', ['-c', command], {
    cwd,
    env: { ...shell, HOME: cwd },
    all: true,
    reject: false,
    timeout: 60_000,
  });
  if (isServer(line)) {
    const socket = /(?:-k |addr\.path=)(\S+?\.sock)/.exec(server)?.[1] ?? '';
    while (!existsSync(socket) && running.exitCode === null) await new Promise((wake) => setTimeout(wake, 20));
    running.kill('SIGTERM');
  }
  const { exitCode, all } = await running;
  return { status: exitCode, output: all };
}

interface Named {
  readonly title: string;
  readonly examples: readonly string[];
}

async function examplesOf(program: Program): Promise<Named[]> {
  const subcommands = await Promise.all(Object.values(commandsOf(program)).map((load) => load()));
  const records: readonly AnyCommand[] = [...subcommands, ...(program.alone?.forms ?? [])];
  return records.map(({ name, examples = [] }) => ({
    title: [program.name, name].filter(Boolean).join(' '),
    examples: examples.map(([line]) => line).filter((line) => !KERNEL_DISK.test(line)),
  }));
}

const all = (await Promise.all([img, ioProgram, nbdProgram].map(examplesOf))).flat();

describe('examples', () => {
  test.each(all.filter(({ examples }) => examples.length > 0))(
    'of $title do what they say',
    {
      timeout: 120_000,
    },
    async ({ title, examples }) => {
      const cwd = join(root, title.replaceAll(' ', '-'));
      await cp(stage, cwd, { recursive: true });
      const exported = examples.some((line) => line.includes('nbd://'));
      const stop = exported ? await serve(cwd) : undefined;
      try {
        for (const line of examples) {
          const { status, output } = await perform(line, cwd);
          expect(status, `${line}: ${output}`).toBe(STATUS[line] ?? 0);
          expect(output, line).not.toMatch(/ {4}at /);
        }
      } finally {
        await stop?.();
      }
    },
  );

  test('are there for every command of img that works on images', () => {
    const without = all.filter(({ title, examples }) => title.startsWith('img ') && examples.length === 0);
    expect(without.map(({ title }) => title).sort()).toEqual(['img help']);
  });
});

/** The export that the examples call nbd://host/disk; the result ends it. */
async function serve(cwd: string): Promise<() => Promise<unknown>> {
  const args = ['-x', 'disk', '-t', '-r', '-k', join(cwd, 'host.sock'), '-f', 'raw', 'b.raw'];
  const server = execa(programPath('nbd'), args, { cwd, reject: false });
  while (!existsSync(join(cwd, 'host.sock')) && server.exitCode === null) await new Promise((r) => setTimeout(r, 20));
  return () => {
    server.kill('SIGTERM');
    return server;
  };
}
