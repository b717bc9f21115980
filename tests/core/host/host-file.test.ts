import { readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { BlockError } from '../../../src/core/errors/block-error.ts';
import { HostFile } from '../../../src/core/host/index.ts';
import { tempDir } from '../../support/temp.ts';
import { hasTmpfs, isLinux, isRoot, mounted, openFile, pattern, readBack, same, tmpfsDir, tool } from './support.ts';

async function failure(work: () => Promise<unknown>): Promise<BlockError> {
  try {
    await work();
  } catch (error) {
    if (error instanceof BlockError) return error;
    throw error;
  }
  throw new Error('expected a BlockError');
}

describe('HostFile.open', () => {
  test('says in one line which file is missing', async () => {
    const path = join(tempDir(), 'absent');
    const error = await failure(() => HostFile.open(path));
    expect(error.message).toBe(`Could not open '${path}': No such file or directory`);
    expect(error.code).toBe('ENOENT');
  });

  test('refuses a directory, for reading too', async () => {
    const path = tempDir();
    for (const readOnly of [true, false]) {
      const error = await failure(() => HostFile.open(path, { readOnly }));
      expect(error.message).toBe(`Could not open '${path}': Is a directory`);
      expect(error.code).toBe('EISDIR');
    }
  });

  test.runIf(isLinux)('refuses a FIFO without waiting for its other end', async () => {
    const path = join(tempDir(), 'fifo');
    tool('mkfifo', path);
    for (const readOnly of [true, false]) {
      const error = await failure(() => HostFile.open(path, { readOnly }));
      expect(error.message).toBe(`Could not open '${path}': it is a FIFO, not a file or a device`);
    }
  });

  test.runIf(isLinux)('refuses a socket', async () => {
    const path = join(tempDir(), 'socket');
    const server = createServer().listen(path);
    onTestFinished(() => void server.close());
    await new Promise((resolve) => server.once('listening', resolve));
    const error = await failure(() => HostFile.open(path));
    expect(error.message).toBe(`Could not open '${path}': it is a socket, not a file or a device`);
  });

  test('refuses a name with a NUL byte', async () => {
    expect((await failure(() => HostFile.open('a\0b'))).message).toMatch(/NUL byte/);
  });

  test('creates exclusively, if missing, and truncating', async () => {
    const path = join(tempDir(), 'file');
    await (await HostFile.open(path, { create: 'exclusive' })).close();
    const error = await failure(() => HostFile.open(path, { create: 'exclusive' }));
    expect(error.message).toBe(`Could not create '${path}': File exists`);
    writeFileSync(path, 'content');
    const kept = await openFile(path, { create: 'if-missing' });
    expect(kept.size).toBe(7);
    const emptied = await openFile(path, { create: 'truncate' });
    expect(emptied.size).toBe(0);
    expect(readFileSync(path).length).toBe(0);
  });

  test('refuses a symbolic link when told not to follow', async () => {
    const folder = tempDir();
    writeFileSync(join(folder, 'file'), '');
    symlinkSync('file', join(folder, 'link'));
    await openFile(join(folder, 'link'));
    const error = await failure(() => HostFile.open(join(folder, 'link'), { noFollow: true }));
    expect(error.code).toBe('ELOOP');
  });

  test.runIf(isLinux)('opens character devices as what they are', async () => {
    const zero = await openFile('/dev/zero');
    expect(zero.kind).toBe('character');
    expect(await readBack(zero, 0, 100)).toEqual(new Uint8Array(100));
    const full = await openFile('/dev/full');
    const error = await failure(async () => full.write(0, pattern(512)));
    expect(error.message).toBe("Could not write 512 bytes at offset 0 of '/dev/full': No space left on device");
    expect(error.code).toBe('ENOSPC');
    await full.flush();
  });
});

describe.each([
  ['the disk', tempDir, true],
  ['tmpfs', tmpfsDir, hasTmpfs],
] as const)('HostFile on %s', (_where, folder, present) => {
  const run = test.runIf(present);

  run('reads what it wrote, at any size and offset', async () => {
    const file = await openFile(join(folder(), 'file'), { create: 'exclusive' });
    const data = pattern(3 * 1024 * 1024 + 77);
    await file.write(0, data);
    expect(file.size).toBe(data.length);
    for (const [offset, length] of [
      [0, 1],
      [1, 60],
      [4095, 2],
      [511, 128 * 1024],
      [7, 1024 * 1024],
      [0, data.length],
    ] as const) {
      expect(same(await readBack(file, offset, length), data.subarray(offset, offset + length))).toBe(true);
    }
    const piece = pattern(1000, 9);
    await file.write(4090, piece);
    expect(await readBack(file, 4090, 1000)).toEqual(piece);
    expect(await readBack(file, 4080, 10)).toEqual(data.subarray(4080, 4090));
    await file.flush();
  });

  run('reads short only at the end', async () => {
    const file = await openFile(join(folder(), 'file'), { create: 'exclusive' });
    await file.write(0, pattern(1000));
    for (const inlineLimit of [128 * 1024, 0]) {
      file.inlineLimit = inlineLimit;
      expect(await file.read(900, new Uint8Array(4096))).toBe(100);
      expect(await file.read(1000, new Uint8Array(10))).toBe(0);
      expect(await file.read(1 << 30, new Uint8Array(10))).toBe(0);
      expect(await file.read(0, new Uint8Array(0))).toBe(0);
      expect(await file.readv(990, [new Uint8Array(4), new Uint8Array(100)])).toBe(10);
    }
  });

  run('reads and writes lists of buffers, more than one call takes', async () => {
    const file = await openFile(join(folder(), 'file'), { create: 'exclusive' });
    const data = pattern(3000 * 7);
    const parts = Array.from({ length: 3000 }, (_, i) => data.subarray(i * 7, i * 7 + 7));
    for (const limit of [128 * 1024, 0]) {
      file.inlineLimit = limit;
      file.inlineWriteLimit = limit;
      await file.truncate(0);
      await file.writev(5, parts);
      expect(file.size).toBe(5 + data.length);
      const into = Array.from({ length: 3000 }, () => new Uint8Array(7));
      expect(await file.readv(5, into)).toBe(data.length);
      expect(Buffer.concat(into).equals(data)).toBe(true);
    }
  });

  run('answers small cached reads and writes at once', async () => {
    const file = await openFile(join(folder(), 'file'), { create: 'exclusive' });
    expect(file.write(0, pattern(64 * 1024))).toBeUndefined();
    expect(file.writev(0, [pattern(4096), pattern(4096)])).toBeUndefined();
    expect(file.read(0, new Uint8Array(4096))).toBe(4096);
    expect(file.readv(0, [new Uint8Array(4096), new Uint8Array(4096)])).toBe(8192);
    expect(file.read(0, new Uint8Array(16))).toBe(16);
    expect(file.read(60 * 1024, new Uint8Array(8192))).toBe(4096);
    file.inlineLimit = 0;
    file.inlineWriteLimit = 0;
    expect(file.read(0, new Uint8Array(16))).toBeInstanceOf(Promise);
    await expect(file.write(0, pattern(16))).resolves.toBeUndefined();
  });

  run('follows the size as it and others change it', async () => {
    const path = join(folder(), 'file');
    const file = await openFile(path, { create: 'exclusive' });
    await file.truncate(10_000);
    expect(file.size).toBe(10_000);
    truncateSync(path, 20_000);
    expect(file.size).toBe(10_000);
    expect(await file.refreshSize()).toBe(20_000);
    expect(same(await readBack(file, 0, 20_000), new Uint8Array(20_000))).toBe(true);
  });

  run('tells space taken and identity', async () => {
    const dir = folder();
    const file = await openFile(join(dir, 'file'), { create: 'exclusive' });
    await file.truncate(1 << 30);
    expect((await file.usage()).allocated).toBeLessThan(64 * 1024);
    await file.write(0, pattern(1 << 20));
    await file.flush();
    const usage = await file.usage();
    expect(usage.size).toBe(1 << 30);
    expect(usage.allocated).toBeGreaterThanOrEqual(1 << 20);
    symlinkSync('file', join(dir, 'link'));
    const again = await openFile(join(dir, 'link'));
    const other = await openFile(join(dir, 'other'), { create: 'exclusive' });
    expect((await again.usage()).identity).toBe(usage.identity);
    expect((await other.usage()).identity).not.toBe(usage.identity);
  });
});

describe('HostFile', () => {
  test.runIf(isLinux)('reads from the disk what is not cached', async () => {
    const path = join(tempDir(), 'file');
    const data = pattern(1 << 20);
    writeFileSync(path, data);
    tool('sync', path);
    tool('dd', `if=${path}`, 'iflag=nocache', 'count=0', 'status=none');
    const file = await openFile(path);
    expect(await readBack(file, 100, 5000)).toEqual(data.subarray(100, 5100));
  });

  test('cannot be written when opened to read', async () => {
    const path = join(tempDir(), 'file');
    writeFileSync(path, 'content');
    const file = await openFile(path, { readOnly: true });
    const error = await failure(async () => file.write(0, pattern(4)));
    expect(error.message).toBe(`Could not write 4 bytes at offset 0 of '${path}': Bad file descriptor`);
  });

  test('closes once, after what is under way, and answers nothing afterwards', async () => {
    const file = await HostFile.open(join(tempDir(), 'file'), { create: 'exclusive', inlineWriteLimit: 0 });
    const writing = file.write(0, pattern(8 << 20));
    await Promise.all([file.close(), file.close()]);
    await writing;
    expect(() => file.read(0, new Uint8Array(1))).toThrow(/is closed/);
    expect(() => file.write(0, new Uint8Array(1))).toThrow(/is closed/);
    expect(() => file.fd).toThrow(/is closed/);
    await file[Symbol.asyncDispose]();
  });

  test.runIf(isRoot)('reports a full filesystem, written to at once or by the pool', async (context) => {
    const point = mounted(tempDir(), 'tmpfs', 1) ?? context.skip('mounting is not allowed here');
    const file = await HostFile.open(join(point, 'file'), { create: 'exclusive' });
    try {
      const large = await failure(async () => file.write(0, pattern(2 << 20)));
      expect(large.code).toBe('ENOSPC');
      expect(large.message).toMatch(/^Could not write \d+ bytes at offset \d+ of '.*': No space left on device$/);
      const small = await failure(async () => file.write(1 << 20, pattern(4096)));
      expect(small.code).toBe('ENOSPC');
      const list = await failure(async () => file.writev(1 << 20, [pattern(4096), pattern(4096)]));
      expect(list.code).toBe('ENOSPC');
    } finally {
      await file.close();
    }
  });

  test.runIf(isLinux)('refuses to resize a device', async () => {
    const file = await openFile('/dev/null');
    expect((await failure(() => file.truncate(10))).message).toMatch(/it is a device$/);
  });
});
