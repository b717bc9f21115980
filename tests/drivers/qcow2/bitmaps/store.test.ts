import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Backend } from '../../../../src/core/block/backend/backend.ts';
import {
  addBitmap,
  bitmapSha256,
  clearBitmap,
  describeBitmaps,
  disableBitmap,
  enableBitmap,
  mergeBitmaps,
  removeBitmap,
} from '../../../../src/core/block/bitmaps/index.ts';
import { checkDisk, makeImage, openDisk } from '../../../support/disk.ts';
import { tempDir } from '../../../support/temp.ts';

const SIZE = 8 * 1024 * 1024;
const GRAIN = 65536;

async function newImage(options: Record<string, unknown> = {}): Promise<string> {
  const path = join(tempDir(), 'disk.qcow2');
  await makeImage('qcow2', path, { size: SIZE, cluster_size: 4096, ...options });
  return path;
}

function open(path: string, writable = true, warn?: (message: string) => void): Promise<Backend> {
  const spec = { driver: 'qcow2', file: { driver: 'file', filename: path } };
  return openDisk(spec, { writable, ...(warn ? { warn } : {}) });
}

async function withDisk<T>(path: string, action: (disk: Backend) => Promise<T> | T, writable = true): Promise<T> {
  const disk = await open(path, writable);
  try {
    return await action(disk);
  } finally {
    await disk.close();
  }
}

const dirty = (disk: Backend, name: string) =>
  [...disk.image.io.bitmaps.get(name).bits.extents()]
    .filter((extent) => extent.dirty)
    .map(({ offset, length }) => [offset, length]);

