/** What qcow2 announces to a fault injector below, and what is left of an image when the announced step fails. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Backend } from '../../../src/core/block/backend/backend.ts';
import type { Driver, DriverEntry } from '../../../src/core/block/driver.ts';
import type { BlockEvent } from '../../../src/core/block/events.ts';
import { FilterImage } from '../../../src/core/block/filter.ts';
import type { NodeSpec } from '../../../src/core/block/graph/spec.ts';
import { defineOptions } from '../../../src/core/options/fields.ts';
import { checkDisk, makeImage, openDisk, readDisk } from '../../support/disk.ts';
import { tempDir } from '../../support/temp.ts';

const K = 1024;
const SIZE = 512 * K;
const CLUSTER = 512;

/** A filter that only writes down what it hears. */
function listener(heard: string[]): DriverEntry {
  const driver: Driver = {
    name: 'listener',
    kind: 'filter',
    options: defineOptions({}) as unknown as Driver['options'],
    async open(context) {
      const image = new FilterImage(context.child('file'));
      return Object.defineProperty(image, 'event', { value: (name: BlockEvent) => void heard.push(name) });
    },
  };
  return { name: 'listener', kind: 'filter', load: async () => driver };
}

/** An overlay with small clusters, so that everything grows soon. */
async function overlay(): Promise<{ top: string; base: string }> {
  const folder = tempDir();
  const [base, top] = [join(folder, 'base'), join(folder, 'top')];
  await makeImage('raw', base, { size: SIZE });
  const backing = { backing_file: base, backing_fmt: 'raw' };
  await makeImage('qcow2', top, { size: SIZE, cluster_size: CLUSTER, refcount_bits: 64, ...backing });
  const disk = await openDisk(
    qcow2(top, (file) => file),
    { writable: true },
  );
  for (let at = 0; at < SIZE; at += 32 * K) await disk.write(at + 20 * K, Buffer.alloc(K, 9));
  await disk.close();
  return { top, base };
}

/** Each step is tried, whatever became of those before it; how many failed is returned. */
async function work(disk: Backend): Promise<number> {
  const steps: (() => unknown)[] = [
    () => readDisk(disk, 0, 4 * K),
    () => disk.write(1000, Buffer.alloc(3000, 1)),
    () => disk.write(64 * K, Buffer.alloc(128 * K, 2)),
    () => disk.write(1000, Buffer.alloc(3000, 3)),
    () => disk.flush(),
    () => disk.writeCompressed(256 * K, Buffer.alloc(8 * K, 'abc')),
    () => readDisk(disk, 256 * K, 8 * K),
    () => disk.discard(64 * K, 16 * K),
    () => disk.flush(),
    () => disk.write(300 * K + 100, Buffer.alloc(100 * K, 4)),
    () => disk.truncate(64 * 1024 * K),
    () => disk.write(60 * 1024 * K, Buffer.alloc(4 * K, 5)),
    () => disk.write(4096 * K, Buffer.alloc(2560 * K, 6)),
    () => disk.truncate(400 * K),
    () => disk.flush(),
    () => readDisk(disk, 0, 400 * K),
  ];
  let failed = 0;
  for (const step of steps) {
    try {
      await step();
    } catch {
      failed++;
    }
  }
  return failed;
}

/** What {@link work} makes an image announce. */
const ANNOUNCED: readonly BlockEvent[] = [
  'cluster_alloc',
  'cluster_alloc_bytes',
  'cluster_free',
  'cow_read',
  'cow_write',
  'flush_to_disk',
  'flush_to_os',
  'l1_grow_activate_table',
  'l1_grow_alloc_table',
  'l1_grow_write_table',
  'l1_shrink_free_l2_clusters',
  'l1_shrink_write_table',
  'l1_update',
  'l2_alloc_write',
  'l2_load',
  'l2_update',
  'l2_update_compressed',
  'read_aio',
  'read_backing_aio',
  'read_compressed',
  'refblock_alloc',
  'refblock_alloc_hookup',
  'refblock_alloc_switch_table',
  'refblock_alloc_write',
  'refblock_alloc_write_blocks',
  'refblock_alloc_write_table',
  'refblock_load',
  'refblock_update_part',
  'reftable_grow',
  'reftable_load',
  'write_aio',
  'write_compressed',
];

const writable = { writable: true, modes: { unmap: true } };
const qcow2 = (top: string, wrap: (file: NodeSpec) => NodeSpec): NodeSpec => ({
  driver: 'qcow2',
  'l2-cache-size': 2 * CLUSTER,
  'refcount-cache-size': 4 * CLUSTER,
  file: wrap({ driver: 'file', filename: top }),
});

describe('qcow2', () => {
  test('announces its steps', async () => {
    const { top } = await overlay();
    const heard: string[] = [];
    const disk = await openDisk(
      qcow2(top, (file) => ({ driver: 'listener', file })),
      { ...writable, extraDrivers: [listener(heard)] },
    );
    expect(await work(disk)).toBe(0);
    await disk.close();
    const own = new Set(heard.filter((event) => !event.startsWith('pwritev')));
    expect([...own].sort()).toEqual(ANNOUNCED);
    const guide = readFileSync('docs/testing-with-blkdebug.md', 'utf8');
    expect(ANNOUNCED.filter((event) => !guide.includes(`\`${event}\``))).toEqual([]);
  });

  test.each(ANNOUNCED)('is sound after what follows %s has failed', async (event) => {
    const { top } = await overlay();
    const rules = { 'inject-error': [{ event, errno: 28, once: true }] };
    try {
      const disk = await openDisk(
        qcow2(top, (image) => ({ driver: 'blkdebug', ...rules, image })),
        writable,
      );
      await work(disk).finally(() => disk.close().catch(() => undefined));
    } catch {
      // It could not be opened.
    }
    const plain = await openDisk(qcow2(top, (file) => file));
    expect(await checkDisk(plain)).toMatchObject({ corruptions: 0 });
    await readDisk(plain);
    await plain.close();
  });
});
