/** Emptying an image: what is left of it, and what a crash or an error in the middle leaves. */
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { BlockEvent } from '../../../src/core/block/events.ts';
import { FilterImage } from '../../../src/core/block/filter.ts';
import { rebuild } from './support/crashed-file.ts';
import {
  edgeOn,
  hasQemuImg,
  openMemory,
  qemuCheck,
  qemuImg,
  READ_ONLY,
  READ_WRITE,
  randomFrom,
  scratch,
} from './support/harness.ts';
import { MemoryFile } from './support/memory-file.ts';

const dir = scratch('make-empty');
const SIZE = 1 << 20;

interface Layout {
  readonly options: string;
  readonly snapshot?: boolean;
  /** The L1 table has moved, and other things lie where it has been. */
  readonly grown?: boolean;
  /** All of it goes at once, and this many clusters stay. */
  readonly clusters?: number;
}

const layouts: readonly Layout[] = [
  { options: 'cluster_size=64k', clusters: 4 },
  { options: 'cluster_size=512,refcount_bits=64', clusters: 4 },
  { options: 'cluster_size=1k,lazy_refcounts=on', clusters: 4 },
  { options: 'cluster_size=16k,extended_l2=on', clusters: 4 },
  { options: 'cluster_size=512', grown: true, clusters: 5 },
  { options: 'cluster_size=1k,compat=0.10' },
  { options: 'cluster_size=1k', snapshot: true },
];

interface Emptied {
  readonly start: MemoryFile;
  readonly file: MemoryFile;
  readonly base: MemoryFile;
  readonly content: Buffer;
}

/** An overlay that holds some of what its base holds, as after a commit. */
async function overlay({ options, snapshot, grown }: Layout): Promise<Emptied> {
  const random = randomFrom(options.length);
  const [image, raw] = [path.join(dir, 'top.qcow2'), path.join(dir, 'base.raw')];
  const content = Buffer.alloc(SIZE);
  for (let at = 0; at < SIZE; at += 4096) content.fill(1 + random(255), at, at + 4096);
  fs.writeFileSync(raw, content);
  qemuImg('create', '-q', '-f', 'qcow2', '-o', `${options},backing_file=${raw},backing_fmt=raw`, image);
  if (snapshot) qemuImg('snapshot', '-c', 'one', image);
  const base = MemoryFile.load(raw);
  const write = async (file: MemoryFile, ranges: readonly (readonly [number, number])[]): Promise<void> => {
    const { edge, image: opened } = await openMemory({ file, backing: edgeOn(base, READ_ONLY, 'backing') });
    for (const [from, to] of ranges) await edge.write(from, content.subarray(from, to));
    await opened.close();
  };
  let start = MemoryFile.load(image);
  const half = SIZE / 2;
  if (grown) {
    await write(start, [
      [0, 512],
      [half, half + 512],
    ]);
    start.save(image);
    qemuImg('resize', '-q', image, String(4 * SIZE));
    start = MemoryFile.load(image);
    // Data where the L1 table was.
    await write(start, [[half + 512, half + 1024]]);
  }
  const pieces = Array.from({ length: 10 }, (_, n) => [n * 100 * 1024, n * 100 * 1024 + 50 * 1024] as const);
  await write(start, pieces);
  return { start, file: start.clone(), base, content };
}

async function contentOf(file: MemoryFile, base: MemoryFile, modes = READ_ONLY): Promise<Buffer> {
  const { edge, image } = await openMemory({ file, modes, backing: edgeOn(base, READ_ONLY, 'backing') });
  const content = Buffer.alloc(SIZE);
  await edge.read(0, content);
  await image.close();
  return content;
}

function sound(file: MemoryFile, what: string, leaks = 0): void {
  const image = path.join(dir, 'result.qcow2');
  file.save(image);
  const report = qemuCheck(image);
  expect([report['check-errors'], report.corruptions ?? 0], what).toEqual([0, 0]);
  expect(report.leaks ?? 0, what).toBeLessThanOrEqual(leaks);
}

describe.skipIf(!hasQemuImg)('makeEmpty', () => {
  it.each(layouts)(
    'leaves an image without content that can be written to: $options, snapshot $snapshot, grown $grown',
    async (layout) => {
      const { file, base, content } = await overlay(layout);
      const { edge, image } = await openMemory({ file, backing: edgeOn(base, READ_ONLY, 'backing') });
      await image.makeEmpty();
      for (let at = 0; at < SIZE; ) {
        const { allocated, length } = await image.status(at, SIZE - at, true);
        expect(allocated).toBe(false);
        at += length;
      }
      const { clusters } = layout;
      if (clusters !== undefined) expect(file.size).toBe(clusters * image.disk.geometry.clusterSize);
      await edge.write(300 * 1024, Buffer.alloc(200 * 1024, 7));
      await edge.flush();
      await edge.write(0, Buffer.alloc(512, 8));
      await image.close();
      content.fill(7, 300 * 1024, 500 * 1024).fill(8, 0, 512);
      expect(Buffer.compare(await contentOf(file, base), content)).toBe(0);
      sound(file, 'afterwards');
    },
  );

  it.each(layouts)(
    'leaves nothing worse than leaks wherever it breaks off: $options, snapshot $snapshot, grown $grown',
    async (layout) => {
      const { start, file, base, content } = await overlay(layout);
      const random = randomFrom(99);
      file.log = [];
      const { image } = await openMemory({ file, backing: edgeOn(base, READ_ONLY, 'backing') });
      await image.makeEmpty();
      await image.close();
      const { log } = file;
      expect(log.length).toBeGreaterThan(5);
      // The order matters most where the old table is not overwritten by the new ones.
      const rounds = layout.grown ? 4 : 1;
      for (let point = 0; point < rounds * (log.length + 1); point++) {
        const at = Math.floor(point / rounds);
        const what = `crash at ${at} of ${log.length}`;
        const crashed = rebuild(start, log, at, random);
        expect(Buffer.compare(await contentOf(crashed, base), content), what).toBe(0);
        // Opening it for writing puts it right where its counts cannot be relied on.
        expect(Buffer.compare(await contentOf(crashed, base, READ_WRITE), content), what).toBe(0);
        sound(crashed, what, layout.clusters === undefined ? Number.MAX_SAFE_INTEGER : 0);
      }
    },
  );

  const events: readonly BlockEvent[] = ['l1_update', 'empty_image_prepare', 'reftable_update', 'refblock_alloc'];
  it.each(events)('is told of, and writes no more, when what follows %s fails', async (event) => {
    const { file, base, content } = await overlay({ options: 'cluster_size=64k' });
    const filter = new FilterImage(edgeOn(file));
    let fails = false;
    const hear = (name: BlockEvent): void => {
      if (name === event) file.failure = () => fails;
    };
    Object.defineProperty(filter, 'event', { value: hear });
    const { edge, image } = await openMemory({
      file: filter as unknown as MemoryFile,
      backing: edgeOn(base, READ_ONLY, 'backing'),
    });
    fails = true;
    await expect(image.makeEmpty()).rejects.toThrow();
    fails = false;
    expect(() => edge.write(0, Buffer.alloc(512))).toThrow(/opened anew/);
    const left = file.clone();
    await image.close();
    expect(Buffer.compare(await contentOf(left, base, READ_WRITE), content)).toBe(0);
    sound(left, event);
  });
});
