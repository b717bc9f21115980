/** Random requests, snapshots, returns to them and views of them; afterwards we and QEMU find the same, and no damage. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { NodeSpec } from '../../../../src/core/block/graph/spec.ts';
import { firstDifference, makeImage } from '../../../support/disk.ts';
import { imgHere } from '../../../support/img-here.ts';
import { findPeer, qemuImg, qemuImgCheck } from '../../../support/peers.ts';
import { Random, seeds } from '../../../support/random.ts';
import { tempDir } from '../../../support/temp.ts';
import { SnapshotModel } from './model.ts';

interface Layout {
  readonly name: string;
  readonly options: Readonly<Record<string, unknown>> & { readonly cluster_size: number };
  readonly backing?: boolean;
  readonly small?: boolean;
  readonly resize?: boolean;
}

const layouts: readonly Layout[] = [
  { name: 'small clusters', options: { cluster_size: 512 }, resize: true },
  { name: 'small clusters and caches', options: { cluster_size: 1024 }, small: true },
  { name: 'version 2', options: { cluster_size: 4096, compat: '0.10' } },
  { name: 'a backing file', options: { cluster_size: 2048 }, backing: true },
  { name: 'subclusters', options: { cluster_size: 16384, extended_l2: true }, resize: true },
  { name: 'lazy refcounts', options: { cluster_size: 1024, lazy_refcounts: true }, resize: true },
  { name: 'refcounts of 8 bits', options: { cluster_size: 512, refcount_bits: 8 }, small: true },
  { name: 'refcounts of 64 bits', options: { cluster_size: 512, refcount_bits: 64 } },
];

const SIZE = 192 * 1024;

describe.each(layouts)('snapshots against a model, $name', (layout) => {
  test.each(seeds(3))('seed %d', async (seed) => {
    const random = new Random(seed * 100 + layouts.indexOf(layout));
    const folder = tempDir();
    const path = join(folder, 'image.qcow2');
    const initial = layout.backing ? random.bytes(SIZE) : Buffer.alloc(SIZE);
    const below = join(folder, 'below.raw');
    if (layout.backing) writeFileSync(below, initial);
    await makeImage('qcow2', path, {
      size: SIZE,
      ...layout.options,
      ...(layout.backing ? { backing_file: below, backing_fmt: 'raw' } : {}),
    });
    const caches = { 'l2-cache-entry-size': 512, 'l2-cache-size': 2048, 'refcount-cache-size': 4096 };
    const spec: NodeSpec = {
      driver: 'qcow2',
      discard: 'unmap',
      file: { driver: 'file', filename: path },
      ...(layout.small ? caches : {}),
    };
    const subject = {
      spec,
      clusterSize: layout.options.cluster_size,
      // Several pieces in one cluster, times seven snapshots, are more than 8 bits can count.
      compress: layout.options.refcount_bits !== 8,
      resize: layout.resize ?? false,
      initial,
    };
    const model = await SnapshotModel.open(subject, random);
    try {
      await model.run(150);
    } finally {
      await model.close();
    }
    await expectSame(path, model);
  });
});

async function expectSame(path: string, model: SnapshotModel): Promise<void> {
  expect(await imgHere(['check', '-f', 'qcow2', path])).toMatchObject({ code: 0, stderr: '' });
  if (findPeer('qemu-img') === undefined) return;
  expect(await qemuImgCheck(path)).toMatchObject({ code: 0 });
  const copy = join(path, '..', 'copy.raw');
  await qemuImg(['convert', '-f', 'qcow2', '-O', 'raw', path, copy]);
  expect(firstDifference(readFileSync(copy), model.content), 'what QEMU reads').toBe(-1);
  for (const [id, { content, name }] of model.kept) {
    const one = `snapshot.id=${id},snapshot.name=${name}`;
    await qemuImg(['convert', '-f', 'qcow2', '-l', one, '-O', 'raw', path, copy]);
    // It keeps the length of the disk as it is now: what is beyond either end is left out.
    const theirs = readFileSync(copy);
    const length = Math.min(theirs.length, content.length);
    expect(firstDifference(theirs.subarray(0, length), content.subarray(0, length)), `${one} by QEMU`).toBe(-1);
  }
}
