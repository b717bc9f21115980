/** Random qcow2 layouts and chains for the model test. */
import { join } from 'node:path';
import type { NodeSpec } from '../../src/core/block/graph/spec.ts';
import { makeImage, openDisk } from '../support/disk.ts';
import type { Random } from '../support/random.ts';

const KIB = 1024;
const SECTOR = 512;

export interface Subject {
  /** For messages. */
  readonly description: string;
  readonly path: string;
  readonly spec: NodeSpec;
  /** Zeroing and discarding may give up clusters. */
  readonly unmap: boolean;
  readonly clusterSize: number;
  /** Path of a data file that must equal the disk. */
  readonly rawDataFile: string | undefined;
  readonly canCompress: boolean;
  /** What the disk holds at first. */
  readonly content: Buffer;
}

/** Make a chain of up to three images in `folder` and describe the top one. */
export async function makeSubject(folder: string, random: Random): Promise<Subject> {
  const options = randomOptions(random);
  const clusterSize = options.cluster_size;
  const size =
    Math.max(64 * KIB, Math.min(2048 * KIB, clusterSize * random.between(2, 200))) + random.below(9) * SECTOR;
  const useDataFile = options.compat === '1.1' && random.chance(0.2);
  const depth = random.pick([0, 0, 1, 1, 2]);
  const raw = useDataFile && depth === 0 && random.chance(0.5);
  let below: { path: string; format: string } | undefined;
  let content: Buffer = Buffer.alloc(0);
  for (let level = 0; level < depth; level++) {
    const format = level === 0 && random.chance(0.4) ? 'raw' : 'qcow2';
    const path = join(folder, `below-${level}`);
    const length = Math.max(SECTOR, Math.floor((size * random.pick([0.4, 1, 1, 1.5])) / SECTOR) * SECTOR);
    const own = format === 'raw' ? {} : { ...randomOptions(random), ...backingOptions(below) };
    await makeImage(format, path, { size: length, ...own });
    content = await fillLayer(path, format, overlay(content, length), random);
    below = { path, format };
  }
  const path = join(folder, 'top.qcow2');
  const mayPreallocate = depth === 0 || options.extended_l2;
  const all = {
    ...options,
    ...backingOptions(below),
    ...(useDataFile ? { data_file: `${path}.data`, ...(raw ? { data_file_raw: true } : {}) } : {}),
    ...(mayPreallocate && random.chance(0.3) ? { preallocation: random.pick(['metadata', 'falloc', 'full']) } : {}),
  };
  await makeImage('qcow2', path, { size, ...all });
  const unmap = random.chance(0.7);
  return {
    description: `${JSON.stringify({ size, ...all })} over ${depth}, ${unmap ? 'with' : 'without'} unmap`,
    path,
    spec: { driver: 'qcow2', file: { driver: 'file', filename: path }, ...cacheOptions(clusterSize, random) },
    unmap,
    clusterSize,
    rawDataFile: raw ? `${path}.data` : undefined,
    canCompress: !useDataFile,
    content: overlay(content, size),
  };
}

function randomOptions(random: Random) {
  const compat = random.chance(0.15) ? '0.10' : '1.1';
  const extended = compat === '1.1' && random.chance(0.35);
  const clusterSize = extended
    ? random.pick([16 * KIB, 32 * KIB, 64 * KIB])
    : random.pick([512, 1024, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB]);
  return {
    cluster_size: clusterSize,
    compat,
    extended_l2: extended,
    refcount_bits: compat === '1.1' ? random.pick([1, 2, 8, 16, 16, 64]) : 16,
    lazy_refcounts: compat === '1.1' && random.chance(0.3),
    compression_type: compat === '1.1' && random.chance(0.3) ? 'zstd' : 'zlib',
  };
}

function backingOptions(below: { path: string; format: string } | undefined) {
  return below === undefined ? {} : { backing_file: below.path, backing_fmt: below.format };
}

/** Now and then caches so small that tables are written out and read again all the time. */
function cacheOptions(clusterSize: number, random: Random): Record<string, unknown> {
  if (random.chance(0.6)) return {};
  return {
    'l2-cache-entry-size': 512,
    'l2-cache-size': Math.max(1024, clusterSize),
    'refcount-cache-size': 4 * clusterSize,
  };
}

/** The same content at another length. */
function overlay(content: Buffer, length: number): Buffer {
  const result = Buffer.alloc(length);
  content.copy(result);
  return result;
}

async function fillLayer(path: string, driver: string, content: Buffer, random: Random): Promise<Buffer> {
  const disk = await openDisk({ driver, file: { driver: 'file', filename: path } }, { writable: true });
  try {
    for (let count = random.between(2, 8); count > 0; count--) {
      const offset = random.below(content.length);
      const length = Math.min(1 + random.magnitude(256 * KIB), content.length - offset);
      if (random.chance(0.25)) {
        content.fill(0, offset, offset + length);
        await disk.zero(offset, length);
      } else {
        const data = random.bytes(length);
        data.copy(content, offset);
        await disk.write(offset, data);
      }
    }
  } finally {
    await disk.close();
  }
  return content;
}
