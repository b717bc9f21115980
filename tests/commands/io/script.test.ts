/** Scripts on standard input, as the built program runs them. */
import { spawn } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { programPath, runProgram } from '../../support/cli.ts';
import { peersFor, runPeer } from '../../support/peers.ts';
import { tempDir } from '../../support/temp.ts';

function disk(): string {
  const file = join(tempDir(), 'a.raw');
  writeFileSync(file, '');
  truncateSync(file, 1 << 20);
  return file;
}

const script = (input: string | Uint8Array, file = disk()) => runProgram('io', ['-f', 'raw', file], { input });

describe('a script', () => {
  test('has a prompt before each line, and one at the end', async () => {
    expect(await script('length\n\n  \nlength')).toMatchObject({
      code: 0,
      stdout: 'io> 1 MiB\nio> io> io> 1 MiB\nio> ',
      stderr: '',
    });
  });

  test('ends at quit', async () => {
    expect(await script('quit\nlength\n')).toMatchObject({ code: 0, stdout: 'io> ' });
  });

  test('goes on after errors and ends with 1', async () => {
    expect(await script('foo\nread\nread 2M 1\nlength\n')).toMatchObject({
      code: 1,
      stdout: 'io> io> io> read failed: Input/output error\nio> 1 MiB\nio> ',
      stderr: 'command "foo" not found\nbad argument count 0 to read, expected at least 2 arguments\n',
    });
  });

  test('may hold NULs and lines of any length: each costs one line', async () => {
    const long = Buffer.alloc(10 << 20, 'x');
    const input = Buffer.concat([Buffer.from('a\0b\n'), long, Buffer.from('\nlength\n'), long]);
    const { code, stdout, stderr } = await script(input);
    expect({ code, stdout }).toEqual({ code: 1, stdout: 'io> io> io> 1 MiB\nio> io> ' });
    expect(stderr).toBe(
      'io: line 1 holds a NUL byte\nio: line 2 is longer than 1048576 bytes\nio: line 4 is longer than 1048576 bytes\n',
    );
  });

  test('may be rubbish', async () => {
    const rubbish = Buffer.from(Array.from({ length: 50_000 }, (_, index) => (index * index * 7919) % 251));
    const { code, stderr } = await script(Buffer.concat([rubbish, Buffer.from('\nlength\n')]));
    expect(code).toBe(1);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
    expect(stderr).not.toMatch(/[\x00-\x09\x0b-\x1f]|internal error/);
  });

  test('may be empty, and standard input may be closed', async () => {
    expect(await script('')).toMatchObject({ code: 0, stdout: 'io> ' });
    const { exitCode, stdout } = await execa('sh', ['-c', `${process.execPath} ${programPath('io')} <&-`]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: 'io> ' });
  });

  test('is answered line by line when a program talks to it', async () => {
    const child = spawn(process.execPath, [programPath('io'), '-f', 'raw', disk()]);
    let text = '';
    child.stdout.on('data', (piece: Buffer) => {
      text += piece.toString();
    });
    const until = (wanted: RegExp): Promise<void> => expect.poll(() => text).toMatch(wanted);
    await until(/^io> $/);
    child.stdin.write('length\n');
    await until(/^io> 1 MiB\nio> $/);
    // What ends while nothing is typed is told at once.
    child.stdin.write('aio_write 0 512\n');
    await until(/io> [\s\S]*wrote 512\/512 bytes at offset 0\n512 bytes, 1 ops;.*\n/);
    child.stdin.end('quit\n');
    expect(await new Promise((done) => child.on('exit', done))).toBe(0);
  });

  test('an interrupt ends the program while it waits for input, and while it sleeps', async () => {
    for (const line of ['length\n', 'sleep 100000\n']) {
      const child = spawn(process.execPath, [programPath('io'), '-f', 'raw', disk()]);
      child.stdin.write(line);
      await new Promise((seen) => child.stdout.once('data', seen));
      await new Promise((wake) => setTimeout(wake, 200));
      child.kill('SIGINT');
      expect(await new Promise((done) => child.on('exit', done))).toBe(130);
    }
  });

  test('signals that it raises have their usual effect', async () => {
    expect(await runProgram('io', ['-c', 'sleep 0', '-c', 'sigraise 9'])).toMatchObject({ signal: 'SIGKILL' });
    expect(await runProgram('io', ['-c', 'sigraise 15'])).toMatchObject({ signal: 'SIGTERM' });
  });
});

describe.skipIf(peersFor('qemu-io').missing)('a script beside qemu-io', () => {
  test('gives the same output, prompts included', async () => {
    const lines = [
      'read -P 0 0 4k',
      'foo',
      'write -q 0 512',
      'read -v 0 16',
      'read',
      'aio_write -q 0 1',
      'aio_flush',
      'map',
    ];
    const input = `${lines.join('\n')}\n`;
    const ours = await runProgram('io', ['-f', 'raw', disk()], { input, calledAs: 'qemu-io' });
    const theirs = await runPeer('qemu-io', ['-f', 'raw', disk()], { input });
    const scrubbed = (text: string) => text.replace(/\d\d\.\d\d sec \(.*\)/g, 'RATE');
    expect({ ...ours, stdout: scrubbed(ours.stdout) }).toMatchObject({
      code: theirs.code,
      stdout: scrubbed(theirs.stdout),
      stderr: theirs.stderr,
    });
  });
});
