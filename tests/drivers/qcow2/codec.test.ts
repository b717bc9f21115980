/** Compressed clusters: what others packed is unpacked, what we pack is unpacked by others, garbage is refused. */
import fs from 'node:fs';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { CorruptImage } from '../../../src/core/errors/block-error.ts';
import { compress, decompress } from '../../../src/drivers/qcow2/codec.ts';
import { compressedRange, hostOffset, isCompressed } from '../../../src/drivers/qcow2/meta/entries.ts';
import { Compression } from '../../../src/drivers/qcow2/meta/header.ts';
import { measureFrame } from '../../../src/drivers/qcow2/zstd-frame.ts';
import { peersFor, qemuImg, qemuImgSame } from '../../support/peers.ts';
import { tempDir } from '../../support/temp.ts';
import { Anatomy } from './support/damage.ts';

const types = [
  { name: 'zlib', type: Compression.ZLIB },
  { name: 'zstd', type: Compression.ZSTD },
] as const;

/** Text, repetition, noise and zeroes in turns. */
function mixedData(length: number): Buffer {
  const data = Buffer.alloc(length);
  let state = 1;
  for (let at = 0; at < length; at += 4) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const kind = Math.floor(at / 20000) % 4;
    if (kind === 0) data.writeUInt32LE(state, at);
    else if (kind === 1) data.write('wxyz'.slice((state >>> 16) % 3), at);
    else if (kind === 2) data.writeUInt32LE((state >>> 16) & 0x0f0f, at);
  }
  return data;
}

/** A stored cluster as it lies in a file: up to the end of its sector, with what came before still in it. */
function padded(packed: Uint8Array, filler = 0xa5): Buffer {
  return Buffer.concat([packed, Buffer.alloc(512 - (packed.length % 512), filler)]);
}

describe.each(types)('$name', ({ type }) => {
  test.each([512, 4096, 65536, 2 * 1024 * 1024])(
    'restores clusters of %d bytes whatever follows them',
    async (size) => {
      const cluster = Buffer.alloc(size, 'some text that repeats itself, ');
      const packed = await compress(type, cluster);
      expect(packed?.length).toBeLessThan(size);
      const stored = padded(packed ?? cluster);
      expect(cluster.equals(await decompress(type, stored, size))).toBe(true);
    },
  );

  test('leaves alone what does not shrink', async () => {
    expect(await compress(type, mixedData(20000).subarray(0, 16384))).toBeUndefined();
  });

  test('keeps parallel clusters apart', async () => {
    const clusters = Array.from({ length: 40 }, (_, index) => Buffer.alloc(16384, `cluster ${index % 7} `));
    const packed = await Promise.all(clusters.map((cluster) => compress(type, cluster)));
    for (const [index, cluster] of clusters.entries()) {
      const stored = packed[index] ?? new Uint8Array(0);
      expect(cluster.equals(await decompress(type, padded(stored), cluster.length))).toBe(true);
    }
  });

  test.each([512, 65536])('refuses more than a cluster of %d bytes', async (size) => {
    const packed = await compress(type, Buffer.alloc(64 * size));
    await expect(async () => decompress(type, padded(packed ?? Buffer.alloc(1)), size)).rejects.toThrow(CorruptImage);
  });

  test('refuses less than a cluster, a cut, noise and nothing', async () => {
    const packed = (await compress(type, mixedData(65536))) ?? Buffer.alloc(0);
    const short = (await compress(type, Buffer.alloc(4096))) ?? Buffer.alloc(0);
    const wrong = [short, packed.subarray(0, packed.length / 2), Buffer.alloc(600, 0xff), Buffer.alloc(0)];
    for (const stored of wrong) {
      await expect(async () => decompress(type, stored, 65536)).rejects.toThrow(/^compressed cluster: [^\n]+$/);
    }
  });

  test('refuses every change of a bit with an error or other bytes, never more of them', async () => {
    const packed = (await compress(type, mixedData(8192).fill('ab', 100, 6000))) ?? Buffer.alloc(0);
    for (let bit = 0; bit < Math.min(packed.length, 120) * 8; bit += 3) {
      const changed = Buffer.from(packed);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const outcome = await Promise.resolve()
        .then(() => decompress(type, changed, 8192))
        .catch((error: unknown) => error);
      expect(outcome instanceof CorruptImage || (outcome as Uint8Array).length === 8192).toBe(true);
    }
  });
});

