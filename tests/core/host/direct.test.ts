import { writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { addressOf } from '../../../src/core/host/address.ts';
import { poolCalls } from '../../../src/core/host/calls.ts';
import { bouncing, probeAlignment } from '../../../src/core/host/direct.ts';
import { AlignedPool, alignedBuffer, HostFile, isAligned } from '../../../src/core/host/index.ts';
import { withholdLibc } from '../../../src/core/host/libc.ts';
import { tempDir } from '../../support/temp.ts';
import { isLinux, openFile, pattern, readBack, same } from './support.ts';

describe.runIf(isLinux)('aligned memory', () => {
  test('alignedBuffer keeps to the alignment', () => {
    for (const alignment of [512, 4096, 65536]) {
      for (const length of [1, 512, 100_000]) {
        const buffer = alignedBuffer(length, alignment);
        expect(buffer.length).toBe(length);
        expect(isAligned(buffer, alignment)).toBe(true);
        expect(isAligned(buffer.subarray(1), alignment)).toBe(false);
      }
    }
  });

  test('addressOf is stable, for small views too', () => {
    const small = new Uint8Array(8);
    const address = addressOf(small);
    for (let i = 0; i < 1e6; i++) new Uint8Array(16).fill(i); // something to collect
    expect(addressOf(new Uint8Array(small.buffer))).toBe(address);
    expect(addressOf(small.subarray(3))).toBe(address + 3);
  });

  test('AlignedPool lends again what it got back', () => {
    const pool = new AlignedPool(4096);
    const first = pool.take(5000);
    expect(first.length).toBe(5000);
    pool.give(first);
    const second = pool.take(8000);
    expect(second.buffer).toBe(first.buffer);
    expect(isAligned(second, 4096)).toBe(true);
    expect(pool.take(8000).buffer).not.toBe(first.buffer);
    const huge = pool.take(5 << 20);
    pool.give(huge);
    expect(pool.take(5 << 20).buffer).not.toBe(huge.buffer);
  });
});

describe.runIf(isLinux)('O_DIRECT', () => {
  test('takes memory at any address', async () => {
    const path = join(tempDir(), 'file');
    const file = await openFile(path, { create: 'exclusive', direct: true });
    const { request, memory } = file.alignment;
    expect(request).toBeGreaterThanOrEqual(512);
    expect(memory).toBeGreaterThanOrEqual(1);
    const data = pattern(256 * 1024);
    const shifted = new Uint8Array(data.length + 3).subarray(3);
    shifted.set(data);
    await file.write(0, shifted);
    await file.writev(data.length, [shifted.subarray(0, 4096 + 5), shifted.subarray(4096 + 5)]);
    expect(file.size).toBe(2 * data.length);
    const plain = await openFile(path, { readOnly: true });
    expect(same(await readBack(plain, 0, data.length), data)).toBe(true);
    const back = new Uint8Array(data.length + 1).subarray(1);
    expect(await file.read(data.length, back)).toBe(data.length);
    expect(same(back, data)).toBe(true);
    const parts = [new Uint8Array(1000), new Uint8Array(1), new Uint8Array(8192 - 1001)];
    expect(await file.readv(0, parts)).toBe(8192);
    expect(same(Buffer.concat(parts), data.subarray(0, 8192))).toBe(true);
    await file.flush();
  });

  test('reads up to an end that is not aligned', async () => {
    const path = join(tempDir(), 'file');
    writeFileSync(path, pattern(10_000));
    const file = await openFile(path, { readOnly: true, direct: true });
    const buffer = new Uint8Array(16384);
    expect(await file.read(0, buffer)).toBe(10_000);
    expect(same(buffer.subarray(0, 10_000), pattern(10_000))).toBe(true);
  });

  test('is probed by reading where the kernel does not say', async () => {
    const path = join(tempDir(), 'file');
    writeFileSync(path, pattern(65536));
    const file = await openFile(path, { readOnly: true, direct: true });
    const restore = withholdLibc(['statx', 'ioctl']);
    try {
      const probed = await probeAlignment(file.fd, path, poolCalls);
      expect(probed.request).toBe(file.alignment.request);
      expect(probed.memory).toBeGreaterThanOrEqual(file.alignment.memory);
      writeFileSync(path, '');
      expect(await probeAlignment(file.fd, path, poolCalls)).toEqual({ request: 4096, memory: 4096 });
    } finally {
      restore();
    }
  });

  test('is refused in one line where the filesystem lacks it', async () => {
    const path = '/proc/self/status';
    await expect(HostFile.open(path, { readOnly: true, direct: true })).rejects.toThrow(
      `Could not open '${path}': its filesystem does not support direct I/O (O_DIRECT)`,
    );
  });

  test('sends aligned requests on as they are and copies the others', async () => {
    const seen: boolean[] = [];
    const { EINVAL } = constants.errno;
    const strict = (buffer: Uint8Array, start: number): number => {
      seen.push(isAligned(buffer.subarray(start), 512));
      return isAligned(buffer.subarray(start), 512) ? buffer.length - start : -EINVAL;
    };
    const calls = bouncing(
      {
        ...poolCalls,
        read: async (_fd, buffer, start) => strict(buffer.fill(7), start),
        write: async (_fd, buffer, start) => strict(buffer, start),
      },
      { request: 512, memory: 512 },
    );
    const aligned = alignedBuffer(1024, 512);
    const shifted = new Uint8Array(alignedBuffer(2048, 512).buffer, 9, 1024);
    for (const buffer of [aligned, shifted]) {
      expect(await calls.write(0, buffer, 0, 0)).toBe(1024);
      expect(await calls.read(0, buffer, 0, 0)).toBe(1024);
      expect(buffer.every((byte) => byte === 7)).toBe(true);
    }
    expect(seen).toEqual([true, true, true, true]);
  });
});
