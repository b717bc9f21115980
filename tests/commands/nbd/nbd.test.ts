/** The program: what it refuses, how it starts and how it ends. */
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { programPath, runProgram } from '../../support/cli.ts';
import { imgHereOutput } from '../../support/img-here.ts';
import { startNbd } from '../../support/nbd-program.ts';
import { RawClient, requestBytes } from '../../support/nbd-raw-client.ts';
import { peersFor, runPeer } from '../../support/peers.ts';
import { tempDir } from '../../support/temp.ts';
import { type Running, start } from '../../support/tracked-child.ts';

function rawDisk(folder = tempDir()): string {
  const path = join(folder, 'disk.raw');
  writeFileSync(path, Buffer.alloc(1 << 20, 1));
  return path;
}

describe('nbd refuses in one line', () => {
  test.each([
    ['no image', [], 'an image is missing: FILE or --export name=NAME,file=FILE'],
    ['a relative socket', ['-k', 'rel', 'x'], "socket path 'rel' is not absolute"],
    ['a bad number', ['-p', '70000', 'x'], "expects a whole number from 0 to 65535, not '70000'"],
    ['an image that is not there', ['-k', '/tmp/never', '/no/such'], "Could not open '/no/such'"],
    ['an export without a file', ['--export', 'name=a'], "an export needs the option 'file'"],
    [
      'an overlay on a snapshot',
      ['-k', '/tmp/never', '--export', 'file=x,snapshot=on,load-snapshot=s'],
      '--export: an export cannot have both snapshot and load-snapshot',
    ],
    [
      'two exports of one name',
      ['--export', 'name=a,file=x', '--export', 'name=a,file=y'],
      "two exports have the name 'a'",
    ],
    ['a device that is not there', ['-c', '/dev/nbd99', 'x'], "'/dev/nbd99' is not there"],
    [
      'a socket in a folder that is not there',
      ['-k', '/no/such/s', '-f', 'raw', '/dev/null'],
      "'/no/such/s': No such file",
    ],
    ['a host that is not there', ['-b', 'no.such.invalid', '-p', '0', '-f', 'raw', '/dev/null'], 'no.such.invalid:0: '],
    ['an address of others', ['-b', '192.0.2.1', '-p', '0', '-f', 'raw', '/dev/null'], 'none of this machine'],
    ['two images', ['-k', '/tmp/never', 'x', 'y'], "unexpected argument 'y': this takes FILE"],
    ['no disk to take off', ['-d'], 'the disk to take off is missing'],
    [
      'several images for one disk',
      ['-c', '/dev/nbd99', '--export', 'name=a,file=x', '--export', 'file=y'],
      'FILE says',
    ],
    ['a label for TCP', ['--selinux-label', 'l', 'x'], "is for Unix sockets and needs '--socket' or '--connect'"],
    ['a label for what others listen on', ['-L', '-k', '/s', '--selinux-label', 'l'], 'cannot be used together'],
    ['an empty label', ['--selinux-label', '', '-k', '/tmp/never', '-f', 'raw', '/dev/null'], "'' is no SELinux label"],
    ['an authorisation without TLS', ['--tls-authz', 'a', 'x'], 'tls-creds'],
    ['a list with an image', ['-L', 'x'], 'names no NBD export'],
  ])('%s', async (_, args, message) => {
    const { code, stdout, stderr } = await runProgram('nbd', args);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr.toLowerCase()).toContain(message.toLowerCase());
    expect(stderr.trim().split('\n').length).toBe(1);
  });

  test.each([
    ['--cache=none', '--cache=writeback'],
    ['-n', '-n'],
    ['--aio=threads', '--aio=threads'],
    ['--discard=unmap', '--discard=ignore'],
  ])('%s %s: what may be given once', async (first, second) => {
    const args = ['-k', '/nowhere/s', '-f', 'raw', first, second, '/dev/null'];
    const ours = await runProgram('nbd', args);
    const name = first.replace(/=.*/, '');
    expect(ours.stderr).toBe(`nbd: option '${name}' can be given only once\n`);
    expect(ours.code).toBe(1);
    if (peersFor('qemu-nbd').missing) return;
    const theirs = await runPeer('qemu-nbd', args);
    expect(theirs.stderr).toContain('can only be specified once');
    expect(theirs.code).toBe(1);
  });

  test('--detect-zeroes=unmap without --discard=unmap, which may come later', async () => {
    const file = rawDisk();
    const args = ['-f', 'raw', '--detect-zeroes=unmap', file];
    const { code, stderr } = await runProgram('nbd', ['-k', join(tempDir(), 's'), ...args]);
    expect(stderr).toBe(`nbd: Could not open '${file}': detect-zeroes=unmap needs discard=unmap\n`);
    expect(code).toBe(1);
    const server = await startNbd(['--discard=unmap', ...args]);
    expect((await server.end('SIGTERM')).code).toBe(0);
    const other = await startNbd(['--detect-zeroes=unmap', '--discard=unmap', '-f', 'raw', file]);
    expect((await other.end('SIGTERM')).code).toBe(0);
  });

  test('a bitmap that is not there', async () => {
    const { code, stderr } = await runProgram('nbd', ['-f', 'raw', '-B', 'b', '-k', join(tempDir(), 's'), rawDisk()]);
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining("there is no dirty bitmap 'b'") });
  });
});

