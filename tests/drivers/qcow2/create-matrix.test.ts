/** New images of every kind beside those that qemu-img makes with the same options. */
import fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { describeImage } from '../../../src/core/block/graph/image-info.ts';
import { openNode } from '../../../src/core/block/graph/open.ts';
import { peersFor, qemuImg, qemuImgCheck, qemuImgJson } from '../../support/peers.ts';
import { tempDirForSuite } from '../../support/temp.ts';
import { checkFile, checkJson } from './support/check-file.ts';
import { createImage, newGraph } from './support/host-edge.ts';

type Options = Readonly<Record<string, string>>;

const KiB = 1024;
const clusterSizes = Array.from({ length: 13 }, (_, index) => 512 << index);
const refcountBits = [1, 2, 4, 8, 16, 32, 64];
const preallocations = ['off', 'metadata', 'falloc', 'full'];

/** Options as `-o` takes them. */
function optionList(options: Options): string[] {
  const words = Object.entries(options).map(([name, value]) => `${name}=${value}`);
  return words.length === 0 ? [] : ['-o', words.join(',')];
}

/** Cluster sizes with every other refcount width each; the other options take turns. */
function version3(): Options[] {
  let turn = 0;
  return clusterSizes.flatMap((size, index) =>
    refcountBits
      .filter((_, width) => (width + index) % 2 === 0)
      .map((bits) => {
        turn++;
        return {
          cluster_size: String(size),
          refcount_bits: String(bits),
          preallocation: preallocations[turn % 4] ?? 'off',
          ...(turn % 2 === 0 && size >= 16 * KiB ? { extended_l2: 'on' } : {}),
          ...(turn % 3 === 0 ? { compression_type: 'zstd' } : {}),
          ...(turn % 5 === 0 ? { data_file: 'DATA' } : {}),
          ...(turn % 10 === 0 ? { data_file_raw: 'on' } : {}),
          ...(turn % 7 === 0 ? { lazy_refcounts: 'on' } : {}),
          ...(turn % 11 === 0 ? { compat: 'v3' } : {}),
        };
      }),
  );
}

function version2(): Options[] {
  return clusterSizes.map((size, index) => ({
    compat: index % 2 === 0 ? '0.10' : 'v2',
    cluster_size: String(size),
    preallocation: preallocations[index % 4] ?? 'off',
  }));
}

/** What `info` says of an image, without what differs between any two. */
async function ourInfo(path: string): Promise<Record<string, unknown>> {
  const graph = newGraph();
  const spec = { driver: 'qcow2', file: { driver: 'file', filename: path } };
  const node = await openNode(graph, spec, { modes: { readOnly: true, noIo: true }, noBacking: true });
  const description = await describeImage(node);
  await graph.closeIfUnused(node);
  return comparable({ ...description });
}

async function theirInfo(path: string): Promise<Record<string, unknown>> {
  return comparable(await qemuImgJson<Record<string, unknown>>(['info', path]));
}

function comparable(info: Record<string, unknown>): Record<string, unknown> {
  const { filename: _filename, 'actual-size': _actual, ...rest } = info;
  return JSON.parse(JSON.stringify(rest).replaceAll(/(ours|theirs)\.(qcow2|data)/g, 'X.$2'));
}

/** Make an image with both programs and compare all there is to compare. */
async function compareCreation(folder: string, options: Options, size: string): Promise<void> {
  const made = await Promise.all(
    (['ours', 'theirs'] as const).map(async (who) => {
      const path = join(folder, `${who}.qcow2`);
      const data = join(folder, `${who}.data`);
      fs.rmSync(data, { force: true });
      const own = options.data_file === undefined ? options : { ...options, data_file: data };
      if (who === 'ours') await createImage(path, { ...own, size });
      else await qemuImg(['create', '-q', '-f', 'qcow2', ...optionList(own), path, size]);
      const check = await qemuImgCheck(path);
      const { filename: _filename, ...report } = check.report as Record<string, unknown>;
      return {
        exit: check.code,
        report,
        info: await theirInfo(path),
        length: fs.statSync(path).size,
        dataLength: fs.existsSync(data) ? fs.statSync(data).size : 0,
      };
    }),
  );
  expect(made[0]).toEqual(made[1]);
  const path = join(folder, 'ours.qcow2');
  expect(await ourInfo(path)).toEqual(made[1]?.info);
  const { format: _format, ...counters } = made[1]?.report ?? {};
  expect(checkJson((await checkFile(path)).result)).toEqual(counters);
}

describe.skipIf(peersFor('qemu-img').missing)('a new image is the one that qemu-img makes', () => {
  const folder = tempDirForSuite();
  const name = (options: Options) => Object.entries(options).flat().join(' ');

  test.each(version3().map((options) => [name(options), options] as const))('%s', async (_name, options) => {
    await compareCreation(folder, options, '4M');
  });

  test.each(version2().map((options) => [name(options), options] as const))('%s', async (_name, options) => {
    await compareCreation(folder, options, '4M');
  });

  test.each(['0', '512', '1000', '64k', '65537', '1G', '7T', '1P'])('of %s bytes', async (size) => {
    await compareCreation(folder, {}, size);
  });

  test('of many tables, laid out without gaps', async () => {
    const path = join(folder, 'many.qcow2');
    for (const [size, bits, length] of [
      ['512', '64', 24],
      ['1k', '1', 100],
    ] as const) {
      await createImage(path, {
        cluster_size: size,
        refcount_bits: bits,
        preallocation: 'metadata',
        size: `${length}M`,
      });
      expect(await qemuImgCheck(path)).toMatchObject({
        code: 0,
        report: { 'image-end-offset': fs.statSync(path).size },
      });
      expect((await checkFile(path)).result).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0 });
    }
  });

  test('with a backing file', async () => {
    const base = join(folder, 'base.raw');
    fs.writeFileSync(base, Buffer.alloc(64 * KiB));
    const variants: readonly Options[] = [
      {},
      { cluster_size: '512' },
      { compat: '0.10' },
      { extended_l2: 'on', preallocation: 'metadata' },
    ];
    for (const extra of variants) {
      await compareCreation(folder, { backing_file: base, backing_fmt: 'raw', ...extra }, '1M');
    }
  });
});
