/** Truncated images, other formats in one file, and metadata with random bits turned over (rows 15 and 16). */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDisk } from '../support/disk.ts';
import { Random, seeds } from '../support/random.ts';
import { tempDirForSuite } from '../support/temp.ts';
import { tryAll } from './commands.ts';
import { BASES, type Bases, makeBases, Victim } from './images.ts';
import { ImgServer } from './img-server.ts';

const folder = tempDirForSuite();
let server: ImgServer;
let bases: Bases;
beforeAll(async () => {
  server = await ImgServer.start();
  bases = await makeBases(folder);
});
afterAll(() => server[Symbol.asyncDispose]());

describe('an image cut off', () => {
  // A short file reads as zeroes up to its last sector's end, so some of these are sound headers of empty disks.
  test.each(['plain', 'version2'] as const)('within the header, %s', async (base) => {
    for (let length = 0; length <= 120; length++) {
      await tryAll({ server, folder, image: bases[base].subarray(0, length), name: `${length} bytes` });
    }
  });

  test.each(BASES)('at every cluster, %s', async (base) => {
    const image = bases[base];
    const step = new Victim(image).clusterSize;
    const boundaries = Array.from({ length: Math.ceil(image.length / step) }, (_, index) => index * step);
    const chosen = boundaries.filter((_, index) => index < 12 || index % Math.ceil(boundaries.length / 12) === 0);
    for (const boundary of chosen.slice(1)) {
      for (const length of [boundary - 1, boundary, boundary + 1]) {
        await tryAll({ server, folder, image: image.subarray(0, length), name: `${length} of ${image.length} bytes` });
      }
    }
  });
});

describe('metadata with random bits turned over', () => {
  test.each(seeds(40))('seed %d', async (seed) => {
    const random = new Random(seed);
    for (let round = 0; round < 8; round++) {
      const base = random.pick(BASES);
      const victim = new Victim(bases[base]);
      const places = placesOf(victim);
      const changes = Array.from({ length: random.between(1, 6) }, () => {
        const at = randomPlace(places, random);
        const value = random.pick([random.below(256), 0, 0xff, (victim.bytes[at] ?? 0) ^ (1 << random.below(8))]);
        victim.u8(at, value);
        return `${at}=${value}`;
      });
      const name = `seed ${seed} round ${round}, ${base}, ${changes.join(' ')}`;
      await tryAll({ server, folder, image: victim.bytes, name, refs: 'same-dir' });
    }
  });
});

/** Where metadata lies: ranges of the header and of each kind of table. */
function placesOf(victim: Victim): (readonly [start: number, length: number])[] {
  return [
    [8, 104],
    [112, 300],
    [victim.l1Offset, 16],
    [victim.refcountTable, 16],
    [victim.l2Offset, 256],
    [victim.refcountBlock, 256],
  ];
}

function randomPlace(places: ReturnType<typeof placesOf>, random: Random): number {
  const [start, length] = random.pick(places);
  return start + random.below(length);
}

describe('more than one format in a file', () => {
  test('a qcow2 image with the footer of a VHD is a qcow2 image', async () => {
    const footer = Buffer.alloc(512);
    footer.write('conectix');
    const image = Buffer.concat([bases.plain, footer]);
    const { info, convert } = await tryAll({ server, folder, image, name: 'VHD footer' });
    expect(info.stdout).toMatch(/file format: qcow2/);
    expect(convert.code).toBe(0);
  });

  test('a raw disk with a qcow2 header stays raw where that is said', async () => {
    const path = join(folder, 'poly.raw');
    writeFileSync(path, bases.overlay);
    const { code } = await server.run(['convert', '-f', 'raw', '-O', 'raw', path, join(folder, 'copy.raw')]);
    expect(code).toBe(0);
    const { stdout } = await server.run(['info', '-f', 'raw', path]);
    expect(stdout).toMatch(/file format: raw/);
    expect(stdout).not.toMatch(/backing/);
  });

  test('a guest cannot turn a disk that was guessed to be raw into a qcow2 image', async () => {
    const path = join(folder, 'guessed.raw');
    writeFileSync(path, Buffer.alloc(1 << 20));
    const spec = { file: { driver: 'file', filename: path } };
    const disk = await openDisk(spec, { writable: true });
    try {
      const head = bases.plain.subarray(0, 4096);
      await expect(async () => disk.write(0, head)).rejects.toThrow(/sector 0/);
      await expect(async () => disk.write(0, head.subarray(0, 512))).rejects.toThrow(/sector 0/);
      await expect(async () => disk.writev(0, [head.subarray(0, 3), head.subarray(3)])).rejects.toThrow(/sector 0/);
      // Piece by piece: each write makes the sector what it is to become.
      await disk.write(1, head.subarray(1, 512));
      await expect(async () => disk.write(0, head.subarray(0, 1))).rejects.toThrow(/sector 0/);
      await disk.write(512, head.subarray(512));
    } finally {
      await disk.close();
    }
    const { stdout } = await server.run(['info', path]);
    expect(stdout).toMatch(/file format: raw/);
  });

  test('a disk that becomes a qcow2 image between opening and opening again is still raw where that was said', async () => {
    const path = join(folder, 'becoming.raw');
    writeFileSync(path, Buffer.alloc(1 << 20));
    const spec = { driver: 'raw', file: { driver: 'file', filename: path } };
    const disk = await openDisk(spec, { writable: true });
    await disk.write(0, bases.overlay.subarray(0, 65536));
    await disk.close();
    const again = await openDisk(spec);
    expect(again.size).toBe(1 << 20);
    expect(again.image.driver.name).toBe('raw');
    await again.close();
  });
});