describe('nbd ends', () => {
  test('when its client leaves, unless it is persistent', async () => {
    const server = await startNbd(['-f', 'raw', rawDisk()]);
    const looker = await RawClient.open(server.socket);
    await looker.greet();
    await looker.option(2);
    const client = await RawClient.open(server.socket);
    await client.go('', 'simple');
    client.socket.write(requestBytes({ command: 2 }));
    expect(await server.ended()).toEqual({ code: 0, signal: null });
    expect(existsSync(server.socket)).toBe(false);
  });

  test('on SIGTERM with all that was written in place, the socket and the pid file gone', async () => {
    const disk = rawDisk();
    const pidFile = join(tempDir(), 'pid');
    const server = await startNbd(['-t', '-f', 'raw', '--pid-file', pidFile, '--log=json', disk]);
    const client = await RawClient.open(server.socket);
    await client.go('', 'structured');
    await expect.poll(() => readFileSync(pidFile, 'utf8')).toBe(`${server.child.pid}\n`);
    client.socket.write(requestBytes({ command: 1, data: Buffer.alloc(512, 7) }));
    expect((await client.reply()).error).toBe(0);
    expect(await server.end('SIGTERM')).toEqual({ code: 0, signal: null });
    await client.closed();
    expect(
      readFileSync(disk)
        .subarray(0, 512)
        .every((byte) => byte === 7),
    ).toBe(true);
    expect([existsSync(server.socket), existsSync(pidFile)]).toEqual([false, false]);
    const events = server
      .output()
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { event: string }).event);
    expect(events).toEqual(['listening', 'connected', 'serving', 'stopping', 'disconnected']);
  });

  test("and a pid file is one server's, but not that of one which was killed", async () => {
    const pidFile = join(tempDir(), 'pid');
    const args = ['-t', '-f', 'raw', '--pid-file', pidFile];
    // The number of a process that runs, and has nothing to do with it.
    writeFileSync(pidFile, `${process.pid}\nand more than fits\n`);
    const server = await startNbd([...args, rawDisk()]);
    // It is written when the server can be reached.
    const holds = ({ child }: Running) => expect.poll(() => readFileSync(pidFile, 'utf8')).toBe(`${child.pid}\n`);
    await holds(server);
    const second = await runProgram('nbd', ['-k', join(tempDir(), 's'), ...args, rawDisk()]);
    const why = `it belongs to process ${server.child.pid}, which is running`;
    expect(second).toMatchObject({ code: 1, stderr: `nbd: cannot write pid file '${pidFile}': ${why}\n` });
    await server.end('SIGKILL');
    const third = await startNbd([...args, rawDisk()]);
    await holds(third);
    expect(await third.end('SIGTERM')).toEqual({ code: 0, signal: null });
    expect(existsSync(pidFile)).toBe(false);
  });

  test('after an idle time', async () => {
    const server = await startNbd(['-t', '--idle-exit', '1', '-f', 'raw', rawDisk()]);
    expect(await server.ended()).toEqual({ code: 0, signal: null });
  });
});

