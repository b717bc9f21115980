import fs from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Damage, damageLine } from '../../../src/core/block/damage.ts';
import { Autoclear, Compatible, Incompatible } from '../../../src/drivers/qcow2/meta/features.ts';
import { decodeHeader } from '../../../src/drivers/qcow2/meta/header.ts';
import { hasQemuImg, openMemory, qemuCheck, qemuImg, READ_ONLY, READ_WRITE, scratch } from './support/harness.ts';
import { MemoryFile } from './support/memory-file.ts';

const dir = scratch('open');
const image = path.join(dir, 'a.qcow2');

function made(options: string, size = '4M', then?: () => void): MemoryFile {
  fs.rmSync(image, { force: true });
  qemuImg('create', '-q', '-f', 'qcow2', '-o', options, image, size);
  then?.();
  return MemoryFile.load(image);
}

function headerOf(file: MemoryFile) {
  const bytes = new Uint8Array(512);
  file.peek(0, bytes);
  return decodeHeader(bytes, 'test');
}

function poke(file: MemoryFile, offset: number, ...bytes: number[]): MemoryFile {
  file.apply(offset, Uint8Array.from(bytes));
  return file;
}

/** Open, then write, and give the message of what went wrong. */
async function refusal(file: MemoryFile, modes = READ_ONLY): Promise<string> {
  try {
    const { image: opened } = await openMemory({ file, modes });
    await opened.close();
  } catch (error) {
    return (error as Error).message;
  }
  return 'opened';
}

