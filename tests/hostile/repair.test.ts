/**
 * Repair of images whose metadata is damaged at random: the repair ends, the image is clean afterwards or the repair has
 * said that it is not, and what could be read before reads the same. QEMU looks at a part of the cases too.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Backend } from '../../src/core/block/backend/backend.ts';
import type { CheckResult } from '../../src/core/block/driver.ts';
import { BlockError } from '../../src/core/errors/block-error.ts';
import { hostOffset } from '../../src/drivers/qcow2/meta/entries.ts';
import { Anatomy, plainImage, splitImage, subclusterImage } from '../drivers/qcow2/support/damage.ts';
import { openDisk } from '../support/disk.ts';
import { MemoryFile, memoryFileDriver } from '../support/memory-file.ts';
import { peersFor, qemuImg, qemuImgCheck, qemuIo } from '../support/peers.ts';
import { Random, seeds } from '../support/random.ts';
import { tempDirForSuite } from '../support/temp.ts';
import { damage, type Span } from './metadata-damage.ts';

/** Cases of one test, and after how many of them QEMU is asked. */
const CASES = 225;
const ASK_QEMU = 50;
/** After how many cases the content is compared. */
const COMPARE = 9;

type Making = (folder: string) => Promise<string>;

/** Small clusters, many tables, as many kinds of clusters as the version has. */
function madeWith(options: string, snapshots: boolean): Making {
  return async (folder) => {
    const path = join(folder, 'image.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', '-o', options, path, '512k']);
    await qemuIo(path, ['write -P 1 0 20k', 'write -P 2 100k 30k', 'write -z 200k 8k', 'discard 10k 4k']);
    if (snapshots) await qemuImg(['snapshot', '-c', 'one', path]);
    await qemuIo(path, ['write -P 3 5k 3k', 'write -P 4 400k 20k', 'write -c -P 5 300k 4k']);
    if (snapshots) await qemuImg(['snapshot', '-c', 'two', path]);
    await qemuIo(path, ['write -P 6 6k 3k', 'write -z 401k 2k']);
    return path;
  };
}

const makings: Readonly<Record<string, Making>> = {
  'snapshots, a bitmap and compressed clusters': plainImage,
  subclusters: subclusterImage,
  'a data file': splitImage,
  'small clusters': madeWith('cluster_size=512', true),
  'version 2': madeWith('cluster_size=1k,compat=0.10', true),
  'counts of 1 bit': madeWith('cluster_size=512,refcount_bits=1', false),
  'counts of 8 bits': madeWith('cluster_size=512,refcount_bits=8', true),
  'counts of 64 bits': madeWith('cluster_size=1k,refcount_bits=64', true),
  'other compression, lazy counts': madeWith('cluster_size=4k,compression_type=zstd,lazy_refcounts=on', true),
};

/** Where the metadata of an image lies. */
function metadataOf(bytes: Buffer): Span[] {
  const it = new Anatomy(bytes);
  const { header, geometry } = it;
  const cluster = (from: number): Span => ({ from, to: from + geometry.clusterSize });
  const spans: Span[] = [{ from: 8, to: Math.min(geometry.clusterSize, 512) }];
  const add = (from: number, length: number): void => {
    if (length > 0) spans.push({ from, to: from + Math.ceil(length / 8) * 8 });
  };
  add(it.l1, header.l1Size * 8);
  for (let index = 0; index < header.l1Size; index++) if (it.l2(index) > 0) spans.push(cluster(it.l2(index)));
  spans.push({ from: header.refcountTableOffset, to: header.refcountTableOffset + 64 });
  for (let index = 0; index < 8; index++) if (it.block(index) > 0) spans.push(cluster(it.block(index)));
  if (header.nbSnapshots > 0) {
    add(header.snapshotsOffset, 160);
    const l1 = Number(it.view.getBigUint64(header.snapshotsOffset));
    add(l1, header.l1Size * 8);
    const l2 = hostOffset(it.view.getUint32(l1), it.view.getUint32(l1 + 4));
    if (l2 > 0) spans.push(cluster(l2));
  }
  if ((header.autoclear & 1n) !== 0n) {
    add(it.bitmapDirectory(), 64);
    add(it.bitmapTable(), 64);
  }
  return spans;
}

async function open(file: MemoryFile, forRepair: boolean): Promise<Backend> {
  const spec = { driver: 'qcow2', file: { driver: 'memory-file', id: 'image' } };
  const modes = forRepair ? { forRepair: true, noIo: true } : { readOnly: true };
  const extraDrivers = [memoryFileDriver(new Map([['image', file]]))];
  return openDisk(spec, { writable: forRepair, modes, noBacking: true, extraDrivers });
}

