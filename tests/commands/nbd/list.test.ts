/** `nbd --list` against what qemu-nbd prints, and against servers of any kind. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { run } from '../../../src/commands/nbd/main.ts';
import { Option, OptionReply } from '../../../src/core/nbd/index.ts';
import { startNbdkit, startQemuNbd } from '../../support/nbd-servers.ts';
import { peerOutput, peersFor } from '../../support/peers.ts';
import { optionReply, scriptedServer } from '../../support/scripted-nbd.ts';
import { tempDir } from '../../support/temp.ts';

async function list(...args: string[]) {
  const text = { stdout: '', stderr: '' };
  const output = (name: 'stdout' | 'stderr') => ({
    isTTY: false,
    columns: 80,
    closed: false,
    write: (piece: string | Uint8Array) => {
      text[name] += piece.toString();
    },
  });
  const io = {
    programName: 'nbd',
    stdout: output('stdout'),
    stderr: output('stderr'),
    env: {},
    signal: new AbortController().signal,
    onUsr1: () => () => undefined,
  };
  const code = await run(['--list', ...args], io);
  return { code, ...text };
}

describe.skipIf(peersFor('qemu-nbd', 'nbdkit').missing)('--list', () => {
  function disk(): string {
    const file = join(tempDir(), 'disk');
    writeFileSync(file, Buffer.alloc(1 << 20));
    return file;
  }

  /** Older versions do not tell of the size of transactions. */
  const comparable = (text: string) => text.replace(/ {2}transaction size: .*\n/g, '');

  test.each([
    [['-f', 'raw']],
    [['-r', '-e', '3', '-x', 'name', '-D', 'what it is', '-f', 'raw']],
    [['-A', '-f', 'raw']],
  ])('prints what qemu-nbd prints: %s', async (options) => {
    const server = await startQemuNbd([...options, disk()]);
    const { code, stdout } = await list('-k', server.socket);
    expect(code).toBe(0);
    expect(comparable(stdout)).toBe(comparable(await peerOutput('qemu-nbd', ['-L', '-k', server.socket])));
    expect(stdout).toContain('  transaction size: ');
  });

  test('takes a URI, and prints JSON', async () => {
    const server = await startQemuNbd(['-x', 'n', '-f', 'raw', disk()]);
    const { stdout } = await list('--output=json', server.uri('other'));
    expect(JSON.parse(stdout)).toMatchObject([
      { name: 'n', size: 1 << 20, 'min-block': 1, 'opt-block': 4096, 'meta-contexts': ['base:allocation'] },
    ]);
  });

  test('a server with several exports, and one of the old style', async () => {
    const dir = tempDir();
    for (const name of ['a', 'b']) writeFileSync(join(dir, name), Buffer.alloc(512));
    const several = await startNbdkit(['file', `dir=${dir}`]);
    expect((await list('-k', several.socket)).stdout).toMatch(
      /^exports available: 2\n export: '[ab]'\n(.*\n)+ export: '[ab]'\n/,
    );
    const old = await startNbdkit(['-o', 'memory', '1M']);
    expect((await list('-k', old.socket)).stdout).toMatch(/^exports available: 1\n export: ''\n {2}size: {2}1048576\n/);
  });
});

test('names with characters of terminals are shown harmless', async () => {
  const name = Buffer.from('\u001b[2J');
  const server = await scriptedServer({
    option: (option) =>
      option === Option.LIST
        ? Buffer.concat([
            optionReply(option, OptionReply.SERVER, Buffer.concat([Buffer.from([0, 0, 0, name.length]), name])),
            optionReply(option, OptionReply.ACK),
          ])
        : undefined,
  });
  const { code, stdout } = await list('-k', server.socket);
  expect(code).toBe(0);
  expect(stdout).toContain(" export: '\\x1b[2J'\n");
});

test('a server that is not there is one line', async () => {
  const { code, stderr } = await list('-k', join(tempDir(), 'none'));
  expect(code).toBe(1);
  expect(stderr).toMatch(/^nbd: Failed to connect to '.*none': No such file or directory\n$/);
});

test('an address is given once', async () => {
  expect((await list('-k', '/x', 'nbd://localhost')).stderr).toMatch(/takes a URI, or an address/);
});
