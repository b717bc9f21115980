/**
 * A crash at any moment while bitmaps record and are stored: the image opens, has no damage, and a bitmap that can be used
 * marks everything that differs from before.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { addBitmap, clearBitmap, removeBitmap } from '../../src/core/block/bitmaps/index.ts';
import { checkDisk, makeImage, openDisk, readDisk } from '../support/disk.ts';
import { MemoryFile, memoryFileDriver } from '../support/memory-file.ts';
import { findPeer, qemuImgCheck } from '../support/peers.ts';
import { Random, seeds } from '../support/random.ts';
import { tempDir } from '../support/temp.ts';

const MOMENTS = 50;
const CLUSTER = 1024;
const SIZE = 512 * 1024;
const GRAIN = 4096;

const specOf = (id: string) => ({ driver: 'qcow2', file: { driver: 'memory-file', id } });

test.each(seeds(2))('bitmaps are never wrong, seed %d', async (seed) => {
  const random = new Random(seed);
  const folder = tempDir();
  const path = join(folder, 'disk.qcow2');
  await makeImage('qcow2', path, { size: SIZE, cluster_size: CLUSTER });
  const first = await openDisk({ driver: 'qcow2', file: { driver: 'file', filename: path } }, { writable: true });
  await first.write(0, Buffer.alloc(SIZE / 4, 1));
  for (const name of ['kept', 'gone']) await addBitmap(first.image, name, { persistent: true, granularity: GRAIN });
  await first.close();

  const file = new MemoryFile(readFileSync(path), { random: new Random(seed + 1), logging: true });
  const extraDrivers = [memoryFileDriver(new Map([['disk', file]]))];
  const disk = await openDisk(specOf('disk'), { writable: true, extraDrivers });
  const before = await readDisk(disk);
  const write = async (count: number) => {
    for (let index = 0; index < count; index++) {
      const at = random.below(SIZE / 512) * 512;
      await disk.write(at, Buffer.alloc(Math.min(SIZE - at, 512 * (1 + random.below(20))), 2 + index));
      if (random.chance(0.3)) await disk.flush();
    }
  };
  await write(6);
  await disk.image.io.bitmaps.save();
  await write(4);
  await removeBitmap(disk.image, 'gone');
  await addBitmap(disk.image, 'new', { persistent: true, granularity: 512 });
  await write(3);
  await disk.close();

  let usable = 0;
  for (let moment = 0; moment <= MOMENTS; moment++) {
    const time = Math.floor((file.clock.now * moment) / MOMENTS);
    const crashed = file.afterCrash(time, random);
    const image = Buffer.from(crashed.bytes);
    const drivers = [memoryFileDriver(new Map([['disk', crashed]]))];
    const found = await openDisk(specOf('disk'), { extraDrivers: drivers });
    const { corruptions, lines } = await checkDisk(found);
    expect(lines.filter((line) => line.startsWith('ERROR'))).toEqual([]);
    expect(corruptions).toBe(0);
    const now = await readDisk(found);
    for (const bitmap of found.image.io.bitmaps.named) {
      if (bitmap.inconsistent || bitmap.name === 'new') continue;
      usable++;
      for (let at = 0; at < SIZE; at += 512) {
        if (bitmap.bits.isDirty(at)) continue;
        expect(now.subarray(at, at + 512).equals(before.subarray(at, at + 512)), `moment ${time}, ${at}`).toBe(true);
      }
    }
    await found.close();
    if (moment % 17 === 0 && findPeer('qemu-img')) {
      writeFileSync(path, image);
      expect((await qemuImgCheck(path)).code % 3).toBe(0);
    }
  }
  expect(usable).toBeGreaterThan(0);
});

test('a bitmap that could not be stored stays marked as in use, and the image is whole', async () => {
  const path = join(tempDir(), 'disk.qcow2');
  await makeImage('qcow2', path, { size: SIZE, cluster_size: CLUSTER });
  const node = { driver: 'qcow2', file: { driver: 'file', filename: path } };
  const first = await openDisk(node, { writable: true });
  await addBitmap(first.image, 'b', { persistent: true });
  await first.close();
  const faulty = {
    driver: 'qcow2',
    file: {
      driver: 'blkdebug',
      'inject-error': [{ event: 'cluster_alloc', errno: 28, once: false }],
      image: { driver: 'file', filename: path },
    },
  };
  const disk = await openDisk(faulty, { writable: true });
  await clearBitmap(disk.image, 'b');
  disk.image.io.bitmaps.get('b').bits.set(0, 1);
  await expect(disk.close()).rejects.toMatchObject({ code: 'ENOSPC' });
  const after = await openDisk(node);
  expect(after.image.io.bitmaps.get('b').inconsistent).toBe(true);
  expect(await checkDisk(after)).toMatchObject({ corruptions: 0, leaks: 0 });
  await after.close();
});