describe.skipIf(!hasQemuImg)('opening a qcow2 image', () => {
  let plain: MemoryFile;
  beforeAll(() => {
    plain = made('cluster_size=64k');
  });

  it.each([0, 8, 22, 31, 64, 0xffffffff])('refuses cluster_bits %i', async (bits) => {
    const file = poke(plain.clone(), 20, bits >>> 24, bits >>> 16, bits >>> 8, bits);
    expect(await refusal(file)).toMatch(new RegExp(`cluster_bits is ${bits}, allowed are 9 to 21`));
  });

  it.each([
    ['l1_size', 36, [0x7f, 0xff, 0xff, 0xff], /l1_size is 2147483647, the limit is/],
    ['l1_size too small', 36, [0, 0, 0, 0], /l1_size is 0, a disk of 4194304 bytes needs 1/],
    ['l1 offset 0', 40, [0, 0, 0, 0, 0, 0, 0, 0], /l1_table_offset is 0/],
    ['l1 offset odd', 40, [0, 0, 0, 0, 0, 0, 2, 0], /l1_table_offset is 512, it must be a multiple/],
    ['l1 past the end', 40, [0, 0, 0, 1, 0, 0, 0, 0], /L1 table ends at 4294967304, past the end of the file/],
    ['refcount table past the end', 48, [0, 0, 0, 1, 0, 0, 0, 0], /refcount_table_offset is 4294967296, past the end/],
    ['refcount table clusters', 56, [0x7f, 0, 0, 0], /refcount_table_clusters is 2130706432, the limit is 128/],
    ['snapshots', 60, [0, 1, 0, 1], /nb_snapshots is 65537, the limit is 65536/],
    ['snapshot table of none', 64, [0x12, 0x34, 0x56, 0x78, 0x90, 0xab, 0xcd, 0xef], /snapshots_offset is 13117/],
    ['snapshot table of none', 64, [0, 0, 0, 0, 0, 0, 0x12, 0], /snapshots_offset is 4608, it must be a multiple/],
    [
      'extension across the name',
      8,
      [0, 0, 0, 0, 0, 0, 0, 116],
      /header extension 0x6803f857 is \d+ bytes long, only 0/,
    ],
    ['size', 24, [0x80, 0, 0, 0, 0, 0, 0, 0], /size is 9223372036854776000, the limit is/],
    ['crypt method', 32, [0, 0, 0, 9], /crypt_method is 9/],
    ['refcount order', 96, [0, 0, 0, 7], /refcount_order is 7, the limit is 6/],
    ['header length', 100, [0, 0, 0, 103], /header_length is 103/],
    ['header length', 100, [0, 1, 0, 8], /header_length is 65544, it must fit/],
    ['compression type', 104, [1], /compression_type is 1, but the compression type bit is not set/],
    ['backing name length', 8, [0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4, 0], /backing_file_size is 1024, the limit is 1023/],
    ['backing name place', 8, [0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 4], /backing_file_offset is 131072, it must lie/],
    ['extension length', 116, [0xff, 0xff, 0xff, 0xff], /header extension 0x6803f857 is 4294967295 bytes long/],
    ['version', 4, [0, 0, 0, 4], /version 4 is not supported/],
    ['magic', 0, [0], /is not a qcow2 image/],
  ] as const)('refuses a bad %s', async (_name, offset, bytes, message) => {
    expect(await refusal(poke(plain.clone(), offset, ...bytes), READ_WRITE)).toMatch(message);
  });

  it('shows what is left of an image whose snapshot table lies past the end of the file', async () => {
    const file = poke(plain.clone(), 60, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0x10, 0, 0);
    const { image: opened, edge } = await openMemory({ file, modes: READ_ONLY });
    expect(opened.snapshots?.list().map(({ id, name }) => id + name)).toEqual(['', '']);
    const content = Buffer.alloc(4096, 1);
    await edge.read(0, content);
    expect(content.every((byte) => byte === 0)).toBe(true);
    await opened.close();
  });

  it('refuses or reads a file that is cut off anywhere', async () => {
    for (const size of [0, 1, 4, 8, 71, 72, 103, 104, 111, 112, 200, 512, 4096, 65536, 131072, 196608]) {
      const file = plain.clone();
      file.applyTruncate(size);
      const message = await refusal(file);
      expect(message === 'opened' || message.includes("'test.qcow2'"), `${size}: ${message}`).toBe(true);
    }
  });

  it('names unknown incompatible features by the image’s own table', async () => {
    const file = plain.clone();
    poke(file, 72, 0x80);
    // The first entry of the feature name table now describes bit 63.
    poke(file, 121, 63, ...Buffer.from('time travel\0'));
    expect(await refusal(file)).toContain("features that are not supported: 'time travel' (bit 63)");
    expect(await refusal(poke(plain.clone(), 78, 0x80))).toContain('bit 15');
  });

  it('clears unknown autoclear bits when opened for writing, and keeps unknown compatible ones', async () => {
    const file = poke(plain.clone(), 80, 0x40);
    poke(file, 88, 0x40);
    expect(await refusal(file, READ_ONLY)).toBe('opened');
    expect(headerOf(file).autoclear).toBe(1n << 62n);
    expect(await refusal(file, READ_WRITE)).toBe('opened');
    expect(headerOf(file).autoclear).toBe(0n);
    expect(headerOf(file).compatible).toBe(1n << 62n);
  });

  it('opens a corrupt image for reading only', async () => {
    const file = poke(plain.clone(), 79, Number(Incompatible.CORRUPT));
    expect(await refusal(file, READ_WRITE)).toContain('marked corrupt');
    expect(await refusal(file, READ_ONLY)).toBe('opened');
  });

  it('opens an encrypted image for its header only', async () => {
    const file = poke(plain.clone(), 35, 1);
    expect(await refusal(file, READ_ONLY)).toContain("'encrypt.key-secret' is required");
    expect(await refusal(file, { ...READ_ONLY, noIo: true })).toBe('opened');
  });

  it('sets the dirty bit with lazy refcounts, and clears it at close', async () => {
    const file = made('lazy_refcounts=on');
    const opened = await openMemory({ file });
    expect(headerOf(file).incompatible).toBe(0n);
    await opened.edge.write(0, Buffer.alloc(65536, 1));
    expect(headerOf(file).incompatible).toBe(Incompatible.DIRTY);
    await opened.edge.flush();
    await opened.image.close();
    expect(headerOf(file).incompatible).toBe(0n);
    expect(headerOf(file).compatible).toBe(Compatible.LAZY_REFCOUNTS);
  });

  it('marks enabled bitmaps as in use by the first write, and leaves disabled ones alone', async () => {
    const file = made('cluster_size=64k', '4M', () => {
      qemuImg('bitmap', '--add', image, 'on');
      qemuImg('bitmap', '--add', '--disable', image, 'off');
    });
    const opened = await openMemory({ file });
    await opened.edge.read(0, Buffer.alloc(512));
    await opened.edge.write(0, Buffer.alloc(512, 1));
    await opened.image.close();
    file.save(image);
    expect(headerOf(file).autoclear).toBe(Autoclear.BITMAPS);
    const info = JSON.parse(qemuImg('info', '--output=json', image)) as {
      'format-specific': { data: { bitmaps: { name: string; flags: string[] }[] } };
    };
    const flags = Object.fromEntries(info['format-specific'].data.bitmaps.map(({ name, flags: set }) => [name, set]));
    expect(flags).toEqual({ on: ['in-use', 'auto'], off: [] });
    expect(qemuCheck(image).corruptions ?? 0).toBe(0);
  });

  it('sets the corrupt bit instead of overwriting metadata', async () => {
    const file = made('cluster_size=64k', '4M');
    const first = await openMemory({ file });
    await first.edge.write(0, Buffer.alloc(65536, 1));
    await first.image.close();
    const l1 = headerOf(file).l1TableOffset;
    const entry = Buffer.alloc(8);
    file.peek(l1, entry);
    const l2 = Number(entry.readBigUInt64BE() & 0x00fffffffffffe00n);
    // The guest's first cluster is said to lie where the refcount block lies.
    file.apply(l2, Buffer.from([0x80, 0, 0, 0, 0, 2, 0, 0]));
    const before = Buffer.alloc(65536);
    file.peek(0x20000, before);
    const damages: Damage[] = [];
    const opened = await openMemory({ file, damages });
    await expect(async () => opened.edge.write(0, Buffer.alloc(512, 2))).rejects.toThrow(
      'would overwrite a refcount block',
    );
    await expect(async () => opened.edge.write(1 << 20, Buffer.alloc(512, 2))).rejects.toThrow('cannot be written to');
    await opened.image.close();
    expect(damages).toMatchObject([{ kind: 'corrupt-image', driver: 'qcow2', fatal: true }]);
    expect(headerOf(file).incompatible).toBe(Incompatible.CORRUPT);
    const after = Buffer.alloc(65536);
    file.peek(0x20000, after);
    expect(after.equals(before)).toBe(true);
  });

  it.each([
    ['refcount block', 0x10000],
    ['count', 0x20000],
  ])('keeps the header when its %s is gone, with overlap checks off too', async (_name, offset) => {
    for (const overlap of ['none', 'cached']) {
      const file = made('cluster_size=64k', '4M');
      const before = Buffer.alloc(512);
      file.peek(0, before);
      file.apply(offset, Buffer.alloc(8));
      const damages: Damage[] = [];
      const opened = await openMemory({ file, damages, options: { 'overlap-check': overlap } });
      await expect(async () => opened.edge.write(0, Buffer.alloc(65536, 1))).rejects.toThrow(
        'allocation of L2 table at',
      );
      await opened.edge.flush();
      await opened.image.close();
      expect(damages.map(damageLine)).toEqual([
        expect.stringContaining('Marking image as corrupt: Preventing invalid'),
      ]);
      const after = Buffer.alloc(512);
      file.peek(0, after);
      expect(after.subarray(0, 72).equals(before.subarray(0, 72))).toBe(true);
    }
  });

  it.each([
    ['both allocated and zero', [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff], 8],
    ['allocated, but its cluster is not', [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 0],
  ] as const)('writes to no subclusters that are %s', async (what, bytes, at) => {
    const file = made('cluster_size=64k,extended_l2=on', '4M');
    const first = await openMemory({ file });
    await first.edge.write(0, Buffer.alloc(65536, 1));
    await first.image.close();
    const entry = Buffer.alloc(8);
    file.peek(headerOf(file).l1TableOffset, entry);
    file.apply(Number(entry.readBigUInt64BE() & 0x00fffffffffffe00n) + at, Uint8Array.from(bytes));
    const { edge, image: opened } = await openMemory({ file });
    await expect(async () => edge.write(4096, Buffer.alloc(4096, 2))).rejects.toThrow(what);
    await opened.close();
    expect(headerOf(file).incompatible & Incompatible.CORRUPT).toBe(Incompatible.CORRUPT);
  });

  it('holds against damage of any byte of its metadata', async () => {
    const file = made('cluster_size=1k,refcount_bits=8', '256k', () => {
      const raw = path.join(dir, 'fill.raw');
      fs.writeFileSync(raw, Buffer.alloc(100_000, 7));
      qemuImg('convert', '-c', '-n', '-f', 'raw', '-O', 'qcow2', raw, image);
    });
    let state = 12345;
    const random = (below: number) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const buf = Buffer.alloc(256 * 1024);
    for (let round = 0; round < 600; round++) {
      const damaged = file.clone();
      for (let n = 0; n <= random(4); n++) poke(damaged, random(random(2) ? 512 : damaged.size), random(256));
      try {
        const opened = await openMemory({ file: damaged, modes: random(2) ? READ_ONLY : READ_WRITE });
        try {
          await opened.edge.read(0, buf);
          if (!opened.image.disk.modes.readOnly) {
            await opened.edge.write(4096 * random(60), buf.subarray(0, 4096));
            await opened.edge.discard(0, 65536);
            await opened.edge.flush();
          }
        } finally {
          await opened.image.close().catch((error: unknown) => expect(error).toHaveProperty('code'));
        }
      } catch (error) {
        expect(error, `round ${round}: ${String((error as Error).stack)}`).toHaveProperty('code');
        expect((error as Error).message).not.toContain('\n');
      }
    }
  }, 30_000);
});
