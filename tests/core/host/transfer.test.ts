import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { HostCalls, PoolCalls, SyncCalls } from '../../../src/core/host/calls.ts';
import { poolCalls } from '../../../src/core/host/calls.ts';
import type { HostFile } from '../../../src/core/host/index.ts';
import { firstBatch, skipBytes, totalLength } from '../../../src/core/host/vectors.ts';
import { tempDir } from '../../support/temp.ts';
import { openFile, pattern } from './support.ts';

const { EAGAIN, EINTR, EIO, EOPNOTSUPP } = constants.errno;

/** Calls that move at most 7 bytes, and fail as the script says first. */
function stutter(script: number[] = []): PoolCalls {
  const next = (): number => script.shift() ?? 0;
  const short = (buffer: Uint8Array, start: number): Uint8Array =>
    buffer.subarray(0, Math.min(buffer.length, start + 7));
  const first = (buffers: readonly Uint8Array[]): readonly Uint8Array[] => firstBatch(buffers, 7);
  return {
    read: async (fd, buffer, start, offset) => next() || poolCalls.read(fd, short(buffer, start), start, offset),
    write: async (fd, buffer, start, offset) => next() || poolCalls.write(fd, short(buffer, start), start, offset),
    readv: async (fd, buffers, offset) => next() || poolCalls.readv(fd, first(buffers), offset),
    writev: async (fd, buffers, offset) => next() || poolCalls.writev(fd, first(buffers), offset),
    flush: async (fd) => next() || poolCalls.flush(fd),
  };
}

function newFile(calls: HostCalls): Promise<HostFile> {
  return openFile(join(tempDir(), 'file'), { create: 'exclusive', calls });
}

describe('transfers', () => {
  test('go on after short counts and interruptions on the thread pool', async () => {
    const script = [-EINTR, -EAGAIN, 0, -EINTR];
    const file = await newFile({ sync: undefined, pool: stutter(script) });
    const data = pattern(100);
    await file.write(3, data);
    await file.writev(103, [data.subarray(0, 10), data.subarray(10, 11), data.subarray(11)]);
    script.push(-EAGAIN, -EINTR, 0, -EINTR);
    const back = new Uint8Array(100);
    expect(await file.read(3, back)).toBe(100);
    expect(back).toEqual(data);
    const parts = [new Uint8Array(50), new Uint8Array(1), new Uint8Array(49)];
    script.push(-EINTR);
    expect(await file.readv(103, parts)).toBe(100);
    expect(Buffer.concat(parts).equals(data)).toBe(true);
    expect(await file.read(200, new Uint8Array(10))).toBe(3);
  });

  test('report the offset at which they failed', async () => {
    const script: number[] = [];
    const file = await newFile({ sync: undefined, pool: stutter(script) });
    script.push(0, 0, -EIO);
    await expect(file.write(100, pattern(50))).rejects.toThrow(
      `Could not write 36 bytes at offset 114 of '${file.path}': Input/output error`,
    );
  });

  test('go on after short counts and interruptions when done at once', async () => {
    const script = [-EINTR, 0, -EINTR];
    const next = (): number => script.shift() ?? 0;
    const path = join(tempDir(), 'file');
    const fd = openSync(path, 'w+');
    onTestFinished(() => closeSync(fd));
    const most = (buffer: Uint8Array, start: number): number => Math.min(7, buffer.length - start);
    const read: SyncCalls['read'] = (_fd, buffer, start, offset) =>
      next() || readSync(fd, buffer, start, most(buffer, start), offset);
    const write: SyncCalls['write'] = (_fd, buffer, start, offset) =>
      next() || writeSync(fd, buffer, start, most(buffer, start), offset);
    const sync: SyncCalls = { readCached: read, read, write };
    const file = await openFile(path, { calls: { sync, pool: stutter() } });
    const data = pattern(100);
    expect(file.write(0, data)).toBeUndefined();
    script.push(-EINTR, -EINTR);
    const back = new Uint8Array(100);
    expect(file.read(0, back)).toBe(100);
    expect(back).toEqual(data);
    back.fill(0);
    script.push(0, 0, -EAGAIN); // the rest is not cached
    expect(await file.read(0, back)).toBe(100);
    expect(back).toEqual(data);
    back.fill(0);
    script.push(-EOPNOTSUPP); // this filesystem has no RWF_NOWAIT: from here on all goes to the pool
    expect(await file.read(0, back)).toBe(100);
    expect(back).toEqual(data);
    expect(file.read(0, back)).toBeInstanceOf(Promise);
  });

  test('do not take an early answer of nothing for the end', async () => {
    const path = join(tempDir(), 'file');
    const sync: SyncCalls = { readCached: () => 0, read: () => 0, write: () => -EIO };
    const file = await openFile(path, {
      create: 'exclusive',
      inlineWriteLimit: 0,
      calls: { sync, pool: poolCalls },
    });
    await file.write(0, pattern(100));
    expect(await file.read(0, new Uint8Array(100))).toBe(100);
  });

  test('fail for good once a flush has failed', async () => {
    const script: number[] = [];
    const file = await newFile({ sync: undefined, pool: stutter(script) });
    await file.flush();
    script.push(-EIO);
    await expect(file.flush()).rejects.toThrow(`Could not flush '${file.path}': Input/output error`);
    await expect(file.flush()).rejects.toThrow('Input/output error');
  });
});

describe('lists of buffers', () => {
  const list = [new Uint8Array(3), new Uint8Array(0), new Uint8Array(5)];

  test('skipBytes leaves what follows', () => {
    expect(skipBytes(list, 0).map((part) => part.length)).toEqual([3, 0, 5].filter((length) => length > 0));
    expect(skipBytes(list, 3).map((part) => part.length)).toEqual([5]);
    expect(skipBytes(list, 4).map((part) => part.length)).toEqual([4]);
    expect(skipBytes(list, 8)).toEqual([]);
  });

  test('firstBatch keeps to bytes and to the number of buffers', () => {
    expect(firstBatch(list, 100)).toBe(list);
    expect(totalLength(firstBatch(list, 4))).toBe(4);
    const many = Array.from({ length: 1500 }, () => new Uint8Array(1));
    expect(firstBatch(many, 1 << 20).length).toBe(1024);
  });
});