describe('zstd frames', () => {
  const header = (descriptor: number, ...rest: number[]) => [0x28, 0xb5, 0x2f, 0xfd, descriptor, ...rest];
  const rle = (size: number, last: boolean) => {
    const word = (size << 3) | (1 << 1) | (last ? 1 : 0);
    return [word & 255, (word >> 8) & 255, word >> 16, 0];
  };

  test('are measured from their blocks', async () => {
    const packed = (await compress(Compression.ZSTD, Buffer.alloc(65536, 'x'))) ?? Buffer.alloc(0);
    expect(measureFrame(padded(packed)).length).toBe(packed.length);
    const frame = Buffer.from([...header(0x00, 0x58), ...rle(1000, false), ...rle(24, true), 9, 9]);
    expect(measureFrame(frame)).toEqual({ length: 14, contentSize: undefined, mostContent: 1024 });
  });

  test('that would unpack to far more than a cluster are refused unseen', async () => {
    const blocks = Array.from({ length: 2000 }, () => rle(128 * 1024, false)).flat();
    const bomb = Buffer.from([...header(0x00, 0x58), ...blocks, ...rle(1, true)]);
    await expect(decompress(Compression.ZSTD, bomb, 65536)).rejects.toThrow(/may unpack to 262144001 bytes/);
  });

  test('that announce another size are refused', async () => {
    const frame = Buffer.from([...header(0xa0, 0, 0, 0, 0x7f), ...rle(1, true)]);
    await expect(decompress(Compression.ZSTD, frame, 65536)).rejects.toThrow(/holds 2130706432 bytes, expected 65536/);
  });
});

describe.skipIf(peersFor('qemu-img').missing)('with qemu-img', () => {
  test.each(types)('$name clusters are exchanged both ways, of the same size', async ({ name, type }) => {
    const folder = tempDir();
    const raw = join(folder, 'disk.raw');
    const image = join(folder, 'disk.qcow2');
    fs.writeFileSync(raw, mixedData(2 * 1024 * 1024));
    await qemuImg(['convert', '-c', '-O', 'qcow2', '-o', `compression_type=${name}`, raw, image]);
    const anatomy = new Anatomy(fs.readFileSync(image));
    const disk = fs.readFileSync(raw);
    const packedClusters: { cluster: Buffer; offset: number; length: number }[] = [];
    for (let index = 0; index < disk.length / 65536; index++) {
      const cluster = disk.subarray(index * 65536, (index + 1) * 65536);
      const at = anatomy.l2() + index * 8;
      const hi = anatomy.view.getUint32(at);
      const lo = anatomy.view.getUint32(at + 4);
      if (isCompressed(hi)) packedClusters.push({ cluster, ...compressedRange(anatomy.geometry, hi, lo) });
      else expect(hostOffset(hi, lo) === 0 || (await compress(type, cluster)) === undefined).toBe(true);
    }
    packedClusters.sort((a, b) => a.offset - b.offset);
    let theirs = 0;
    let ours = 0;
    for (const [index, { cluster, offset, length }] of packedClusters.entries()) {
      const stored = Buffer.from(anatomy.bytes.subarray(offset, offset + length));
      expect(cluster.equals(await decompress(type, stored, 65536))).toBe(true);
      const packed = (await compress(type, cluster)) ?? Buffer.alloc(0);
      // Clusters are packed without gaps, so the next one tells how long this one is.
      const room = Math.min(length, (packedClusters[index + 1]?.offset ?? Number.POSITIVE_INFINITY) - offset);
      theirs += room;
      ours += packed.length;
      if (packed.length <= room) anatomy.bytes.set(packed, offset);
    }
    fs.writeFileSync(image, anatomy.bytes);
    expect(await qemuImgSame(raw, image)).toBe(true);
    expect(ours).toBeGreaterThan(0);
    expect(ours / theirs).toBeLessThan(1.02);
    expect(ours / theirs).toBeGreaterThan(0.9);
  });

  test('a cluster is one deflate stream with a window of 4 KiB', () => {
    const cluster = mixedData(65536);
    const packed = deflateRawSync(cluster, { windowBits: 12 });
    return expect(compress(Compression.ZLIB, cluster)).resolves.toEqual(packed);
  });
});
