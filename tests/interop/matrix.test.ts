/**
 * qcow2 images of every kind, written by us and by QEMU's tools, and each read by both: the content is the same,
 * both checks find nothing, and what they say about the image is equal field by field.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { imgHere, imgHereOutput } from '../support/img-here.ts';
import { peersFor, qemuImg, qemuImgCheck, qemuImgJson, qemuImgSame } from '../support/peers.ts';
import { applyHere, applyThere, expectedContent, type Layer, planChain, writePatterns } from './content.ts';
import { creationOptions, describeLayout, type Layout, layouts } from './layout.ts';

const root = mkdtempSync(join(process.env.BLOCKYARD_TMP ?? tmpdir(), 'blockyard-matrix-'));
beforeAll(() => writePatterns(root));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const peers = peersFor('qemu-img', 'qemu-io');

describe.skipIf(peers.missing).concurrent('qcow2 and QEMU', () => {
  for (const [index, layout] of layouts().entries()) {
    const seed = index + 1;
    test(`${describeLayout(layout)} (seed ${seed})`, async () => {
      const folder = mkdtempSync(join(root, 'case-'));
      try {
        const layers = planChain(layout, seed);
        const expected = join(folder, 'expected.raw');
        writeFileSync(expected, expectedContent(layers));
        for (const writer of ['ours', 'theirs'] as const) {
          const image = await build(folder, writer, layout, layers);
          await verify(writer, image, expected, layout);
        }
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
  }
});

/** Make the chain and write its content; returns the path of the top image. */
async function build(
  folder: string,
  writer: 'ours' | 'theirs',
  layout: Layout,
  layers: readonly Layer[],
): Promise<string> {
  const create = writer === 'ours' ? imgHereOutput : qemuImg;
  let below: { path: string; format: string } | undefined;
  for (const [level, layer] of layers.entries()) {
    const isTop = level === layers.length - 1;
    const path = join(folder, `${writer}-${level}.${layer.format}`);
    // The data file belongs to the top image alone; in those below it would add nothing.
    const own: Layout = isTop ? layout : { ...layout, dataFile: 'none', preallocation: 'off' };
    const options = layer.format === 'raw' ? [] : ['-o', creationOptions(own, `${path}.data`)];
    const backing = below === undefined ? [] : ['-b', below.path, '-F', below.format];
    await create(['create', '-q', '-f', layer.format, ...options, ...backing, path, String(layer.size)]);
    if (writer === 'ours') await applyHere(path, layer, layout.clusterSize);
    else await applyThere(path, layer, root);
    below = { path, format: layer.format };
  }
  if (below === undefined) throw new Error('a chain has at least one layer');
  return below.path;
}

async function verify(writer: string, image: string, expected: string, layout: Layout): Promise<void> {
  const what = `image written by ${writer === 'ours' ? 'us' : 'QEMU'}`;
  const ours = await imgHere(['check', '-f', 'qcow2', image]);
  expect(ours, `our check of the ${what}`).toMatchObject({ code: 0, stderr: '' });
  const theirs = await qemuImgCheck(image);
  expect(theirs, `their check of the ${what}`).toMatchObject({ code: 0 });
  expect(await imgHere(['compare', '-f', 'raw', '-F', 'qcow2', expected, image]), `our compare, ${what}`).toEqual({
    code: 0,
    stdout: 'Images are identical.\n',
    stderr: '',
  });
  expect(await qemuImgSame(expected, image), `their compare, ${what}`).toBe(true);
  if (layout.dataFile === 'raw') {
    const content = readFileSync(expected);
    const data = readFileSync(`${image}.data`).subarray(0, content.length);
    expect(data.equals(content), `the raw data file, ${what}`).toBe(true);
  }
  await agree(image, what, theirs.report);
}

/**
 * Both programs say the same of the image. There is one exception: this QEMU's map has no member `compressed`,
 * which later ones have.
 */
async function agree(image: string, what: string, theirReport: unknown): Promise<void> {
  const info: unknown = JSON.parse(await imgHereOutput(['info', '--backing-chain', '--output=json', image]));
  expect(info, `info, ${what}`).toEqual(await qemuImgJson(['info', '--backing-chain', image]));
  const report: unknown = JSON.parse(await imgHereOutput(['check', '--output=json', image]));
  expect(report, `check, ${what}`).toEqual(theirReport);
  const map = JSON.parse(await imgHereOutput(['map', '--output=json', image])) as MapEntry[];
  const theirMap = await qemuImgJson<MapEntry[]>(['map', image]);
  const known = theirMap.some((entry) => 'compressed' in entry);
  const comparable = known ? map : joined(map.map(({ compressed, ...entry }) => entry));
  expect(comparable, `map, ${what}`).toEqual(theirMap);
}

interface MapEntry {
  readonly start: number;
  readonly length: number;
  readonly depth: number;
  readonly present: boolean;
  readonly zero: boolean;
  readonly data: boolean;
  readonly compressed?: boolean;
  readonly offset?: number;
}

/** Neighbours that differ in nothing but their place, as one. */
function joined(map: readonly MapEntry[]): MapEntry[] {
  const result: MapEntry[] = [];
  for (const entry of map) {
    const last = result.at(-1);
    if (last !== undefined && continues(last, entry)) {
      result[result.length - 1] = { ...last, length: last.length + entry.length };
    } else result.push(entry);
  }
  return result;
}

function continues(last: MapEntry, next: MapEntry): boolean {
  const sameKind =
    last.depth === next.depth && last.present === next.present && last.zero === next.zero && last.data === next.data;
  if (!sameKind) return false;
  if (last.offset === undefined || next.offset === undefined) return last.offset === next.offset;
  return last.offset + last.length === next.offset;
}
