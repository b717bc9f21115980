import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { HostExtents, HostSpace } from '../../../src/core/host/index.ts';
import { withholdLibc } from '../../../src/core/host/libc.ts';
import { tempDir } from '../../support/temp.ts';
import { hasTmpfs, isLinux, openFile, pattern, readBack, same, tmpfsDir } from './support.ts';

const M = 1 << 20;

describe.each([
  ['the disk', tempDir, isLinux],
  ['tmpfs', tmpfsDir, hasTmpfs],
] as const)('HostSpace on %s', (_where, folder, present) => {
  const run = test.runIf(present);

  async function newFile(length: number) {
    const file = await openFile(join(folder(), 'file'), { create: 'exclusive' });
    if (length > 0) await file.write(0, pattern(length));
    return { file, space: new HostSpace(file) };
  }

  run('punches holes, and only within the file', async () => {
    const { file, space } = await newFile(4 * M);
    await file.flush();
    const before = (await file.usage()).allocated;
    expect(await space.punchHole(M, M)).toBe(true);
    expect(same(await readBack(file, M, M), new Uint8Array(M))).toBe(true);
    expect(same(await readBack(file, 0, M), pattern(M))).toBe(true);
    expect(new HostExtents(file).at(M)).toEqual({ data: false, length: M });
    expect(before - (await file.usage()).allocated).toBeGreaterThanOrEqual(M - 65536);
    expect(await space.punchHole(3 * M, 5 * M)).toBe(true);
    expect(await space.punchHole(8 * M, M)).toBe(true);
    expect(await file.refreshSize()).toBe(4 * M);
    expect(await space.discard(0, M)).toBe(true);
    expect(same(await readBack(file, 0, M), new Uint8Array(M))).toBe(true);
  });

  run('zeroes ranges with and without giving up their space', async () => {
    const { file, space } = await newFile(4 * M);
    expect(await space.zeroRange(4096, M)).toBe(true);
    expect(same(await readBack(file, 4096, M), new Uint8Array(M))).toBe(true);
    expect((await file.usage()).allocated).toBeGreaterThanOrEqual(4 * M);
    expect(await space.zeroRange(2 * M, M, { mayUnmap: true })).toBe(true);
    expect(new HostExtents(file).at(2 * M)).toEqual({ data: false, length: M });
    expect(await space.zeroRange(0, 0)).toBe(true);
  });

  run('lengthens the file when zeroing past its end', async () => {
    const { file, space } = await newFile(M);
    expect(await space.zeroRange(M / 2, M, { mayUnmap: true })).toBe(true);
    expect(file.size).toBe(1.5 * M);
    expect(await space.zeroRange(M, M)).toBe(true);
    expect(file.size).toBe(2 * M);
    expect(await file.refreshSize()).toBe(2 * M);
    expect(same(await readBack(file, M / 2, 1.5 * M), new Uint8Array(1.5 * M))).toBe(true);
    expect(same(await readBack(file, 0, M / 2), pattern(M / 2))).toBe(true);
  });

  run('allocates within and past the end', async () => {
    const { file, space } = await newFile(M);
    expect(await space.allocate(0, 3 * M)).toBe(true);
    expect(file.size).toBe(3 * M);
    expect((await file.usage()).allocated).toBeGreaterThanOrEqual(3 * M);
    expect(await space.allocate(3 * M, M, { keepSize: true })).toBe(true);
    expect(await file.refreshSize()).toBe(3 * M);
    expect(same(await readBack(file, 0, M), pattern(M))).toBe(true);
  });
});

describe('HostSpace', () => {
  test.runIf(hasTmpfs)('does not try again what a file has refused', async () => {
    const file = await openFile(join(tmpfsDir(), 'file'), { create: 'exclusive' });
    await file.write(0, pattern(M));
    const space = new HostSpace(file);
    expect(await space.zeroRange(0, 4096)).toBe(true);
    expect([...space.refused]).toContain('zero');
    expect([...space.refused]).not.toContain('punch');
  });

  test('writes zeroes to allocate, and answers false to the rest, where the system has none of it', async () => {
    const restore = withholdLibc('all');
    try {
      const file = await openFile(join(tempDir(), 'file'), { create: 'exclusive' });
      await file.write(0, pattern(M));
      const space = new HostSpace(file);
      expect(await space.punchHole(0, 4096)).toBe(false);
      expect(await space.zeroRange(0, 4096)).toBe(false);
      expect(await space.zeroRange(0, 4096, { mayUnmap: true })).toBe(false);
      expect(await space.discard(0, 4096)).toBe(false);
      expect(await space.allocate(0, M, { keepSize: true })).toBe(false);
      expect(await space.allocate(M / 2, 2 * M + 5)).toBe(true);
      expect(file.size).toBe(2.5 * M + 5);
      expect(same(await readBack(file, 0, M), pattern(M))).toBe(true);
      expect(same(await readBack(file, M, M), new Uint8Array(M))).toBe(true);
    } finally {
      restore();
    }
  });

  test.runIf(isLinux)('reports a failure with the file and what was tried', async () => {
    const path = join(tempDir(), 'file');
    await (await openFile(path, { create: 'exclusive' })).write(0, pattern(M));
    const file = await openFile(path, { readOnly: true });
    await expect(new HostSpace(file).punchHole(0, M)).rejects.toThrow(
      `Could not punch a hole in '${path}': Bad file descriptor`,
    );
  });
});
