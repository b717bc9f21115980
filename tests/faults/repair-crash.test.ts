/**
 * A repair, or an amendment, that is broken off: at every point of its writes the image reads as before, and doing it
 * again puts it right.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Backend } from '../../src/core/block/backend/backend.ts';
import type { AmendContext } from '../../src/core/block/driver.ts';
import { Anatomy, BIT } from '../drivers/qcow2/support/damage.ts';
import { openDisk, readDisk } from '../support/disk.ts';
import { Clock, MemoryFile, memoryFileDriver } from '../support/memory-file.ts';
import { peersFor, qemuImg, qemuIo } from '../support/peers.ts';
import { Random } from '../support/random.ts';
import { tempDirForSuite } from '../support/temp.ts';

const MOMENTS = 24;

type Damage = (it: Anatomy) => void;

const damages: Readonly<Record<string, Damage>> = {
  'leaks and low counts': (it) => {
    it.bytes.fill(3, it.block() + 40, it.block() + 80);
    it.bytes.fill(1, it.block() + 700, it.block() + 760);
  },
  'all counts lost': (it) => it.bytes.fill(0, it.block(), it.block() + it.geometry.clusterSize),
  'no refcount block': (it) => it.set(it.header.refcountTableOffset, 0),
  'entries and flags': (it) => {
    it.patch(it.data(), (entry) => entry | BIT(57));
    it.patch(it.l1, (entry) => entry ^ BIT(63));
    it.patch(it.data() + 8, (entry) => entry ^ BIT(63));
  },
  'an incomplete snapshot': (it) => {
    // Eight bytes of extra data become part of the padding: the entry stays as long as it was.
    const at = it.header.snapshotsOffset;
    const extra = it.view.getUint32(at + 36);
    const rest = Buffer.from(it.bytes.subarray(at + 40 + extra, at + 40 + extra + 16));
    it.view.setUint32(at + 36, 8);
    rest.copy(it.bytes, at + 48);
    it.patch(72, (bits) => bits | 3n);
  },
};

async function open(file: MemoryFile, modes: Readonly<Record<string, boolean>>): Promise<Backend> {
  const spec = { driver: 'qcow2', file: { driver: 'memory-file', id: 'image' } };
  const extraDrivers = [memoryFileDriver(new Map([['image', file]]))];
  return openDisk(spec, { writable: modes.readOnly !== true, modes, extraDrivers });
}

/** Of the disk, and of its snapshot. */
async function contentOf(file: MemoryFile): Promise<Buffer> {
  const image = { driver: 'qcow2', file: { driver: 'memory-file', id: 'image' } };
  const parts: Buffer[] = [];
  for (const spec of [image, { driver: 'snapshot', snapshot: 'one', file: image }]) {
    const extraDrivers = [memoryFileDriver(new Map([['image', file]]))];
    const disk = await openDisk(spec, { modes: { readOnly: true }, extraDrivers });
    try {
      parts.push(await readDisk(disk));
    } finally {
      await disk.close();
    }
  }
  return Buffer.concat(parts);
}

async function repair(file: MemoryFile): Promise<void> {
  const disk = await open(file, { forRepair: true, noIo: true });
  await disk.image.image.check?.run({ repair: 'all', report: () => undefined });
  await disk.close();
}

async function expectClean(file: MemoryFile, what: string): Promise<void> {
  const disk = await open(file, { readOnly: true, forRepair: true, noIo: true });
  const result = await disk.image.image.check?.run({ repair: 'none', report: () => undefined });
  await disk.close();
  expect(result, what).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0 });
}

const amendments: readonly Readonly<Record<string, unknown>>[] = [
  { refcount_bits: 64 },
  { refcount_bits: 8, lazy_refcounts: true },
  { compat: '0.10' },
];

async function amend(file: MemoryFile, options: Readonly<Record<string, unknown>>): Promise<void> {
  await amendOpen(await open(file, {}), options);
}

