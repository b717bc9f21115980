import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { advise, countCached, FileLocks, HostFile } from '../../../src/core/host/index.ts';
import { withholdLibc } from '../../../src/core/host/libc.ts';
import { tempDir } from '../../support/temp.ts';
import { openFile, pattern, readBack, same } from './support.ts';

describe('a system without the C library', () => {
  beforeAll(() => withholdLibc('all'));

  test('reads and writes through node', async () => {
    const file = await openFile(join(tempDir(), 'file'), { create: 'exclusive' });
    const data = pattern(300_000);
    await file.write(10, data);
    await file.writev(300_010, [data.subarray(0, 10), data.subarray(10)]);
    expect(file.size).toBe(600_010);
    expect(same(await readBack(file, 10, data.length), data)).toBe(true);
    const parts = [new Uint8Array(7), new Uint8Array(100)];
    expect(await file.readv(300_010, parts)).toBe(107);
    expect(await file.read(600_000, new Uint8Array(100))).toBe(10);
    await file.flush();
    await file.truncate(5);
    expect(await file.refreshSize()).toBe(5);
    expect(await file.deviceInfo()).toBeUndefined();
  });

  test('has no direct I/O, no locks and no advice, and says so where it matters', async () => {
    const path = join(tempDir(), 'file');
    writeFileSync(path, 'content');
    await expect(HostFile.open(path, { direct: true })).rejects.toThrow('does not support direct I/O');
    const file = await openFile(path);
    expect(FileLocks.open(file, 'auto').active).toBe(false);
    expect(() => FileLocks.open(file, 'on')).toThrow(/^Could not lock/);
    expect(await advise(file, 'sequential')).toBe(false);
    expect(countCached(file, 0, 4096)).toBeUndefined();
  });
});
