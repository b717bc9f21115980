/** Signals for the real programs while they wait for what may never come. */

import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { imgOutput, programPath } from '../../support/cli.ts';
import { tempDir } from '../../support/temp.ts';
import { start, until } from '../../support/tracked-child.ts';

/** The child has opened `file`. */
function holds(pid: number | undefined, file: string): boolean {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).some((fd) => {
    try {
      return readlinkSync(join(folder, fd)) === file;
    } catch {
      return false; // closed meanwhile
    }
  });
}

describe('a password from a pipe that nobody writes to', () => {
  async function waiting() {
    const folder = tempDir();
    const pipe = join(folder, 'pipe');
    const disk = join(folder, 'disk.qcow2');
    await execa('mkfifo', [pipe]);
    await imgOutput(['create', '-q', '-f', 'qcow2', disk, '1M']);
    const running = start(process.execPath, [programPath('img'), 'info', '--object', `secret,id=s,file=${pipe}`, disk]);
    await until(
      () => holds(running.child.pid, pipe),
      20_000,
      () => `the pipe was not opened: ${running.output()}`,
    );
    return { running, pipe };
  }

  test.each(['SIGINT', 'SIGTERM'] as const)('%s ends the wait', async (signal) => {
    const { running } = await waiting();
    expect(await running.end(signal)).toEqual({ code: signal === 'SIGINT' ? 130 : 143, signal: null });
    expect(running.output()).toBe('');
  });

  test('goes on when somebody does', async () => {
    const { running, pipe } = await waiting();
    await sleep(50);
    await execa('sh', ['-c', `printf password > ${pipe}`]);
    expect(await running.ended()).toEqual({ code: 0, signal: null });
    expect(running.output()).toContain('file format: qcow2');
  });
});

test('SIGUSR1 neither ends a program that has no progress to tell of, nor opens a debugger', async () => {
  const disk = join(tempDir(), 'disk.raw');
  await imgOutput(['create', '-q', disk, '1M']);
  const { child, output, ended } = start(process.execPath, [programPath('io'), '-f', 'raw', disk]);
  const answers = () => output().split('1 MiB').length - 1;
  for (const count of [1, 2]) {
    child.stdin?.write('length\n');
    await until(() => answers() === count, 20_000, output);
    child.kill('SIGUSR1');
  }
  child.stdin?.end('quit\n');
  expect(await ended()).toEqual({ code: 0, signal: null });
  expect(output()).not.toMatch(/debugger/i);
});
