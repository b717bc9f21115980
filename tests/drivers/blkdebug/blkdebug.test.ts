/** blkdebug in a graph: errors, limits, permissions, names. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Flag } from '../../../src/core/block/driver.ts';
import { displayName } from '../../../src/core/block/graph/file-name.ts';
import { type NodeSpec, specFromFileName, specFromOptions } from '../../../src/core/block/graph/spec.ts';
import { driverList } from '../../../src/drivers/index.ts';
import { makeImage, openDisk, readDisk } from '../../support/disk.ts';
import { tempDir } from '../../support/temp.ts';
import { openDebug, outcome, SIZE } from './support.ts';

const K = 1024;

describe('inject-error', () => {
  test('fails requests by kind, with the sentence of the host', async () => {
    const { disk } = await openDebug({
      'inject-error': [
        { event: 'none', iotype: 'read', errno: 28 },
        { event: 'none', iotype: 'discard', errno: 'EPERM', immediately: true },
        { event: 'none', iotype: 'flush', errno: 5, once: true },
      ],
    });
    const buf = Buffer.alloc(4 * K);
    expect(await outcome(() => disk.read(0, buf))).toBe('ENOSPC');
    expect(await outcome(() => disk.write(0, buf))).toBe('ok');
    expect(await outcome(() => disk.zero(0, 4 * K))).toBe('ok');
    expect(() => disk.discard(0, 4 * K)).toThrow('Operation not permitted');
    expect(await outcome(() => disk.flush())).toBe('EIO');
    expect(disk.chainStatus(0, SIZE)).toMatchObject({ length: SIZE, zero: true });
  });

  test('can fail block status, and otherwise is looked through', async () => {
    const failing = await openDebug({ 'inject-error': [{ event: 'none', iotype: 'block-status', once: true }] });
    expect(await outcome(() => failing.disk.chainStatus(0, SIZE))).toBe('EIO');
    await failing.disk.write(64 * K, Buffer.alloc(K, 1));
    expect(failing.disk.chainStatus(0, SIZE)).toMatchObject({ length: 64 * K, zero: true, allocated: true });
  });

  test('holds a request back for a time, with an error or without', async () => {
    const { disk } = await openDebug({ 'inject-error': [{ event: 'none', errno: 0, 'delay-ns': 30_000_000 }] });
    const begin = performance.now();
    expect(await outcome(() => disk.write(0, Buffer.alloc(512)))).toBe('ok');
    expect(performance.now() - begin).toBeGreaterThan(25);
  });

  test('follows the events of the request path above it', async () => {
    const rules = { 'inject-error': [{ event: 'pwritev_rmw_after_head', errno: 28, iotype: 'write', once: 'on' }] };
    const { disk, memory } = await openDebug({ ...rules, align: 4 * K });
    expect(await outcome(() => disk.write(4 * K, Buffer.alloc(4 * K, 1)))).toBe('ok');
    expect(await outcome(() => disk.write(100, Buffer.alloc(10, 2)))).toBe('ENOSPC');
    expect(await outcome(() => disk.write(100, Buffer.alloc(10, 3)))).toBe('ok');
    expect(memory.data.subarray(98, 112)).toEqual(Buffer.from([0, 0, ...Array(10).fill(3), 0, 0]));
  });

  test('follows the events of raw, and of flushing', async () => {
    const rules = { 'inject-error': [{ event: 'read_aio', errno: 28, iotype: 'read', once: true }] };
    const { disk, breakpoints } = await openDebug(rules, (file) => ({ driver: 'raw', file }));
    await disk.write(0, Buffer.alloc(512, 7));
    expect(await outcome(() => disk.read(0, Buffer.alloc(512)))).toBe('ENOSPC');
    expect((await readDisk(disk, 0, 512)).every((byte) => byte === 7)).toBe(true);
    breakpoints.set('flush_to_disk', 'F');
    const flush = Promise.resolve(disk.flush());
    await breakpoints.wait('F');
    breakpoints.resume('F');
    await flush;
  });
});

describe('limits', () => {
  test.each([
    ['itself', (spec: NodeSpec) => spec],
    ['a node above', (file: NodeSpec) => ({ driver: 'raw', file })],
  ])('by which %s splits a request have it made stable by one flush at its end', async (_, wrap) => {
    const limits = { 'max-transfer': 16 * K, 'opt-write-zero': 32 * K };
    const { disk, memory } = await openDebug(limits, wrap);
    await disk.write(0, Buffer.alloc(64 * K, 1), Flag.FUA);
    expect([memory.counts.write, memory.counts.flush]).toEqual([4, 1]);
    expect(memory.stable.subarray(0, 64 * K).every((byte) => byte === 1)).toBe(true);
    await disk.zero(16 * K, 40 * K, Flag.FUA);
    expect(memory.counts.flush).toBe(2);
    expect(memory.stable.subarray(16 * K, 56 * K).every((byte) => byte === 0)).toBe(true);
    // In one piece, as it was asked for.
    await disk.write(0, Buffer.alloc(4 * K, 2), Flag.FUA);
    expect([memory.counts.flush, memory.stable[4 * K - 1]]).toEqual([3, 2]);
  });

  test('by which a request is split leave it to a disk that knows how to be forced', async () => {
    const flags = { writeFlags: Flag.FUA, zeroFlags: Flag.FUA };
    const { disk, memory } = await openDebug({ 'max-transfer': 16 * K }, undefined, flags);
    await disk.write(0, Buffer.alloc(64 * K, 1), Flag.FUA);
    expect([memory.counts.write, memory.counts.flush]).toEqual([4, 0]);
    expect(memory.stable.subarray(0, 64 * K).every((byte) => byte === 1)).toBe(true);
  });

  test('by which a request is split do not lose its being forced where flushes are ignored', async () => {
    const ignoring = { 'max-transfer': 16 * K, cache: { 'no-flush': true } };
    const { disk, memory } = await openDebug(ignoring, undefined, { writeFlags: Flag.FUA });
    await disk.write(0, Buffer.alloc(64 * K, 1), Flag.FUA);
    expect(memory.stable.subarray(0, 64 * K).every((byte) => byte === 1)).toBe(true);
  });

  test('are kept by what reaches the image, and the content is right', async () => {
    const { disk, memory } = await openDebug({ align: 4 * K, 'max-transfer': 16 * K, 'opt-write-zero': 32 * K });
    const data = Buffer.from(Array.from({ length: 50_000 }, (_, index) => index % 251));
    await disk.write(1234, data);
    await disk.zero(10_000, 30_000);
    data.fill(0, 10_000 - 1234, 40_000 - 1234);
    expect(await readDisk(disk, 1234, data.length)).toEqual(data);
    expect(memory.counts.write).toBeGreaterThan(3);
    expect(disk.limits).toMatchObject({ requestAlignment: 4 * K, maxTransfer: 16 * K });
  });

  test('take the place of those of the image, also where they are smaller', async () => {
    const limits = { zeroAlignment: 64 * K, discardAlignment: 64 * K, takesParts: true };
    const seen: [string, number][] = [];
    const on = (operation: string, _offset: number, length: number) => void seen.push([operation, length]);
    const small = await openDebug({ 'opt-write-zero': 1 * K, 'max-discard': 16 * K }, undefined, { limits, on });
    // What is less than its granularity is written.
    await small.disk.zero(0, 512);
    await small.disk.zero(K, 2 * K);
    await small.disk.discard(0, 64 * K);
    expect(seen).toEqual([['write', 512], ['zero', 2 * K], ...Array(4).fill(['discard', 16 * K])]);
    seen.length = 0;
    const short = await openDebug({ 'max-write-zero': 16 * K, 'opt-discard': 8 * K }, undefined, { limits, on });
    await short.disk.zero(0, 64 * K);
    // Parts of its granularity are discarded apart.
    await short.disk.discard(K, 9 * K);
    expect(seen).toEqual([...Array(4).fill(['zero', 16 * K]), ['discard', 7 * K], ['discard', 2 * K]]);
  });

  test.each([
    [{ align: 3000 }, "option 'align' of driver 'blkdebug' must be a power of two, not 3000"],
    [{ align: 4096, 'max-transfer': 5000 }, "'max-transfer' of driver 'blkdebug' must be a multiple of 4096 bytes"],
    [{ 'opt-discard': 8192, 'max-discard': 4096 }, "'max-discard' of driver 'blkdebug' must be a multiple of 8192"],
    [{ 'inject-error': [{ event: 'nothing' }] }, "option 'inject-error.0.event' of driver 'blkdebug' expects"],
    [
      { 'inject-error': [{ event: 'none', errno: 'x' }] },
      "option 'inject-error.0.errno' of driver 'blkdebug' expects the number or the name of an error that a request can have",
    ],
    [
      { 'inject-error': [{ event: 'none', 'delay-ns': 2 ** 51 }] },
      "'inject-error.0.delay-ns' of driver 'blkdebug' must be between 0 and 2147483647000000, not 2251799813685248",
    ],
    [
      { 'inject-error': [{ event: 'none', sector: 2 ** 45 }] },
      "'inject-error.0.sector' of driver 'blkdebug' must be between -1 and 17592186044415, not 35184372088832",
    ],
    [{ config: '/dev/zero' }, "'/dev/zero' is longer than 1048576 bytes, too long for a file of rules"],
    [{ config: '/' }, "Could not read '/': Is a directory"],
    [{ 'set-state': [{ event: 'none' }] }, "driver 'blkdebug' needs the option 'set-state.0.new_state'"],
    [{ config: '/no/such/file' }, "Could not read '/no/such/file': No such file or directory"],
  ])('and options that make no sense are refused: %j', async (options, message) => {
    await expect(openDebug(options)).rejects.toThrow(message);
  });
});

describe('names and options', () => {
  test('blkdebug:CONFIG:IMAGE is probed from above, and takes the rules of the file', async () => {
    const folder = tempDir();
    const image = join(folder, 'a.qcow2');
    const config = join(folder, 'rules.conf');
    writeFileSync(config, '[inject-error]\nevent = "read_aio"\nerrno = "28"\nonce = "on"\n');
    await makeImage('qcow2', image, { size: SIZE });
    const disk = await openDisk(specFromFileName(driverList, `blkdebug:${config}:${image}`), { writable: true });
    expect(disk.image.driver.name).toBe('qcow2');
    await disk.write(0, Buffer.alloc(512, 1));
    const named = displayName(disk.image);
    expect(named).toBe(`blkdebug:${config}:${image}`);
    await disk.close();
    const again = await openDisk(specFromFileName(driverList, named));
    expect((await readDisk(again, 512, 512)).every((byte) => byte === 0)).toBe(true);
    await again.close();
  });

  test.each(['blkdebug:x', 'blkdebug:x:', 'blkdebug:'])('%s lacks an image', async (name) => {
    await expect(openDisk(specFromFileName(driverList, name))).rejects.toThrow(
      `'${name}' is not of the form blkdebug:CONFIG:IMAGE`,
    );
  });

  test('given by options it probes what it filters', async () => {
    const image = join(tempDir(), 'a.qcow2');
    await makeImage('qcow2', image, { size: SIZE });
    for (const name of ['image.filename', 'x-image']) {
      const disk = await openDisk(specFromOptions(`driver=blkdebug,${name}=${image},align=4096`));
      expect([disk.size, disk.image.filtered?.node.driver.name]).toEqual([SIZE, 'qcow2']);
      await disk.close();
    }
  });

  test('a plain file name is that of the image, whatever its driver', async () => {
    const image = join(tempDir(), 'a.qcow2');
    await makeImage('qcow2', image, { size: SIZE });
    for (const options of [
      'driver=blkdebug,filename=',
      'driver=blkdebug,image.driver=qcow2,filename=',
      'driver=qcow2,file.driver=blkdebug,file.filename=',
    ]) {
      const disk = await openDisk(specFromOptions(options + image));
      expect([disk.size, [...disk.graph.nodes.values()].map((node) => node.driver.name).sort()]).toEqual([
        SIZE,
        ['blkdebug', 'file', 'qcow2'],
      ]);
      await disk.close();
    }
  });

  test('a relative backing file is found beside the image below', async () => {
    const folder = tempDir();
    await makeImage('raw', join(folder, 'base'), { size: SIZE });
    await makeImage('qcow2', join(folder, 'top'), { size: SIZE, backing_file: 'base', backing_fmt: 'raw' });
    const disk = await openDisk(specFromFileName(driverList, `blkdebug::${join(folder, 'top')}`));
    expect(disk.image.backing?.node.fileName).toBe(join(folder, 'base'));
    await disk.close();
  });

  test('permissions can be taken and withheld', async () => {
    const image = join(tempDir(), 'a.raw');
    await makeImage('raw', image, { size: SIZE });
    const spec = { driver: 'blkdebug', image: { driver: 'file', filename: image } };
    const first = await openDisk({ ...spec, 'unshare-child-perms': ['consistent-read'] });
    await expect(openDisk(spec)).rejects.toThrow('lock');
    await first.close();
    await expect(openDisk({ ...spec, 'take-child-perms': ['write'] })).rejects.toThrow('is read-only');
  });
});
