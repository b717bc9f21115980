import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { cloneFile, cloneRange, copyRange, type HostFile } from '../../../src/core/host/index.ts';
import { withholdLibc } from '../../../src/core/host/libc.ts';
import { tempDir } from '../../support/temp.ts';
import { hasTmpfs, isLinux, isRoot, mounted, openFile, pattern, readBack, same, tmpfsDir } from './support.ts';

const M = 1 << 20;

async function pair(folder: string): Promise<{ source: HostFile; target: HostFile }> {
  const source = await openFile(join(folder, 'source'), { create: 'exclusive' });
  await source.write(0, pattern(4 * M));
  return { source, target: await openFile(join(folder, 'target'), { create: 'exclusive' }) };
}

describe.runIf(isLinux)('copyRange', () => {
  test('copies in the kernel and stops at the end of the source', async () => {
    const { source, target } = await pair(tempDir());
    const whole = { source, sourceOffset: M + 5, target, targetOffset: 3, length: 2 * M };
    expect(await copyRange(whole)).toBe(2 * M);
    expect(target.size).toBe(2 * M + 3);
    expect(same(await readBack(target, 3, 2 * M), pattern(4 * M).subarray(M + 5, 3 * M + 5))).toBe(true);
    expect(await copyRange({ ...whole, sourceOffset: 3 * M, length: 9 * M })).toBe(M);
    expect(await copyRange({ ...whole, sourceOffset: 5 * M })).toBe(0);
    expect(await copyRange({ ...whole, length: 0 })).toBe(0);
  });

  test.runIf(hasTmpfs)('answers false between filesystems that cannot', async () => {
    const { source } = await pair(tempDir());
    const target = await openFile(join(tmpfsDir(), 'target'), { create: 'exclusive' });
    expect(await copyRange({ source, sourceOffset: 0, target, targetOffset: 0, length: M })).toBe(false);
    expect(await cloneRange({ source, sourceOffset: 0, target, targetOffset: 0, length: M })).toBe(false);
  });

  test('answers false where the system has none of it', async () => {
    const { source, target } = await pair(tempDir());
    const restore = withholdLibc('all');
    try {
      const range = { source, sourceOffset: 0, target, targetOffset: 0, length: M };
      expect(await copyRange(range)).toBe(false);
      expect(await cloneRange(range)).toBe(false);
      expect(await cloneFile(source, target)).toBe(false);
    } finally {
      restore();
    }
  });
});

describe.runIf(isRoot)('cloning', () => {
  test('shares blocks where the filesystem can', async (context) => {
    const point = mounted(tempDir(), 'xfs', 400) ?? context.skip('no xfs can be mounted here');
    const { source, target } = await pair(point);
    try {
      await source.flush();
      expect(await cloneRange({ source, sourceOffset: M, target, targetOffset: 0, length: 2 * M })).toBe(true);
      expect(target.size).toBe(2 * M);
      expect(same(await readBack(target, 0, 2 * M), pattern(4 * M).subarray(M, 3 * M))).toBe(true);
      expect(await cloneRange({ source, sourceOffset: 1, target, targetOffset: 0, length: 4096 })).toBe(false);
      expect(await cloneFile(source, target)).toBe(true);
      expect(target.size).toBe(4 * M);
      expect(same(await readBack(target, 0, 4 * M), pattern(4 * M))).toBe(true);
    } finally {
      await Promise.all([source.close(), target.close()]);
    }
  });

  test('answers false where it cannot', async () => {
    const { source, target } = await pair(tmpfsDir());
    expect(await cloneFile(source, target)).toBe(false);
  });
});
