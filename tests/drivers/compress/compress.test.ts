/** compress: whatever is written ends up compressed. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openNode } from '../../../src/core/block/graph/open.ts';
import { addOverlay, insertFilter, removeFilter } from '../../../src/core/block/graph/reshape.ts';
import { makeImage, openDisk, readDisk } from '../../support/disk.ts';
import { peersFor, qemuImgCheck } from '../../support/peers.ts';
import { tempDir } from '../../support/temp.ts';

const K = 1024;

async function compressed(size: number) {
  const path = join(tempDir(), 'a.qcow2');
  await makeImage('qcow2', path, { size });
  const image = { driver: 'qcow2', file: { driver: 'file', filename: path } };
  return { path, image, disk: await openDisk({ driver: 'compress', file: image }, { writable: true }) };
}

describe('compress', () => {
  test('stores unaligned writes, and the short last cluster, as compressed clusters', async () => {
    const size = 1024 * K + 512;
    const { image, disk } = await compressed(size);
    const wanted = Buffer.alloc(size);
    const write = async (offset: number, data: Buffer) => {
      data.copy(wanted, offset);
      await disk.write(offset, data);
    };
    await write(1000, Buffer.alloc(200 * K, 'abc'));
    await write(size - 300, Buffer.alloc(300, 7));
    await disk.zero(50 * K, 20 * K);
    wanted.fill(0, 50 * K, 70 * K);
    await disk.close();
    const plain = await openDisk(image);
    expect((await readDisk(plain)).equals(wanted)).toBe(true);
    for (const at of [0, 64 * K, 128 * K, 1024 * K]) {
      expect(await plain.chainStatus(at, 512)).toMatchObject({ data: true, compressed: true });
    }
    await plain.close();
  });

  test('needs a format that can compress', async () => {
    const file = { driver: 'raw', file: { driver: 'null-co' } };
    await expect(openDisk({ driver: 'compress', file })).rejects.toThrow("driver 'raw' cannot store compressed data");
    const path = join(tempDir(), 'a.qcow2');
    await makeImage('qcow2', path, { size: 1024 * K });
    const image = { driver: 'qcow2', file: { driver: 'file', filename: path } };
    const log = { driver: 'null-co', size: 1024 * K };
    const logged = { driver: 'blkreplay', image: { driver: 'blklogwrites', file: image, log } };
    await expect(openDisk({ driver: 'compress', file: logged })).rejects.toThrow("driver 'blklogwrites' cannot store");
  });

  test.each([4, 2048])('keeps to what is below when that becomes an overlay with clusters of %i KiB', async (kib) => {
    const size = 4096 * K;
    const { path, disk } = await compressed(size);
    const { graph } = disk;
    const wanted = Buffer.alloc(size);
    const write = async (offset: number, data: Buffer) => {
      data.copy(wanted, offset);
      await disk.write(offset, data);
    };
    await write(100 * K, Buffer.alloc(200 * K, 'abc'));
    const overlay = `${path}.overlay`;
    await makeImage('qcow2', overlay, { size, cluster_size: kib * K });
    const spec = {
      driver: 'qcow2',
      'node-name': 'overlay',
      backing: null,
      file: { driver: 'file', filename: overlay },
    };
    const node = await openNode(graph, spec, { modes: { readOnly: false } });
    await addOverlay(graph, disk.image.layer, node);
    await write(150 * K + 1, Buffer.alloc(10 * K, 'def'));
    expect(await node.io.status(148 * K, 512, true)).toMatchObject({ compressed: true });
    // Something that knows no compressed data comes between.
    writeFileSync(`${path}.log`, '');
    const filter = await insertFilter(graph, node, {
      driver: 'blklogwrites',
      log: { driver: 'file', filename: `${path}.log` },
    });
    await write(150 * K + 5, Buffer.alloc(10 * K, 'ghi'));
    await removeFilter(graph, filter);
    await write(3000 * K + 5, Buffer.alloc(10 * K, 'jkl'));
    expect(await node.io.status(3000 * K, 512, true)).toMatchObject({ compressed: true });
    expect((await readDisk(disk)).equals(wanted)).toBe(true);
    await disk.close();
  });

  test.skipIf(peersFor('qemu-img').missing)('makes images that QEMU reads as compressed', async () => {
    const { path, disk } = await compressed(256 * K);
    await disk.write(0, Buffer.alloc(256 * K, 'x'));
    await disk.close();
    const { report } = await qemuImgCheck(path);
    expect(report).toMatchObject({ 'compressed-clusters': 4, 'allocated-clusters': 4 });
  });
});
