/** copy-on-read: what is copied, what is not, and beside what. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Backend } from '../../../src/core/block/backend/backend.ts';
import type { NodeSpec } from '../../../src/core/block/graph/spec.ts';
import { makeImage, openDisk, readDisk } from '../../support/disk.ts';
import { peerOutput, peersFor, qemuImgJson } from '../../support/peers.ts';
import { tempDir } from '../../support/temp.ts';

const K = 1024;
const SIZE = 1024 * K;
const node = (path: string, more: Record<string, unknown> = {}): NodeSpec => ({
  driver: 'qcow2',
  file: { driver: 'file', filename: path },
  ...more,
});

/** base holds 1 at 128 KiB, mid holds 2 at 512 KiB, top nothing; 64 KiB of each. */
async function chain(): Promise<{ base: string; mid: string; top: string }> {
  const folder = tempDir();
  const [base, mid, top] = ['base', 'mid', 'top'].map((name) => join(folder, name)) as [string, string, string];
  await makeImage('qcow2', base, { size: SIZE });
  await makeImage('qcow2', mid, { size: SIZE, backing_file: base, backing_fmt: 'qcow2' });
  await makeImage('qcow2', top, { size: SIZE, backing_file: mid, backing_fmt: 'qcow2' });
  for (const [path, offset, value] of [
    [base, 128, 1],
    [mid, 512, 2],
  ] as const) {
    const disk = await openDisk(node(path), { writable: true });
    await disk.write(offset * K, Buffer.alloc(64 * K, value));
    await disk.close();
  }
  return { base, mid, top };
}

const open = (file: NodeSpec, more = {}) => openDisk({ driver: 'copy-on-read', file, ...more }, { writable: true });

/** Ranges that the top layer itself holds, in KiB. */
async function held(path: string): Promise<string[]> {
  const disk = await openDisk(node(path, { backing: null }));
  const found: string[] = [];
  for (let at = 0; at < SIZE; ) {
    const { length, allocated, data } = await disk.status(at, SIZE - at);
    if (allocated) found.push(`${at / K}+${length / K} ${data ? 'data' : 'zero'}`);
    at += length;
  }
  await disk.close();
  return found;
}