async function amendOpen(disk: Backend, options: Readonly<Record<string, unknown>>): Promise<void> {
  const context: AmendContext = {
    force: false,
    exclusively: (action) => action(),
    warn: () => undefined,
    object: () => {
      throw new Error('there are no objects');
    },
  };
  await disk.image.image.amend?.run(options, context);
  await disk.close();
}

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing)('broken off', () => {
  const suite = tempDirForSuite();
  const path = join(suite, 'image.qcow2');
  let image: Buffer = Buffer.alloc(0);
  let content: Buffer = Buffer.alloc(0);

  beforeAll(async () => {
    await qemuImg(['create', '-q', '-f', 'qcow2', '-o', 'cluster_size=1k', path, '1M']);
    await qemuIo(path, ['write -P 1 0 100k', 'write -P 2 300k 64k', 'write -c -P 5 600k 8k', 'write -z 310k 4k']);
    await qemuImg(['snapshot', '-c', 'one', path]);
    await qemuIo(path, ['write -P 3 20k 30k', 'write -z 320k 16k', 'write -z 40k 8k']);
    image = fs.readFileSync(path);
    content = await contentOf(new MemoryFile(image));
  });

  function damaged(damage: Damage): Buffer {
    const anatomy = new Anatomy(Buffer.from(image));
    damage(anatomy);
    return anatomy.bytes;
  }

  /** The image after a crash at many moments of `action` reads as before, and `again` leaves it clean. */
  async function crash(
    start: Buffer,
    seed: number,
    action: (file: MemoryFile) => Promise<void>,
    again: (file: MemoryFile) => Promise<void>,
  ): Promise<void> {
    const random = new Random(seed);
    const clock = new Clock();
    const file = new MemoryFile(start, { clock, random, logging: true });
    await action(file);
    expect((await contentOf(new MemoryFile(file.bytes))).equals(content)).toBe(true);
    for (let moment = 0; moment < MOMENTS; moment++) {
      const time = moment === 0 ? clock.now : file.moment(random);
      const what = `moment ${moment}, time ${time} of ${clock.now}`;
      const crashed = file.afterCrash(time, random);
      expect((await contentOf(crashed)).equals(content), what).toBe(true);
      await again(crashed);
      await expectClean(crashed, what);
      expect((await contentOf(crashed)).equals(content), what).toBe(true);
    }
  }

  test.each(Object.entries(damages))('while repairing %s', async (_name, damage) => {
    await crash(damaged(damage), 7, repair, repair);
  });

  test.each(amendments)('while amending %j', async (options) => {
    await crash(image, 11, (file) => amend(file, options), repair);
  });

  test('while zero clusters are written out over a backing file', async () => {
    const base = join(suite, 'base.raw');
    const top = join(suite, 'top.qcow2');
    fs.writeFileSync(base, Buffer.alloc(1 << 20, 9));
    await qemuImg(['create', '-q', '-f', 'qcow2', '-o', 'cluster_size=1k', '-b', base, '-F', 'raw', top]);
    await qemuIo(top, ['write -P 1 0 100k', 'write -z 50k 20k', 'write -z 300k 64k']);
    await qemuImg(['snapshot', '-c', 'one', top]);
    await qemuIo(top, ['write -z 0 30k', 'write -z -u 80k 10k', 'write -P 4 310k 4k']);
    const withBase = (file: MemoryFile, modes: Readonly<Record<string, boolean>>): Promise<Backend> => {
      const backing = { driver: 'raw', file: { driver: 'file', filename: base } };
      const image = { driver: 'qcow2', file: { driver: 'memory-file', id: 'image' }, backing };
      const extraDrivers = [memoryFileDriver(new Map([['image', file]]))];
      return openDisk(image, { writable: modes.readOnly !== true, modes, extraDrivers });
    };
    const shown = async (file: MemoryFile): Promise<Buffer> => {
      const disk = await withBase(file, { readOnly: true });
      const content = await readDisk(disk);
      await disk.close();
      return content;
    };
    const start = fs.readFileSync(top);
    const before = await shown(new MemoryFile(start));
    const random = new Random(17);
    const clock = new Clock();
    const file = new MemoryFile(start, { clock, random, logging: true });
    await amendOpen(await withBase(file, {}), { compat: '0.10' });
    for (let moment = 0; moment < MOMENTS; moment++) {
      const time = moment === 0 ? clock.now : file.moment(random);
      const what = `moment ${moment}, time ${time} of ${clock.now}`;
      const crashed = file.afterCrash(time, random);
      expect((await shown(crashed)).equals(before), what).toBe(true);
      await repair(crashed);
      await expectClean(crashed, what);
      await amendOpen(await withBase(crashed, {}), { compat: '0.10' });
      await expectClean(crashed, what);
      expect((await shown(crashed)).equals(before), what).toBe(true);
      fs.writeFileSync(top, crashed.bytes);
      await qemuImg(['check', '-q', top]);
    }
  });
});
