/** `img convert` against `qemu-img convert`, both ways, over the layouts that a conversion can write. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Case, coveringCases } from '../support/covering.ts';
import { firstDifference } from '../support/disk.ts';
import { imgHere, imgHereOutput } from '../support/img-here.ts';
import { peersFor, qemuImg, qemuImgCheck, qemuImgSame } from '../support/peers.ts';
import { expectedContent, type Layer, planChain } from './content.ts';
import { creationOptions, describeLayout, dimensions, type Layout } from './layout.ts';

const MIB = 1024 * 1024;

const conversions = {
  clusterSize: [512, 4096, 65536, 2 * MIB],
  compat: dimensions.compat,
  extendedL2: dimensions.extendedL2,
  compression: dimensions.compression,
  preallocation: dimensions.preallocation,
  dataFile: dimensions.dataFile,
  flags: ['', '-W', '-m 1', '-m 16 -W', '-S 0', '-S 64k', '-n', '-t none', '-r 200M'],
} as const;

type Conversion = Case<typeof conversions>;

function valid(conversion: Partial<Conversion>): boolean {
  const { compression = 'none', dataFile = 'none', clusterSize = 65536, preallocation = 'off' } = conversion;
  if (conversion.extendedL2 && clusterSize < 16384) return false;
  if (compression !== 'none' && (dataFile !== 'none' || preallocation !== 'off')) return false;
  return conversion.compat !== '0.10' || !(conversion.extendedL2 || compression === 'zstd' || dataFile !== 'none');
}

const root = mkdtempSync(join(process.env.BLOCKYARD_TMP ?? tmpdir(), 'blockyard-convert-'));
const source = join(root, 'source.raw');
const base: Layout = {
  clusterSize: 65536,
  refcountBits: 16,
  compat: '1.1',
  extendedL2: false,
  compression: 'none',
  depth: 0,
  backingLength: 'same',
  preallocation: 'off',
  dataFile: 'none',
  lazyRefcounts: false,
};
const layers: readonly Layer[] = planChain({ ...base, clusterSize: 2 * MIB }, 99);
const content = expectedContent(layers);
beforeAll(() => writeFileSync(source, content));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const peers = peersFor('qemu-img');

describe.skipIf(peers.missing).concurrent('convert', () => {
  for (const conversion of coveringCases(conversions, { valid, strength: 2, seed: 2 })) {
    const { flags, ...rest } = conversion;
    const layout: Layout = { ...base, ...rest };
    test(`${describeLayout(layout)} ${flags}`, async () => {
      const folder = mkdtempSync(join(root, 'case-'));
      try {
        await checkWriting(folder, layout, flags);
        await checkReading(folder, layout);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
  }
});

/** We convert raw to qcow2: QEMU finds nothing wrong, and the content in it. */
async function checkWriting(folder: string, layout: Layout, flags: string): Promise<void> {
  const target = join(folder, 'ours.qcow2');
  const options = ['-o', creationOptions(layout, `${target}.data`)];
  const words = flags === '' ? [] : flags.split(' ');
  const compress = layout.compression === 'none' ? [] : ['-c'];
  if (flags === '-n') await qemuImg(['create', '-q', '-f', 'qcow2', ...options, target, String(content.length)]);
  const creation = flags === '-n' ? [] : options;
  await imgHereOutput(['convert', '-f', 'raw', '-O', 'qcow2', ...words, ...compress, ...creation, source, target]);
  expect(await qemuImgCheck(target)).toMatchObject({ code: 0 });
  expect(await qemuImgSame(source, target)).toBe(true);
  expect(await imgHere(['check', target])).toMatchObject({ code: 0, stderr: '' });
  if (layout.dataFile === 'raw') expectSame(readFileSync(`${target}.data`).subarray(0, content.length));
}

/** QEMU converts raw to qcow2: we convert it back to the same bytes. */
async function checkReading(folder: string, layout: Layout): Promise<void> {
  const image = join(folder, 'theirs.qcow2');
  const back = join(folder, 'back.raw');
  const compress = layout.compression === 'none' ? [] : ['-c'];
  const options = creationOptions(layout, `${image}.data`);
  await qemuImg(['convert', '-f', 'raw', '-O', 'qcow2', ...compress, '-o', options, source, image]);
  await imgHereOutput(['convert', '-O', 'raw', image, back]);
  expectSame(readFileSync(back));
}

function expectSame(bytes: Buffer): void {
  expect(bytes.length).toBe(content.length);
  expect(firstDifference(bytes, content), 'first difference').toBe(-1);
}
