/** compress: whatever is written ends up compressed. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
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
  });

  test.skipIf(peersFor('qemu-img').missing)('makes images that QEMU reads as compressed', async () => {
    const { path, disk } = await compressed(256 * K);
    await disk.write(0, Buffer.alloc(256 * K, 'x'));
    await disk.close();
    const { report } = await qemuImgCheck(path);
    expect(report).toMatchObject({ 'compressed-clusters': 4, 'allocated-clusters': 4 });
  });
});