test('--export tells of one bitmap or of several', async () => {
  const disk = join(tempDir(), 'disk.qcow2');
  await imgHereOutput(['create', '-q', '-f', 'qcow2', disk, '1M']);
  for (const bitmap of ['b0', 'b1']) await imgHereOutput(['bitmap', '--add', disk, bitmap]);
  const server = await startNbd([
    ...['-t', '--export', `name=one,file=${disk},bitmap=b1,read-only=on`],
    ...['--export', `name=both,file=${disk},bitmap.0=b0,bitmap.1=b1,read-only=on`],
  ]);
  const list = await runProgram('nbd', ['-L', '--output=json', '-k', server.socket]);
  const exports = JSON.parse(list.stdout) as { 'meta-contexts': string[] }[];
  const [b0, b1] = ['b0', 'b1'].map((name) => `qemu:dirty-bitmap:${name}`);
  expect(exports.map((each) => each['meta-contexts'].slice(1))).toEqual([[b1], [b0, b1]]);
});

test('-s lets writes go nowhere', async () => {
  const disk = rawDisk();
  const server = await startNbd(['-s', '-f', 'raw', disk]);
  const client = await RawClient.open(server.socket);
  await client.go('', 'simple');
  client.socket.write(requestBytes({ command: 1, data: Buffer.alloc(512, 7) }));
  expect((await client.reply()).error).toBe(0);
  client.socket.write(requestBytes({ command: 0, length: 512 }));
  expect((await client.reply(512)).chunks[0]?.payload[0]).toBe(7);
  await server.end('SIGTERM');
  expect(readFileSync(disk)[0]).toBe(1);
});

test('clients over --shared wait in line, those over --max-connections are turned away', async () => {
  const server = await startNbd(['-t', '-e', '1', '--max-connections', '2', '-f', 'raw', '-o', '512', rawDisk()]);
  const first = await RawClient.open(server.socket);
  await first.go('', 'simple');
  const second = await RawClient.open(server.socket);
  const third = await RawClient.open(server.socket);
  await third.closed();
  first.end();
  const info = (await second.greet()) && (await second.option(1 << 30));
  expect(info).toHaveLength(1);
  second.end();
});

test('--fork returns when clients can connect', async () => {
  const folder = tempDir();
  const socket = join(mkdtempSync(join(folder, 'f')), 's');
  const pidFile = join(folder, 'pid');
  const disk = rawDisk();
  const { code, stderr } = await runProgram('nbd', ['--fork', '--pid-file', pidFile, '-f', 'raw', '-k', socket, disk]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const client = await RawClient.open(socket);
  await client.go('', 'simple');
  client.socket.write(requestBytes({ command: 2 }));
  await client.closed();
  await expect.poll(() => existsSync(pidFile)).toBe(false);
  const failed = await runProgram('nbd', ['--fork', '-k', socket, join(folder, 'none')]);
  expect({ code: failed.code, stderr: failed.stderr }).toEqual({ code: 1, stderr: expect.stringContaining('none') });
});

test('socket activation serves on the descriptor it is given', async () => {
  const portFile = join(tempDir(), 'port');
  const launcher = `
    const server = require('node:net').createServer().listen(0, '127.0.0.1', () => {
      const script = 'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"';
      const args = ['-c', script, 'sh', process.execPath, ...process.argv.slice(1)];
      const stdio = ['ignore', 'inherit', 'inherit', server._handle.fd];
      const child = require('node:child_process').spawn('/bin/sh', args, { stdio });
      child.on('exit', (code) => process.exit(code));
      const { port } = server.address();
      server.close(); // the child has it now
      require('node:fs').writeFileSync(${JSON.stringify(portFile)}, String(port));
    });`;
  const running = start(process.execPath, ['-e', launcher, programPath('nbd'), '-f', 'raw', rawDisk()]);
  const port = (): number => (existsSync(portFile) ? Number(readFileSync(portFile, 'utf8')) : 0);
  await expect.poll(port).toBeGreaterThan(0);
  const client = await RawClient.open(port());
  await client.go('', 'simple');
  client.socket.write(requestBytes({ command: 2 }));
  expect(await running.ended()).toEqual({ code: 0, signal: null });
});