interface Repair {
  readonly first: CheckResult;
  readonly second: CheckResult;
}

/** Repair and check again; undefined when the image was refused in a proper way. */
async function repair(file: MemoryFile): Promise<Repair | undefined> {
  let disk: Backend | undefined;
  try {
    disk = await open(file, true);
    const { check } = disk.image.image;
    if (!check) throw new Error('the driver has no check');
    const first = await check.run({ repair: 'all', report: () => undefined });
    return { first, second: await check.run({ repair: 'none', report: () => undefined }) };
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    expect(error.message).not.toContain('\n');
    return undefined;
  } finally {
    await disk?.close();
  }
}

/** Each cluster as it reads, and where it lies; undefined where it cannot be read, or the image cannot be opened. */
async function contentOf(file: MemoryFile, clusterSize: number): Promise<(Piece | undefined)[]> {
  const pieces: (Piece | undefined)[] = [];
  let disk: Backend | undefined;
  try {
    disk = await open(file, false);
    for (let at = 0; at < Math.min(disk.size, 1 << 21); at += clusterSize)
      pieces.push(await piece(disk, at, clusterSize));
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
  } finally {
    await disk?.close();
  }
  return pieces;
}

interface Piece {
  readonly bytes: Buffer;
  readonly host: number | undefined;
}

async function piece(disk: Backend, at: number, length: number): Promise<Piece | undefined> {
  try {
    const bytes = Buffer.alloc(Math.min(length, disk.size - at));
    await disk.read(at, bytes);
    return { bytes, host: (await disk.status(at, bytes.length)).offset };
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    return undefined;
  }
}

/** Clusters that read differently now. Those that lie where metadata is written are passed over. */
function changes(
  before: readonly (Piece | undefined)[],
  after: readonly (Piece | undefined)[],
  data: Set<number>,
): number[] {
  return [...before.keys()].filter((index) => {
    const was = before[index];
    if (!was || (was.host !== undefined && !data.has(was.host))) return false;
    return !after[index]?.bytes.equals(was.bytes);
  });
}

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing)('repair of damaged metadata', () => {
  const suite = tempDirForSuite();
  const images = new Map<string, { bytes: Buffer; spans: Span[]; data: Set<number>; clusterSize: number }>();

  beforeAll(async () => {
    for (const [name, make] of Object.entries(makings)) {
      const folder = fs.mkdtempSync(join(suite, 'made-'));
      const bytes = fs.readFileSync(await make(folder));
      const { clusterSize } = new Anatomy(bytes).geometry;
      const pieces = await contentOf(new MemoryFile(bytes), clusterSize).catch(() => []);
      const data = new Set(pieces.flatMap((it) => (it?.host === undefined ? [] : [it.host])));
      images.set(name, { bytes, spans: metadataOf(bytes), data, clusterSize });
    }
  });

  describe.each(Object.keys(makings))('of an image with %s', (name) => {
    test.each(seeds(5))('seed %d', async (seed) => {
      const image = images.get(name);
      if (!image) throw new Error('the image was not made');
      const outcome = { clean: 0, reported: 0, refused: 0 };
      for (let number = 0; number < CASES; number++) {
        const what = `case ${number} of seed ${seed}`;
        const random = new Random(seed * 1_000_003 + number);
        const damaged = damage(Buffer.from(image.bytes), image.spans, image.clusterSize, random);
        const file = new MemoryFile(damaged);
        const before = number % COMPARE === 0 ? await contentOf(file, image.clusterSize) : [];
        const repaired = await repair(file).catch((error: unknown) => {
          throw new Error(`${what}: ${String(error)}`, { cause: error });
        });
        const after = before.length > 0 ? await contentOf(file, image.clusterSize) : [];
        expect(changes(before, after, image.data), what).toEqual([]);
        if (!repaired) outcome.refused++;
        else if (wrong(repaired.first)) outcome.reported++;
        else outcome.clean++;
        if (!repaired || wrong(repaired.first)) continue;
        expect(repaired.second, what).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0 });
        if (number % ASK_QEMU === 0) await expectCleanForQemu(join(suite, 'repaired.qcow2'), file, what);
      }
      // Damage of every kind was met.
      expect(Math.min(outcome.clean, outcome.reported, outcome.refused)).toBeGreaterThan(0);
    });
  });
});

function wrong({ corruptions, checkErrors, leaks }: CheckResult): boolean {
  return corruptions + checkErrors + leaks > 0;
}

async function expectCleanForQemu(path: string, file: MemoryFile, what: string): Promise<void> {
  fs.writeFileSync(path, file.bytes);
  const { code, report } = await qemuImgCheck(path);
  expect({ what, code, report }).toMatchObject({ what, code: 0 });
}