describe('a bitmap kept in the image', () => {
  test('records over several opens, and not while it is disabled', async () => {
    const path = await newImage();
    await withDisk(path, async (disk) => {
      await addBitmap(disk.image, 'b', { persistent: true, granularity: GRAIN });
      await disk.write(0, Buffer.alloc(1, 1));
    });
    await withDisk(path, (disk) => disk.write(5 * GRAIN, Buffer.alloc(GRAIN, 1)));
    await withDisk(path, async (disk) => {
      await disableBitmap(disk.image, 'b');
      await disk.write(3 * GRAIN, Buffer.alloc(1, 1));
    });
    await withDisk(path, async (disk) => {
      await disk.write(4 * GRAIN, Buffer.alloc(1, 1));
      await enableBitmap(disk.image, 'b');
      await disk.zero(100 * GRAIN, 2 * GRAIN);
    });
    await withDisk(
      path,
      async (disk) => {
        expect(dirty(disk, 'b')).toEqual([
          [0, GRAIN],
          [5 * GRAIN, GRAIN],
          [100 * GRAIN, 2 * GRAIN],
        ]);
        expect(await checkDisk(disk)).toMatchObject({ corruptions: 0, leaks: 0 });
      },
      false,
    );
  });

  test('follows the length of the disk', async () => {
    const path = await newImage();
    await withDisk(path, async (disk) => {
      await addBitmap(disk.image, 'b', { persistent: true, granularity: 512 });
      await disk.write(SIZE - 512, Buffer.alloc(512, 1));
      await disk.truncate(2 * SIZE);
      await disk.write(2 * SIZE - 512, Buffer.alloc(512, 1));
    });
    await withDisk(path, (disk) => disk.truncate(SIZE + 512));
    await withDisk(path, async (disk) => {
      expect(dirty(disk, 'b')).toEqual([[SIZE - 512, 512]]);
      expect(await checkDisk(disk)).toMatchObject({ corruptions: 0, leaks: 0 });
    });
  });

  test('leaves an image that is only read, or where nothing is changed, to the byte as it was', async () => {
    const path = await newImage();
    await withDisk(path, (disk) => addBitmap(disk.image, 'b', { persistent: true }));
    const before = readFileSync(path);
    await withDisk(path, (disk) => disk.read(0, Buffer.alloc(512)), false);
    await withDisk(path, (disk) => disk.read(0, Buffer.alloc(512)));
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  test('gives its space back when it is removed; without any the header names none', async () => {
    const path = await newImage();
    const size = readFileSync(path).length;
    await withDisk(path, async (disk) => {
      for (const name of ['a', 'b']) await addBitmap(disk.image, name, { persistent: true, granularity: 512 });
      await disk.write(0, Buffer.alloc(512, 1));
    });
    expect(readFileSync(path).length).toBeGreaterThan(size);
    for (const name of ['a', 'b']) await withDisk(path, (disk) => removeBitmap(disk.image, name));
    await withDisk(path, async (disk) => {
      expect(describeBitmaps(disk.image.io.bitmaps)).toEqual([]);
      expect(await checkDisk(disk)).toMatchObject({ corruptions: 0, leaks: 0 });
      expect((await disk.image.image.info?.())?.specific?.data.bitmaps).toBeUndefined();
    });
  });

  test('is marked as in use before the disk changes, and usable again once it is saved', async () => {
    const path = await newImage();
    await withDisk(path, (disk) => addBitmap(disk.image, 'b', { persistent: true }));
    const disk = await open(path);
    const seen = () =>
      withDisk(copyOf(path), (other) => describeBitmaps(other.image.io.bitmaps)[0]?.inconsistent, false);
    expect(await seen()).toBeUndefined();
    await disk.write(0, Buffer.alloc(512, 1));
    expect(await seen()).toBe(true);
    await disk.image.io.bitmaps.save();
    expect(await seen()).toBeUndefined();
    await disk.write(0, Buffer.alloc(512, 2));
    expect(await seen()).toBe(true);
    await disk.close();
    expect(await seen()).toBeUndefined();
  });

  test('that was in use is inconsistent: it can be removed and nothing else', async () => {
    const path = await newImage();
    await withDisk(path, (disk) => addBitmap(disk.image, 'b', { persistent: true }));
    const disk = await open(path);
    await disk.write(0, Buffer.alloc(512, 1));
    const broken = copyOf(path);
    await disk.close();
    await withDisk(broken, async ({ image }) => {
      for (const verb of [clearBitmap, enableBitmap, disableBitmap]) {
        await expect(verb(image, 'b')).rejects.toThrow("bitmap 'b' is inconsistent");
      }
      await addBitmap(image, 'c', { persistent: true });
      await expect(mergeBitmaps(image, 'c', [{ node: image, name: 'b' }])).rejects.toThrow('inconsistent');
      await removeBitmap(image, 'b');
    });
    await withDisk(broken, async (after) => {
      expect(describeBitmaps(after.image.io.bitmaps).map(({ name }) => name)).toEqual(['c']);
      expect(await checkDisk(after)).toMatchObject({ corruptions: 0, leaks: 0 });
    });
  });

  test('of an unknown kind stays in the directory as it is, and keeps the disk from being resized', async () => {
    const path = await newImage();
    await withDisk(path, (disk) => addBitmap(disk.image, 'later', { persistent: true, recording: false }));
    patchDirectory(path, (entry) => entry.writeUInt8(2, 16));
    await withDisk(path, async (disk) => {
      await addBitmap(disk.image, 'b', { persistent: true });
      await disk.write(0, Buffer.alloc(512, 1));
      await expect(addBitmap(disk.image, 'later', { persistent: true })).rejects.toMatchObject({ code: 'EEXIST' });
      await expect(disk.truncate(2 * SIZE)).rejects.toThrow('bitmaps of an unknown kind');
    });
    await withDisk(
      path,
      async (disk) => {
        expect(describeBitmaps(disk.image.io.bitmaps).map(({ name }) => name)).toEqual(['b']);
        const listed = (await disk.image.image.info?.())?.specific?.data.bitmaps as { name: string }[];
        expect(listed.map(({ name }) => name)).toEqual(['later', 'b']);
      },
      false,
    );
  });

  test('refuses what cannot be kept, with the limit', async () => {
    const path = await newImage({ compat: '0.10' });
    await withDisk(path, async ({ image }) => {
      await expect(addBitmap(image, 'b', { persistent: true })).rejects.toThrow('version 2');
      await addBitmap(image, 'b', {});
      await expect(addBitmap(image, 'b', {})).rejects.toMatchObject({ code: 'EEXIST' });
      await expect(addBitmap(image, '', {})).rejects.toThrow('cannot be empty');
      await expect(addBitmap(image, 'x'.repeat(1024), {})).rejects.toThrow('the limit is 1023');
      await expect(removeBitmap(image, 'c')).rejects.toMatchObject({ code: 'ENOENT' });
    });
    const huge = join(tempDir(), 'huge.qcow2');
    await makeImage('qcow2', huge, { size: 2 ** 42, cluster_size: 2 ** 21 });
    await withDisk(huge, async ({ image }) => {
      await expect(addBitmap(image, 'b', { persistent: true, granularity: 512 })).rejects.toThrow(
        'the limit is 536870912',
      );
    });
  });

  test('has the hash of its bits', async () => {
    const path = await newImage();
    await withDisk(path, async ({ image }) => {
      await addBitmap(image, 'b', { granularity: GRAIN });
      // 128 granules without a one: 16 bytes of zeroes.
      expect(bitmapSha256(image, 'b')).toBe('374708fff7719dd5979ec875d56cd2286f6d3cf7ec317a3b25632aab28ec37bb');
    });
  });
});

describe('undoing', () => {
  test('puts a bitmap back, with what was recorded since', async () => {
    const path = await newImage();
    await withDisk(path, async (disk) => {
      const { image } = disk;
      await addBitmap(image, 'b', { granularity: GRAIN });
      await disk.write(0, Buffer.alloc(512, 1));
      const undo = await clearBitmap(image, 'b');
      await disk.write(2 * GRAIN, Buffer.alloc(512, 1));
      await undo();
      expect(dirty(disk, 'b')).toEqual([
        [0, GRAIN],
        [2 * GRAIN, GRAIN],
      ]);
      await addBitmap(image, 'sum', { granularity: GRAIN, recording: false });
      const undoMerge = await mergeBitmaps(image, 'sum', [{ node: image, name: 'b' }]);
      expect(dirty(disk, 'sum')).toHaveLength(2);
      await undoMerge();
      expect(dirty(disk, 'sum')).toEqual([]);
      const undoRemove = await removeBitmap(image, 'b');
      await undoRemove();
      expect(dirty(disk, 'b')).toHaveLength(2);
    });
  });
});

describe('a damaged', () => {
  test.each([
    ['table size', (entry: Buffer) => entry.writeUInt32BE(0x7fffffff, 8), 'table'],
    ['table place', (entry: Buffer) => entry.writeUInt32BE(0x100, 2), 'past the end of the file'],
  ])('%s makes the bitmap inconsistent, and nothing else', async (_what, damage, message) => {
    const path = await newImage();
    await withDisk(path, (disk) => addBitmap(disk.image, 'b', { persistent: true }));
    patchDirectory(path, damage);
    const lines: string[] = [];
    const disk = await open(path, true, (line) => void lines.push(line));
    expect(describeBitmaps(disk.image.io.bitmaps)).toMatchObject([{ name: 'b', inconsistent: true }]);
    expect(lines.join()).toContain(message);
    await removeBitmap(disk.image, 'b');
    await disk.close();
    await withDisk(path, (after) => expect(after.image.io.bitmaps.count).toBe(0));
  });

  test.each([
    ['granularity', (entry: Buffer) => entry.writeUInt8(60, 17), 'granularity_bits is 60'],
    ['name size', (entry: Buffer) => entry.writeUInt16BE(60_000, 18), 'past the directory'],
    ['extra size', (entry: Buffer) => entry.writeUInt32BE(0xffffffff, 20), 'past the directory'],
  ])('%s refuses writing with one line, and lets the disk be read', async (_what, damage, message) => {
    const path = await newImage();
    await withDisk(path, (disk) => addBitmap(disk.image, 'b', { persistent: true }));
    patchDirectory(path, damage);
    await expect(open(path)).rejects.toThrow(message);
    const lines: string[] = [];
    const disk = await open(path, false, (line) => void lines.push(line));
    await disk.read(0, Buffer.alloc(512));
    await disk.close();
    expect(lines.join()).toContain(message);
  });
});

function copyOf(path: string): string {
  const copy = join(tempDir(), 'copy.qcow2');
  writeFileSync(copy, readFileSync(path));
  return copy;
}

/** Change the first entry of the bitmap directory, which the extension of type 0x23852875 leads to. */
function patchDirectory(path: string, change: (entry: Buffer) => void): void {
  const bytes = readFileSync(path);
  const at = bytes.indexOf(Buffer.from('23852875', 'hex'));
  const offset = Number(bytes.readBigUInt64BE(at + 8 + 16));
  change(bytes.subarray(offset));
  writeFileSync(path, bytes);
}
