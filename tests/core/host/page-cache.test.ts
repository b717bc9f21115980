import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  advise,
  CacheManners,
  countCached,
  HostFile,
  MANNERS_WINDOW,
  pageSize,
  residentPages,
} from '../../../src/core/host/index.ts';
import { withholdLibc } from '../../../src/core/host/libc.ts';
import { tempDir } from '../../support/temp.ts';
import { hasTmpfs, isLinux, openFile, pattern, tmpfsDir } from './support.ts';

const M = 1 << 20;

/** A file on the disk with nothing of it in memory. */
async function coldFile(folder: string, length: number): Promise<HostFile> {
  const path = join(folder, 'file');
  const writer = await HostFile.open(path, { create: 'exclusive' });
  const piece = pattern(M);
  for (let at = 0; at < length; at += M) await writer.write(at, piece.subarray(0, Math.min(M, length - at)));
  await writer.flush();
  await writer.close();
  const file = await openFile(path, { readOnly: true });
  await advise(file, 'dontNeed');
  return file;
}

function cached(file: HostFile, offset = 0, length = file.size): number {
  return (countCached(file, offset, length)?.cached ?? Number.NaN) * pageSize();
}

/** Read a range in order, several requests at a time, as a copy does. */
async function readAll(file: HostFile, start = 0, end = file.size, step = 256 * 1024): Promise<void> {
  let next = start;
  const worker = async (): Promise<void> => {
    const buffer = new Uint8Array(step);
    while (next < end) {
      const offset = next;
      next += step;
      await file.read(offset, buffer.subarray(0, Math.min(step, end - offset)));
    }
  };
  await Promise.all(Array.from({ length: 4 }, worker));
}

describe.runIf(isLinux)('the page cache', () => {
  test('is counted and dropped by range', async () => {
    const file = await coldFile(tempDir(), 8 * M);
    expect(cached(file)).toBe(0);
    await advise(file, 'random');
    await readAll(file, 2 * M, 3 * M);
    expect(cached(file)).toBe(M);
    expect(countCached(file, 2 * M, M)).toEqual({ pages: M / pageSize(), cached: M / pageSize(), dirty: 0 });
    const vector = residentPages(file, M, 2 * M) ?? new Uint8Array();
    expect(vector.length).toBe((2 * M) / pageSize());
    expect(vector.every((byte, page) => (byte & 1) === (page >= M / pageSize() ? 1 : 0))).toBe(true);
    await advise(file, 'dontNeed', 2 * M, M / 2);
    expect(cached(file)).toBe(M / 2);
  });

  test('is counted by mincore where cachestat is missing', async () => {
    const file = await coldFile(tempDir(), 4 * M);
    await advise(file, 'random');
    await readAll(file, M, 2 * M);
    const restore = withholdLibc(['syscall']);
    try {
      expect(countCached(file, 0, 4 * M)).toEqual({
        pages: (4 * M) / pageSize(),
        cached: M / pageSize(),
        dirty: undefined,
      });
    } finally {
      restore();
    }
  });
});

describe.runIf(isLinux)('CacheManners', () => {
  const LENGTH = 5 * MANNERS_WINDOW + 3 * M + 123;

  test('leave a cold file cold after a pass, and what was warm warm', async () => {
    const file = await coldFile(tempDir(), LENGTH);
    await advise(file, 'random');
    const [warmStart, warmEnd] = [MANNERS_WINDOW - M, 2 * MANNERS_WINDOW + 5 * M];
    await readAll(file, warmStart, warmEnd);
    await advise(file, 'normal');
    expect(cached(file)).toBe(warmEnd - warmStart);
    const manners = await CacheManners.attach(file, { keepBehind: MANNERS_WINDOW });
    await readAll(file);
    expect(cached(file)).toBeLessThan(warmEnd - warmStart + 3 * MANNERS_WINDOW); // already while it goes on
    await manners?.finish();
    expect(file.observer).toBeUndefined();
    expect(cached(file, warmStart, warmEnd - warmStart)).toBe(warmEnd - warmStart);
    expect(cached(file) - (warmEnd - warmStart)).toBeLessThan(LENGTH * 0.02);
  });

  test('hold for reads in any order, back and forth', async () => {
    const file = await coldFile(tempDir(), LENGTH);
    const manners = await CacheManners.attach(file, { window: 4 * M });
    const buffer = new Uint8Array(64 * 1024);
    for (let i = 0; i < 1500; i++) await file.read(((i * 7919) % 2500) * buffer.length, buffer);
    await manners?.finish();
    expect(cached(file)).toBeLessThan(LENGTH * 0.02);
  });

  test('count reads that fail as ended', async () => {
    const file = await coldFile(tempDir(), M);
    const manners = await CacheManners.attach(file);
    await file.read(2 * M, new Uint8Array(100));
    await file.readv(0, [new Uint8Array(100), new Uint8Array(M)]);
    await manners?.finish();
    expect(cached(file)).toBe(0);
  });

  test('have nothing to do on tmpfs, with O_DIRECT, or without the system calls', async () => {
    if (hasTmpfs) {
      const memory = await openFile(join(tmpfsDir(), 'file'), { create: 'exclusive' });
      await memory.write(0, pattern(M));
      expect(await CacheManners.attach(memory)).toBeUndefined();
    }
    const path = join(tempDir(), 'file');
    writeFileSync(path, pattern(M));
    expect(await CacheManners.attach(await openFile(path, { readOnly: true, direct: true }))).toBeUndefined();
    const restore = withholdLibc(['mmap', 'syscall']);
    try {
      expect(await CacheManners.attach(await openFile(path, { readOnly: true }))).toBeUndefined();
    } finally {
      restore();
    }
  });
});
