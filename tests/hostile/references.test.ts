/** Names in headers (row 4): requests, which `info` and `check` never follow, and others only as far as is allowed. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { programPath } from '../support/cli.ts';
import { makeImage } from '../support/disk.ts';
import { peersFor, runPeer } from '../support/peers.ts';
import { tempDir, tempDirForSuite } from '../support/temp.ts';
import { expectRefused, tryAll } from './commands.ts';
import { type Bases, makeBases, Victim } from './images.ts';
import { ImgServer } from './img-server.ts';

const folder = tempDirForSuite();
let server: ImgServer;
let bases: Bases;
beforeAll(async () => {
  server = await ImgServer.start();
  bases = await makeBases(folder);
});
afterAll(() => server[Symbol.asyncDispose]());

describe('backing names that cannot be', () => {
  const cases: readonly (readonly [string, (victim: Victim) => unknown])[] = [
    ['of 1024 bytes', (v) => v.backing('x'.repeat(1024))],
    ['of 2^32 - 1 bytes', (v) => v.backing('x', 0xffffffff)],
    ['outside the first cluster', (v) => v.u64(8, 65536).u32(16, 10)],
    ['across the end of the first cluster', (v) => v.u64(8, 65530).u32(16, 10)],
    ['at 2^64 - 1', (v) => v.u64(8, -1n).u32(16, 10)],
    ['with a NUL byte', (v) => v.backing('a\0b')],
    ['within the header', (v) => v.u64(8, 8).u32(16, 10)],
  ];
  test.each(cases)('%s', async (name, patch) => {
    const victim = new Victim(bases.plain);
    patch(victim);
    expectRefused(name, await tryAll({ server, folder, image: victim.bytes, name }), /backing/);
  });
});

describe('backing names that ask for something else', () => {
  const names: readonly string[] = [
    'json:{"driver":"file","filename":"/etc/shadow"}',
    'json:{',
    `json:${'['.repeat(900)}`,
    'nbd:127.0.0.1:1',
    'nbd://127.0.0.1:1/',
    'nbd+unix:///?socket=/nowhere',
    '/dev/tty',
    '/dev/zero',
    '/proc/self/mem',
    '../../../../../../etc/hostname',
    'http://169.254.169.254/latest/meta-data',
    'ssh://nowhere/x',
    'file:nowhere',
    'victim.qcow2',
    'name with\nnew line',
    '\x1b[2Jescape',
    'ÿþ\xc3\x28',
  ];
  test.each(names.map((name) => [JSON.stringify(name).slice(0, 60), name]))('%s', async (_title, name) => {
    for (const refs of [undefined, 'none', 'same-dir'] as const) {
      for (const base of ['plain', 'version2'] as const) {
        const victim = new Victim(bases[base]).backing(name);
        const trial = { server, folder, image: victim.bytes, name: `${name} with --refs=${refs}` };
        const outcomes = await tryAll(refs === undefined ? trial : { ...trial, refs });
        expect(outcomes.info.code, outcomes.info.stderr).toBe(0);
        expect([0, 3], outcomes.check.stderr).toContain(outcomes.check.code);
        for (const { stdout, stderr } of Object.values(outcomes)) expect(stdout + stderr).not.toContain('\x1b');
        expect(outcomes.info.stdout).not.toMatch(/^new line/m);
        if (refs === 'none') {
          for (const command of ['map', 'convert', 'compare'] as const) {
            expect(outcomes[command].code, command).not.toBe(0);
            expect(outcomes[command].stderr, command).toMatch(/--refs=none/);
          }
        }
      }
    }
  });
});

test.each([
  [
    'by its driver',
    (file: string) => ({ driver: 'trace', 'trace-file': file, file: { driver: 'null-co', size: 4096 } }),
  ],
  ['by an option', (file: string) => ({ driver: 'null-co', size: 4096, trace: file })],
  ['further down', (file: string) => ({ driver: 'raw', file: { driver: 'null-co', size: 4096, trace: file } })],
])('a backing file that would write a trace, %s', async (how, ask) => {
  const precious = join(tempDir(), 'precious');
  writeFileSync(precious, 'kept');
  const image = new Victim(bases.plain).backing(`json:${JSON.stringify(ask(precious))}`).bytes;
  const outcomes = await tryAll({ server, folder, image, name: how, refs: 'all' });
  expectRefused(how, outcomes, /asks for a trace, which only a user may do/, ['info', 'check']);
  expect(readFileSync(precious, 'utf8')).toBe('kept');
});

describe('chains', () => {
  test('a loop of two', async () => {
    const dir = tempDir();
    writeFileSync(join(dir, 'other.qcow2'), new Victim(bases.plain).backing('victim.qcow2').bytes);
    const image = new Victim(bases.plain).backing('other.qcow2').bytes;
    const outcomes = await tryAll({ server, folder: dir, image, name: 'loop' });
    expectRefused('loop', outcomes, /loop|itself|cycle|lock/i, ['info', 'check']);
    const { code, stderr } = await server.run(['info', '--backing-chain', join(dir, 'victim.qcow2')]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/loop/);
  });

  test('of 10000 images', async () => {
    const dir = join(tempDir(), 'chain');
    mkdirSync(dir);
    await makeImage('qcow2', join(dir, 'small'), { size: 512, cluster_size: 512 });
    const small = readFileSync(join(dir, 'small'));
    // The names are put where the feature names were.
    for (let index = 0; index < 10_000; index++) {
      const victim = new Victim(small).extend();
      victim
        .text(400, String(index + 1))
        .u64(8, 400)
        .u32(16, String(index + 1).length);
      writeFileSync(join(dir, String(index)), victim.bytes);
    }
    const image = readFileSync(join(dir, '0'));
    const outcomes = await tryAll({ server, folder: dir, image, name: 'long chain' });
    expectRefused('long chain', outcomes, /chain|longer|deep/i, ['info', 'check']);
    const { code, cpu } = await server.run(['info', '--backing-chain', join(dir, 'victim.qcow2')]);
    expect(code).toBe(1);
    expect(cpu).toBeLessThan(10_000);
  });
});

describe.skipIf(peersFor('strace').missing)('what is opened', () => {
  /** Paths that a command opened, as the kernel saw it. */
  async function opened(args: readonly string[]): Promise<string> {
    const log = join(folder, 'strace.log');
    const words = ['-f', '-qq', '-e', 'trace=open,openat,openat2,connect,execve', '-o', log];
    await runPeer('strace', [...words, process.execPath, programPath('img'), ...args], { timeout: 60_000 });
    return readFileSync(log, 'latin1');
  }

  test.each(['info', 'check'])('img %s opens no backing file and no data file', async (command) => {
    for (const name of ['overlay', 'data-file'] as const) {
      const log = await opened([command, join(folder, `${name}.qcow2`)]);
      expect(log).toMatch(new RegExp(`${name}\\.qcow2"`));
      expect(log).not.toMatch(/base\.raw|data\.raw/);
    }
  });

  test.each(['map', 'compare', 'convert'])('img %s opens neither with --refs=none', async (command) => {
    for (const name of ['overlay', 'data-file'] as const) {
      const image = join(folder, `${name}.qcow2`);
      const others = command === 'map' ? [] : [command === 'compare' ? image : join(folder, 'target.raw')];
      const log = await opened([command, '--refs=none', image, ...others]);
      expect(log).toMatch(new RegExp(`${name}\\.qcow2"`));
      expect(log).not.toMatch(/base\.raw|data\.raw/);
    }
  });
});