describe('copy-on-read', () => {
  test('copies the clusters that a read touches, zeroes as zeroes', async () => {
    const { top } = await chain();
    const disk = await open(node(top));
    expect((await readDisk(disk, 130 * K, 10))[0]).toBe(1);
    expect((await readDisk(disk, 700 * K, 4 * K))[0]).toBe(0);
    await disk.close();
    expect(await held(top)).toEqual(['128+64 data', '640+64 zero']);
  });

  test('with a bottom, copies only what lies above and in it', async () => {
    const { mid, top, base } = await chain();
    const backing = node(mid, { 'node-name': 'mid', backing: node(base) });
    const disk = await open(node(top, { backing }), { bottom: 'mid' });
    const read = await readDisk(disk);
    expect([read[128 * K], read[512 * K]]).toEqual([1, 2]);
    await disk.close();
    expect(await held(top)).toEqual(['512+64 data']);
    await expect(open(node(top), { bottom: 'nobody' })).rejects.toThrow("bottom node 'nobody' is not a layer");
  });

  test.each([512, 64 * K, 2048 * K])('copies long runs, with clusters of %i bytes', async (cluster_size) => {
    const folder = tempDir();
    const [base, top] = [join(folder, 'base'), join(folder, 'top')];
    const size = 9000 * K + 512;
    await makeImage('raw', base, { size });
    const writing = await openDisk({ driver: 'raw', file: { driver: 'file', filename: base } }, { writable: true });
    await writing.write(5000 * K + 512, Buffer.alloc(1500 * K, 7));
    await writing.close();
    await makeImage('qcow2', top, { size, cluster_size, backing_file: base, backing_fmt: 'raw' });
    const wanted = Buffer.alloc(size);
    wanted.fill(7, 5000 * K + 512, 6500 * K + 512);
    for (const bottom of [undefined, 'base']) {
      const backing = { driver: 'raw', 'node-name': 'base', file: { driver: 'file', filename: base } };
      const disk = await open(node(top, { backing }), bottom ? { bottom } : {});
      expect((await readDisk(disk)).equals(wanted)).toBe(true);
      await disk.close();
    }
    const alone = await openDisk(node(top, { backing: null }));
    expect((await readDisk(alone)).equals(wanted)).toBe(true);
    await alone.close();
  });

  test('never puts old data over what is written at the same time', async () => {
    const { top } = await chain();
    const disk = await open(node(top));
    for (let at = 0; at < SIZE; at += 64 * K) {
      const read = readDisk(disk, at, 64 * K);
      const write = disk.write(at + 512, Buffer.alloc(512, 9));
      await Promise.all([read, write]);
    }
    const content = await readDisk(disk);
    for (let at = 0; at < SIZE; at += 64 * K) expect(content[at + 600], `at ${at}`).toBe(9);
    await disk.close();
  });

  test('takes unaligned writes where the image below is written to in larger blocks', async () => {
    const { top } = await chain();
    const disk = await open({ driver: 'blkdebug', image: node(top), align: 4 * K });
    // Beside reads that copy the same cluster.
    await Promise.all([
      disk.write(128 * K + 100, Buffer.alloc(50, 7)),
      readDisk(disk, 130 * K, 100),
      disk.zero(140 * K + 1, 100),
      disk.write(512 * K - 10, Buffer.alloc(20, 8)),
    ]);
    const first = await readDisk(disk, 128 * K, 64 * K);
    expect([first[99], first[100], first[149], first[150], first[12 * K], first[12 * K + 1]]).toEqual([
      1, 7, 7, 1, 1, 0,
    ]);
    const second = await readDisk(disk, 512 * K - 11, 22);
    expect([second[0], second[1], second[20], second[21]]).toEqual([0, 8, 8, 2]);
    await disk.close();
  });

  test('needs a writable image; one without a backing file is filled with zeroes', async () => {
    const { base, top } = await chain();
    await expect(openDisk({ driver: 'copy-on-read', file: node(top) })).rejects.toThrow('read-only');
    const disk = await open(node(base));
    await readDisk(disk, 0, 200 * K);
    await disk.close();
    expect(await held(base)).toEqual(['0+128 zero', '128+64 data', '192+64 zero']);
  });

  test('fails a read whose copy cannot be written', async () => {
    const { top } = await chain();
    const rules = [{ event: 'cor_write', iotype: 'write', errno: 28, once: true }];
    const debug = { driver: 'blkdebug', image: node(top), 'inject-error': rules };
    const disk: Backend = await open(debug);
    await expect(readDisk(disk, 128 * K, 512)).rejects.toThrow('No space left on device');
    expect((await readDisk(disk, 128 * K, 512))[0]).toBe(1);
    await disk.close();
  });

  test.skipIf(peersFor('qemu-io', 'qemu-img').missing)('copies what QEMU copies', async () => {
    const maps: unknown[] = [];
    for (const ours of [true, false]) {
      const { top } = await chain();
      const reads = [
        [100 * K, 40 * K],
        [500 * K, 4 * K],
        [900 * K, 100],
      ] as const;
      if (ours) {
        const disk = await open(node(top));
        for (const [offset, length] of reads) await readDisk(disk, offset, length);
        await disk.close();
      } else {
        const commands = reads.flatMap(([offset, length]) => ['-c', `read ${offset} ${length}`]);
        await peerOutput('qemu-io', [
          '--image-opts',
          ...commands,
          `driver=copy-on-read,file.driver=qcow2,file.file.filename=${top}`,
        ]);
      }
      const map = await qemuImgJson<Record<string, unknown>[]>(['map', top]);
      maps.push(map.map(({ start, length, depth, zero, data }) => ({ start, length, depth, zero, data })));
    }
    expect(maps[0]).toEqual(maps[1]);
  });
});
