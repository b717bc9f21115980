import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { BlockError } from '../../../src/core/errors/block-error.ts';
import { FileLocks, type HostFile } from '../../../src/core/host/index.ts';
import { withholdLibc } from '../../../src/core/host/libc.ts';
import { findPeer, peersFor, runPeer } from '../../support/peers.ts';
import { tempDir } from '../../support/temp.ts';
import { isLinux, openFile } from './support.ts';

const [READ, WRITE, UNCHANGED, RESIZE, ALL] = [1, 2, 4, 8, 15];
const HOLDER = fileURLToPath(new URL('lock-holder.mjs', import.meta.url));

async function newImage(): Promise<HostFile> {
  const file = await openFile(join(tempDir(), 'image'), { create: 'exclusive' });
  await file.truncate(1 << 20);
  return file;
}

/** A second open of the file: its locks conflict with the first's as another process's would. */
async function again(file: HostFile, readOnly = false): Promise<FileLocks> {
  return FileLocks.open(await openFile(file.path, { readOnly }), 'on');
}

function stopAtEnd(child: ChildProcess): void {
  onTestFinished(async () => {
    if (child.exitCode !== null) return;
    child.stdin?.end();
    await once(child, 'exit');
  });
}

/** Another process with read locks on these bytes, until the test has finished. */
async function holder(path: string, ...bytes: number[]): Promise<void> {
  const child = spawn(process.execPath, [HOLDER, path, ...bytes.map(String)], { stdio: ['pipe', 'pipe', 'inherit'] });
  stopAtEnd(child);
  await once(child.stdout, 'data');
}

function conflict(work: () => void): BlockError {
  try {
    work();
  } catch (error) {
    if (error instanceof BlockError) return error;
    throw error;
  }
  throw new Error('expected a conflict');
}

describe.runIf(isLinux)('FileLocks', () => {
  test('let readers share and keep writers apart', async () => {
    const image = await newImage();
    const [first, second] = [await again(image, true), await again(image, true)];
    first.take(READ, READ | UNCHANGED);
    second.take(READ, READ | UNCHANGED);
    const writer = await again(image);
    const error = conflict(() => writer.take(READ | WRITE, READ | UNCHANGED));
    expect(error.message).toBe('Failed to get "write" lock');
    expect(error.followUp).toBe(`Is another process using the image [${image.path}]?`);
    expect(error.code).toBe('EAGAIN');
    first.release();
    expect(conflict(() => writer.take(WRITE, ALL)).message).toBe('Failed to get "write" lock');
    second.release();
    writer.take(READ | WRITE, READ | UNCHANGED);
    expect(conflict(() => first.take(READ, READ | UNCHANGED)).message).toBe('Failed to get shared "write" lock');
    expect(conflict(() => first.take(RESIZE, ALL)).message).toBe('Failed to get "resize" lock');
    first.take(READ, ALL);
  });

  test('leave no lock behind when they fail', async () => {
    const image = await newImage();
    const [holding, failing, third] = [await again(image), await again(image), await again(image)];
    holding.take(WRITE, READ);
    conflict(() => failing.take(WRITE | RESIZE, 0));
    expect(failing.held).toEqual({ permissions: 0, shared: ALL });
    holding.release();
    third.take(ALL, 0);
  });

  test('hold old and new between prepare and commit or abort', async () => {
    const image = await newImage();
    const [changing, other] = [await again(image), await again(image)];
    changing.take(READ, READ);
    changing.prepare(READ | WRITE, ALL);
    expect(conflict(() => other.take(READ | WRITE, ALL)).message).toBe('Failed to get "write" lock');
    expect(conflict(() => other.take(READ, READ)).message).toBe('Failed to get shared "write" lock');
    changing.abort();
    other.take(READ, READ);
    other.release();
    changing.prepare(READ | WRITE, ALL);
    changing.commit();
    expect(changing.held).toEqual({ permissions: READ | WRITE, shared: ALL });
    other.take(READ | WRITE, ALL);
    changing.prepare(READ, READ | WRITE);
    changing.prepare(READ, ALL);
    changing.commit();
    other.take(READ, READ);
  });

  test('see the locks of another process', async () => {
    const image = await newImage();
    await holder(image.path, 101, 203);
    const locks = FileLocks.open(image, 'auto');
    expect(conflict(() => locks.take(READ, READ)).message).toBe('Failed to get shared "write" lock');
    expect(conflict(() => locks.take(RESIZE, ALL)).message).toBe('Failed to get "resize" lock');
    locks.take(READ | WRITE, READ | WRITE);
  });

  test('do nothing when off, or with auto where the system has none; with on that is an error', async () => {
    const image = await newImage();
    FileLocks.open(image, 'on').take(ALL, 0);
    const off = FileLocks.open(await openFile(image.path), 'off');
    expect(off.active).toBe(false);
    off.take(ALL, 0);
    off.release();
    const restore = withholdLibc(['fcntl']);
    try {
      const auto = FileLocks.open(image, 'auto');
      expect(auto.active).toBe(false);
      auto.take(ALL, 0);
      expect(conflict(() => FileLocks.open(image, 'on')).message).toMatch(/^Could not lock '.*': /);
    } finally {
      restore();
    }
  });
});

describe.skipIf(!isLinux || peersFor('qemu-io').missing)('FileLocks and qemu-io', () => {
  test('we see that it holds an image open', async () => {
    const image = await newImage();
    const child = spawn(findPeer('qemu-io') ?? '', ['-f', 'raw', image.path], { stdio: ['pipe', 'pipe', 'inherit'] });
    stopAtEnd(child);
    child.stdin.write('read 0 512\n');
    let seen = '';
    while (!seen.includes('read 512/512')) seen += String((await once(child.stdout, 'data'))[0]);
    const locks = FileLocks.open(image, 'auto');
    const error = conflict(() => locks.take(READ, READ | UNCHANGED));
    expect(error.message).toBe('Failed to get shared "write" lock');
    locks.take(READ, ALL);
    locks.release();
  });

  test('it sees that we hold an image open', async () => {
    const image = await newImage();
    const locks = FileLocks.open(image, 'on');
    locks.take(READ | WRITE, READ);
    const write = ['-f', 'raw', '-c', 'write 0 512', image.path];
    const refused = await runPeer('qemu-io', write);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toMatch(/Failed to get "write" lock/);
    const reader = await runPeer('qemu-io', ['-r', '-f', 'raw', '-c', 'read 0 512', image.path]);
    expect(reader.stderr + reader.stdout).not.toMatch(/Failed to get "write" lock/);
    locks.release();
    expect((await runPeer('qemu-io', write)).code).toBe(0);
  });
});
