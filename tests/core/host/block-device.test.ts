import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { deviceNumbers } from '../../../src/core/host/block-device.ts';
import { HostFile, HostSpace } from '../../../src/core/host/index.ts';
import { tempDir } from '../../support/temp.ts';
import { isRoot, pattern, readBack, same, tool } from './support.ts';

const M = 1 << 20;

/** A loop device over a new file, or undefined where none can be had. */
function loopDevice(megabytes: number, ...args: string[]): string | undefined {
  const image = join(tempDir(), 'image');
  tool('truncate', '-s', `${megabytes}M`, image);
  try {
    const device = tool('losetup', '-f', '--show', ...args, image);
    onTestFinished(() => void tool('losetup', '-d', device));
    return device;
  } catch {
    return undefined;
  }
}

describe.runIf(isRoot)('a block device', () => {
  test('tells its size and limits, reads and writes', async (context) => {
    const device = loopDevice(16) ?? context.skip('no loop device can be had here');
    const file = await HostFile.open(device);
    try {
      expect(file.kind).toBe('block');
      expect(file.size).toBe(16 * M);
      const info = await file.deviceInfo();
      expect(info).toMatchObject({ size: 16 * M, logicalBlockSize: 512, readOnly: false });
      expect(info?.physicalBlockSize).toBeGreaterThanOrEqual(512);
      expect(info?.limits?.zoned).toBe('none');
      expect(info?.limits?.maxTransfer).toBeGreaterThan(0);
      await file.write(100, pattern(M));
      await file.flush();
      expect(same(await readBack(file, 100, M), pattern(M))).toBe(true);
      expect(await file.read(16 * M - 100, new Uint8Array(4096))).toBe(100);
      await expect((async () => file.write(16 * M, pattern(512)))()).rejects.toThrow('No space left on device');
      await expect(file.truncate(M)).rejects.toThrow('it is a device');
      expect((await file.usage()).identity).toMatch(/^block:/);
    } finally {
      await file.close();
    }
  });

  test('zeroes and discards ranges', async (context) => {
    const device = loopDevice(16) ?? context.skip('no loop device can be had here');
    const file = await HostFile.open(device);
    try {
      const space = new HostSpace(file);
      await file.write(0, pattern(8 * M));
      expect(await space.zeroRange(M, M)).toBe(true);
      expect(same(await readBack(file, M, M), new Uint8Array(M))).toBe(true);
      expect(await space.zeroRange(3 * M, M, { mayUnmap: true })).toBe(true);
      expect(same(await readBack(file, 3 * M, M), new Uint8Array(M))).toBe(true);
      expect(same(await readBack(file, 2 * M, M), pattern(8 * M).subarray(2 * M, 3 * M))).toBe(true);
      expect(await space.discard(5 * M, M)).toBe(true);
      expect(await space.zeroRange(100, 200)).toBe(false); // not of whole blocks
      expect(await space.allocate(0, M, { keepSize: true })).toBe(false);
    } finally {
      await file.close();
    }
  });

  test('takes direct I/O at its own block size', async (context) => {
    const device = loopDevice(16, '--sector-size', '4096') ?? context.skip('no loop device can be had here');
    const file = await HostFile.open(device, { direct: true });
    try {
      expect(file.alignment.request).toBe(4096);
      const shifted = new Uint8Array(65537).subarray(1);
      shifted.set(pattern(65536));
      await file.write(4096, shifted);
      expect(same(await readBack(file, 4096, 65536), pattern(65536))).toBe(true);
    } finally {
      await file.close();
    }
  });

  test('that is read-only says so', async (context) => {
    const device = loopDevice(4, '-r') ?? context.skip('no loop device can be had here');
    const file = await HostFile.open(device, { readOnly: true });
    try {
      expect((await file.deviceInfo())?.readOnly).toBe(true);
    } finally {
      await file.close();
    }
  });
});

test('deviceNumbers takes st_rdev apart', () => {
  expect(deviceNumbers(0x0801n)).toEqual({ major: 8, minor: 1 });
  expect(deviceNumbers(0x1_03_05n)).toEqual({ major: 0x103, minor: 5 });
  expect(deviceNumbers(0x10_0002n)).toEqual({ major: 0, minor: 0x102 });
});
