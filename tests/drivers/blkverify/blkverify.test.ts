/** blkverify: a difference is found at its offset, and nothing works after it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Flag } from '../../../src/core/block/driver.ts';
import { specFromFileName } from '../../../src/core/block/graph/spec.ts';
import { driverList } from '../../../src/drivers/index.ts';
import { makeImage, openDisk, readDisk } from '../../support/disk.ts';
import { ioHere } from '../../support/io-here.ts';
import { MemoryDisk, type MemorySettings, memoryEntry, turns } from '../../support/memory-driver.ts';
import { tempDir } from '../../support/temp.ts';

const K = 1024;

async function pair(settings: { slow?: boolean; failing?: boolean; has?: MemorySettings['has'] } = {}) {
  const raw = new MemoryDisk({ size: 64 * K, ...(settings.slow ? { on: () => turns(1) } : {}) });
  const test = new MemoryDisk({
    size: 64 * K,
    ...(settings.has ? { has: settings.has } : {}),
    on: (operation) => {
      if (settings.failing && operation === 'write') throw new Error('no more');
    },
  });
  const disks = new Map([
    ['raw', raw],
    ['test', test],
  ]);
  const memory = (disk: string) => ({ driver: 'memory', disk });
  const disk = await openDisk(
    { driver: 'blkverify', 'node-name': 'v', raw: memory('raw'), test: memory('test') },
    { writable: true, extraDrivers: [memoryEntry(disks)] },
  );
  return { raw, test, disk };
}

describe('blkverify', () => {
  test.each([false, true])('writes to both and reads what both have, slow: %s', async (slow) => {
    const { raw, test, disk } = await pair({ slow });
    await disk.write(512, Buffer.alloc(K, 1));
    await disk.writev(4 * K, [Buffer.alloc(512, 2), Buffer.alloc(512, 3)]);
    await disk.zero(512, 512);
    await disk.flush();
    expect(raw.data.equals(test.data)).toBe(true);
    expect((await readDisk(disk, K, 512)).every((byte) => byte === 1)).toBe(true);
    const parts = [Buffer.alloc(512), Buffer.alloc(512)];
    await disk.readv(4 * K, parts);
    expect(parts.map((part) => part[0])).toEqual([2, 3]);
    await disk.close();
    expect(raw.counts.flush).toBeGreaterThan(0);
  });

  test('takes it for no difference that just one of the two can zero without writing', async () => {
    const { raw, test, disk } = await pair({ has: [] });
    await disk.write(0, Buffer.alloc(4 * K, 1));
    await disk.zero(K, K, Flag.NO_FALLBACK);
    await readDisk(disk, 0, 4 * K);
    expect([raw.data[K - 1], raw.data[K], test.data[K - 1], test.data[K]]).toEqual([1, 0, 1, 0]);
    expect([raw.counts.zero, test.counts.zero]).toEqual([1, 0]);
    await disk.close();
  });

  test('fails a read that differs, naming the offset, and everything after it', async () => {
    const { test, disk } = await pair();
    test.data[5000] = 1;
    await readDisk(disk, 0, 4 * K);
    await expect(readDisk(disk, 4 * K, 4 * K)).rejects.toThrow(
      /^contents of .* compared by 'v', differ at offset 5000$/,
    );
    expect(() => disk.write(0, Buffer.alloc(512))).toThrow(/differ at offset 5000/);
    await expect(disk.close()).rejects.toThrow(/differ at offset 5000/);
  });

  test('says where on standard error, once, and takes the trusted image as it is', async () => {
    const folder = tempDir();
    const [raw, image] = [join(folder, 'raw'), join(folder, 'test.raw')];
    // It looks like a format, and must not be taken for one.
    await makeImage('qcow2', raw, { size: 64 * K });
    const bytes = readFileSync(raw);
    bytes.writeUInt8(7, 5000);
    writeFileSync(image, bytes);
    const opts = `driver=blkverify,raw.filename=${raw},test.driver=raw,test.file.filename=${image}`;
    const { code, stdout, stderr } = await ioHere(['read 0 512', 'read 4k 4k', 'read 4k 4k'], ['--image-opts', opts]);
    expect(code).toBe(1);
    expect(stdout.split('\n').filter((line) => line.includes('read'))).toEqual([
      'read 512/512 bytes at offset 0',
      'read failed: Input/output error',
      'read failed: Input/output error',
    ]);
    expect(stderr).toMatch(/^io: warning: contents of [^\n]+ differ at offset 5000\n$/);
  });

  test('fails where only one of the two succeeds', async () => {
    const { disk } = await pair({ failing: true });
    await expect(async () => disk.write(512, Buffer.alloc(512))).rejects.toThrow(
      /differ in writing 512 bytes at 512: success, and no more$/,
    );
    await disk.close().catch(() => undefined);
  });

  test('is named blkverify:RAW:TEST, and probes the image under test', async () => {
    const folder = tempDir();
    const [raw, image] = [join(folder, 'raw'), join(folder, 'test.qcow2')];
    await makeImage('qcow2', image, { size: 64 * K });
    writeFileSync(raw, Buffer.alloc(64 * K));
    const spec = specFromFileName(driverList, `blkverify:${raw}:${image}`, 'raw');
    const disk = await openDisk(spec, { writable: true });
    expect(disk.size).toBe(64 * K);
    await disk.write(10 * K, Buffer.alloc(K, 5));
    await disk.close();
    expect(readFileSync(raw)[10 * K]).toBe(5);
    for (const bad of ['blkverify:', 'blkverify:x', 'blkverify::x', 'blkverify:x:']) {
      await expect(openDisk(specFromFileName(driverList, bad))).rejects.toThrow(
        `'${bad}' is not of the form blkverify:RAW:TEST`,
      );
    }
  });
});
