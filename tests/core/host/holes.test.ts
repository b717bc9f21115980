import { truncateSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { HostExtents } from '../../../src/core/host/index.ts';
import { withholdLibc } from '../../../src/core/host/libc.ts';
import { tempDir } from '../../support/temp.ts';
import { hasTmpfs, isLinux, openFile, pattern, tmpfsDir } from './support.ts';

const M = 1 << 20;

describe.each([
  ['the disk', tempDir, isLinux],
  ['tmpfs', tmpfsDir, hasTmpfs],
] as const)('HostExtents on %s', (_where, folder, present) => {
  test.runIf(present)('finds data and holes', async () => {
    const file = await openFile(join(folder(), 'file'), { create: 'exclusive' });
    await file.truncate(10 * M);
    await file.write(2 * M, pattern(M));
    await file.write(5 * M, pattern(M));
    const extents = new HostExtents(file);
    expect(extents.at(0)).toEqual({ data: false, length: 2 * M });
    expect(extents.at(2 * M)).toEqual({ data: true, length: M });
    expect(extents.at(2 * M + 4096)).toEqual({ data: true, length: M - 4096 });
    expect(extents.at(4 * M)).toEqual({ data: false, length: M });
    expect(extents.at(5 * M + 1)).toEqual({ data: true, length: M - 1 });
    expect(extents.at(6 * M)).toEqual({ data: false, length: 4 * M });
    expect(extents.at(10 * M)).toEqual({ data: false, length: 0 });
    expect(extents.nextData(0)).toBe(2 * M);
    expect(extents.nextData(2 * M + 1)).toBe(2 * M + 1);
    expect(extents.nextData(6 * M)).toBeUndefined();
    expect(extents.nextHole(2 * M)).toBe(3 * M);
    expect(extents.nextHole(0)).toBe(0);
    expect(extents.supported).toBe(true);
  });

  test.runIf(present)('remembers data, never holes', async () => {
    const path = join(folder(), 'file');
    const file = await openFile(path, { create: 'exclusive' });
    await file.write(0, pattern(M));
    await file.truncate(2 * M);
    const extents = new HostExtents(file);
    expect(extents.at(M).data).toBe(false);
    await file.write(M, pattern(M));
    expect(extents.at(M)).toEqual({ data: true, length: M });
    truncateSync(path, 0);
    truncateSync(path, 2 * M);
    expect(extents.at(M).data).toBe(true);
    extents.forget(0, M);
    expect(extents.at(M).data).toBe(true);
    extents.forget(0, 2 * M);
    expect(extents.at(M)).toEqual({ data: false, length: M });
  });
});

test('HostExtents takes all for data where the system cannot tell', async () => {
  const file = await openFile(join(tempDir(), 'file'), { create: 'exclusive' });
  await file.truncate(M);
  const restore = withholdLibc(['lseek']);
  try {
    const extents = new HostExtents(file);
    expect(extents.supported).toBe(false);
    expect(extents.at(4096)).toEqual({ data: true, length: M - 4096 });
    expect(extents.at(M)).toEqual({ data: false, length: 0 });
  } finally {
    restore();
  }
});
