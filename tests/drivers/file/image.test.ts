import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execaSync } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Closer } from '../../../src/core/async/closer.ts';
import { Backend } from '../../../src/core/block/backend/backend.ts';
import type { CreateContext, Driver } from '../../../src/core/block/driver.ts';
import { BlockGraph } from '../../../src/core/block/graph/block-graph.ts';
import { operations } from '../../../src/core/block/graph/operations.ts';
import { validate } from '../../../src/core/options/index.ts';
import { fileDriver } from '../../../src/drivers/file/file.ts';
import { hostDeviceDriver } from '../../../src/drivers/file/host-device.ts';
import { driverList } from '../../../src/drivers/index.ts';
import { tempDir } from '../../support/temp.ts';

async function open(filename: string, options: object = {}, driver = 'file'): Promise<Backend> {
  const graph = new BlockGraph({ drivers: driverList, references: 'all', warn: () => undefined });
  const disk = await Backend.open(
    graph,
    { driver, filename, discard: 'unmap', ...options },
    {
      user: 'the test',
      permissions: operations.resize.image,
    },
  );
  onTestFinished(() => disk.close());
  return disk;
}

async function create(driver: Driver<never>, fileName: string, options: object): Promise<void> {
  const { create: capability } = driver as unknown as Driver;
  if (!capability) throw new Error('cannot create');
  await capability.run({
    options: validate(capability.options, options, 'the test'),
    fileName,
    closer: new Closer(),
    createFile: () => Promise.reject(new Error('not here')),
    object: () => {
      throw new Error('there are no objects');
    },
    warn: () => undefined,
  } satisfies CreateContext);
}

function filled(size: number): string {
  const path = join(tempDir(), 'disk');
  writeFileSync(path, Buffer.alloc(size, 5));
  return path;
}

const blocks = (path: string): number => statSync(path).blocks * 512;

describe('file', () => {
  test.each([{}, { 'cache.direct': true }])('reads and writes at any offset, with %j', async (options) => {
    const path = filled(70_001);
    const disk = await open(path, options);
    await disk.write(4095, Buffer.alloc(4099, 1));
    await disk.writev(20_001, [Buffer.alloc(1, 2), Buffer.alloc(8191, 3), Buffer.alloc(4096, 4)]);
    const back = [Buffer.alloc(3), Buffer.alloc(12_290)];
    await disk.readv(20_000, back);
    expect(Buffer.concat(back)).toEqual(
      Buffer.concat([5, 2, 3, 4, 5].map((byte, i) => Buffer.alloc([1, 1, 8191, 4096, 4][i] ?? 0, byte))),
    );
    await disk.flush();
    const whole = readFileSync(path);
    expect([whole[4094], whole[4095], whole[8193], whole[8194], whole[69_999]]).toEqual([5, 1, 1, 5, 5]);
  });

  test('zeroes and discards give space back, and say so', async () => {
    const path = filled(1 << 20);
    const disk = await open(path);
    await disk.zero(0, 1 << 19, 2);
    await disk.discard(1 << 19, 1 << 18);
    const back = Buffer.alloc(1 << 20);
    await disk.read(0, back);
    expect(back.indexOf(5)).toBe(3 << 18);
    expect(blocks(path)).toBeLessThan(1 << 19);
    expect(await disk.status(0, 1 << 20)).toMatchObject({ data: false, zero: true, length: 3 << 18 });
    expect(await disk.status(3 << 18, 1 << 18)).toMatchObject({
      data: true,
      zero: false,
      length: 1 << 18,
      offset: 3 << 18,
    });
    await disk.write(0, Buffer.alloc(4096, 9));
    expect(await disk.status(0, 4096)).toMatchObject({ data: true, length: 4096 });
  });

  test('resizes, with each kind of preallocation', async () => {
    const path = filled(1000);
    const disk = await open(path);
    await disk.truncate(1 << 20);
    expect([disk.size, statSync(path).size]).toEqual([1 << 20, 1 << 20]);
    expect(blocks(path)).toBeLessThan(1 << 19);
    await disk.truncate(2 << 20, { preallocation: 'falloc' });
    await disk.truncate(3 << 20, { preallocation: 'full' });
    expect(blocks(path)).toBeGreaterThanOrEqual(2 << 20);
    await disk.truncate(500);
    expect([disk.size, statSync(path).size]).toEqual([512, 500]);
    await expect(disk.truncate(100, { preallocation: 'full' })).rejects.toThrow('shrinking');
    await expect(disk.truncate(1 << 20, { preallocation: 'metadata' })).rejects.toThrow('preallocation=metadata');
    expect(statSync(path).size).toBe(500);
  });

  test('is for files, and takes its prefix off', async () => {
    await expect(open('/dev/null')).rejects.toThrow("driver 'file' is for a file");
    await expect(open(filled(512), {}, 'host_device')).rejects.toThrow("driver 'host_device' is for a device");
    await expect(open(tempDir())).rejects.toThrow(/directory/i);
    expect(fileDriver.parseFileName?.('file:/a:b')).toEqual({ filename: '/a:b' });
    expect(hostDeviceDriver.parseFileName?.('/dev/x')).toEqual({ filename: '/dev/x' });
  });

  test('creates, empties what is there, and leaves nothing behind when it fails', async () => {
    const path = join(tempDir(), 'new');
    await create(fileDriver as never, path, { size: 4096, preallocation: 'falloc' });
    expect([statSync(path).size, blocks(path)]).toEqual([4096, 4096]);
    await create(fileDriver as never, `file:${path}`, { size: 100 });
    expect(readFileSync(path)).toEqual(Buffer.alloc(100));
    const none = `${path}-none`;
    await expect(create(fileDriver as never, none, { size: 2 ** 53 - 1, preallocation: 'off' })).rejects.toThrow();
    expect(existsSync(none)).toBe(false);
  });

  test('does not empty a file that is in use', async () => {
    const path = filled(4096);
    const graph = new BlockGraph({ drivers: driverList, references: 'all', warn: () => undefined });
    await using _disk = await Backend.open(
      graph,
      { driver: 'file', filename: path },
      {
        user: 'the test',
        permissions: operations['read-stable'].image,
        open: { modes: { readOnly: true } },
      },
    );
    await expect(create(fileDriver as never, path, { size: 1 })).rejects.toThrow('lock');
    expect(readFileSync(path)).toEqual(Buffer.alloc(4096, 5));
  });
});

/** A loop device over a new file, or undefined where there are none. */
function loopDevice(size: number): { device: string; path: string } | undefined {
  const path = filled(size);
  try {
    const device = execaSync('losetup', ['--show', '-f', path]).stdout.trim();
    onTestFinished(() => void execaSync('losetup', ['-d', device]));
    return { device, path };
  } catch {
    return undefined;
  }
}

describe('host_device', () => {
  test('is a device of a fixed size', async (context) => {
    const loop = loopDevice(1 << 20);
    if (!loop) return context.skip('no loop devices here');
    const disk = await open(loop.device, {}, 'host_device');
    expect(disk.size).toBe(1 << 20);
    expect(disk.image.image.blockSizes).toMatchObject({ logical: expect.any(Number) });
    await disk.write(5, Buffer.alloc(7, 1));
    await disk.zero(4096, 8192, 2);
    await disk.discard(65536, 65536);
    const back = Buffer.alloc(16384);
    await disk.read(0, back);
    expect([back[4], back[5], back[11], back[12], back[4095], back[4096], back[12_287], back[12_288]]).toEqual([
      5, 1, 1, 5, 5, 0, 0, 5,
    ]);
    await expect(disk.truncate(2 << 20)).rejects.toThrow('cannot be resized');
    await expect(disk.truncate(4096)).rejects.toThrow('cannot be resized');
    await disk.truncate(4096, { exact: false });
    await disk.flush();
  });

  test('is "created" by checking its size and clearing its first sector, unless it is in use', async (context) => {
    const loop = loopDevice(1 << 20);
    if (!loop) return context.skip('no loop devices here');
    await expect(create(hostDeviceDriver as never, loop.device, { size: 2 << 20 })).rejects.toThrow('too small');
    const disk = await open(loop.device, {}, 'host_device');
    const graph = disk.graph;
    graph.setPermissions(disk.root, operations['read-stable'].image);
    await expect(create(hostDeviceDriver as never, loop.device, { size: 4096 })).rejects.toThrow('lock');
    graph.setPermissions(disk.root, operations.read.image);
    await disk.close();
    await create(hostDeviceDriver as never, `host_device:${loop.device}`, { size: 4096 });
    expect(readFileSync(loop.device).subarray(0, 513)).toEqual(Buffer.concat([Buffer.alloc(512), Buffer.alloc(1, 5)]));
  });
});
