/**
 * A command and the job of the same kind, on the same images: the same content, the same allocation in every layer, and
 * where nothing tells them apart the same bytes.
 */
import { cpSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { imgOutput } from '../support/cli.ts';
import { peersFor, qemuImg, qemuIo } from '../support/peers.ts';
import { Random } from '../support/random.ts';
import { StorageDaemon } from '../support/storage-daemon.ts';
import { tempDir } from '../support/temp.ts';

const KiB = 1024;
const SIZE = 8 * KiB * KiB;
const LAYERS = ['base', 'mid', 'top'];

interface Setting {
  readonly name: string;
  /** Options for making each layer. */
  readonly options: string;
  readonly sizes?: readonly number[];
}

const settings: readonly Setting[] = [
  { name: 'default clusters', options: 'cluster_size=64k' },
  { name: 'small clusters', options: 'cluster_size=4k' },
  { name: 'subclusters', options: 'cluster_size=64k,extended_l2=on' },
  { name: 'layers that grow', options: 'cluster_size=64k', sizes: [SIZE / 2, (SIZE * 3) / 4, SIZE] },
];

/** A chain with data, zeroes, discards and compressed clusters, with relative names. */
async function chain(setting: Setting, seed: number): Promise<string> {
  const dir = tempDir();
  const random = new Random(seed);
  for (const [index, name] of LAYERS.entries()) {
    const file = path.join(dir, name);
    const size = setting.sizes?.[index] ?? SIZE;
    const below = index === 0 ? [] : ['-b', LAYERS[index - 1] ?? '', '-F', 'qcow2'];
    await qemuImg(['create', '-q', '-f', 'qcow2', '-o', setting.options, ...below, file, String(size)]);
    // Only where there is nothing yet can qemu-io write compressed data.
    const places = random.shuffled(Array.from({ length: size / (64 * KiB) }, (_, index) => index)).slice(0, 6);
    const commands = places.map((place) => `write -c -P ${random.between(1, 255)} ${place * 64 * KiB} 64k`);
    for (let n = 0; n < 14; n++) {
      const kind = random.below(7);
      const unit = kind === 1 ? 64 * KiB : 512;
      const length =
        unit * random.between(1, (kind === 1 ? 64 : 400) * KiB < unit ? 1 : Math.floor((400 * KiB) / unit));
      const offset = unit * random.below(Math.floor((size - length) / unit));
      if (kind === 0) commands.push(`write -z ${offset} ${length}`);
      else if (kind === 1) commands.push(`discard ${offset} ${length}`);
      else if (kind === 2) commands.push(`write -P 0 ${offset} ${length}`);
      else commands.push(`write -P ${random.between(1, 255)} ${offset} ${length}`);
    }
    await qemuIo(file, commands, ['-f', 'qcow2', '-d', 'unmap']);
  }
  return dir;
}

const node = (dir: string, names: readonly string[]): object => {
  const [name = '', ...below] = names;
  return {
    driver: 'qcow2',
    'node-name': name,
    'read-only': false,
    discard: 'unmap',
    file: { driver: 'file', filename: path.join(dir, name) },
    ...(below.length > 0 ? { backing: node(dir, below) } : {}),
  };
};

async function job(dir: string, command: string, args: object, how: 'complete' | 'settle' | 'end'): Promise<void> {
  const daemon = await StorageDaemon.start(dir, ['--blockdev', JSON.stringify(node(dir, [...LAYERS].reverse()))]);
  await daemon.run(command, { 'job-id': 'j', device: 'top', ...args });
  if (how !== 'end') {
    await daemon.event('BLOCK_JOB_READY');
    if (how === 'complete') await daemon.run('job-complete', { id: 'j' });
    else await daemon.run('block-job-cancel', { device: 'j' });
  }
  const { data } = await daemon.event('BLOCK_JOB_COMPLETED');
  expect(data).not.toHaveProperty('error');
  await daemon.quit();
}

const map = (dir: string, name: string): Promise<string> => imgOutput(['map', '--output=json', path.join(dir, name)]);

interface MapEntry {
  readonly start: number;
  readonly length: number;
  readonly depth: number;
  readonly present: boolean;
  readonly zero: boolean;
  readonly data: boolean;
  readonly compressed: boolean;
  readonly offset?: number;
}

/** `map` without where in the file things are, but with whether they are there: lines of start, end and state. */
async function allocation(dir: string, name: string): Promise<string[]> {
  const runs: { state: string; start: number; end: number }[] = [];
  for (const entry of JSON.parse(await map(dir, name)) as MapEntry[]) {
    const { start, length, depth, present, offset } = entry;
    const kinds = (['zero', 'data', 'compressed'] as const).filter((kind) => entry[kind]);
    const where = present ? `depth ${depth}` : 'nowhere';
    const state = [where, ...kinds, ...(offset === undefined ? [] : ['stored'])].join(' ');
    const last = runs.at(-1);
    if (last?.state === state) last.end = start + length;
    else runs.push({ state, start, end: start + length });
  }
  return runs.map(({ state, start, end }) => `${start / KiB} ${end / KiB} ${state}`);
}

/** `lines` with what `others` have in the image itself, where these leave it to the backing file. */
function leaving(lines: readonly string[], others: readonly string[]): string[] {
  const [units, other] = [unitsOf(lines), unitsOf(others)];
  const all = units.map((state, at) => {
    const its = other[at] ?? '';
    return !state.startsWith('depth 0') && its.startsWith('depth 0') ? its : state;
  });
  const result: string[] = [];
  for (let at = 0, from = 0; at < all.length; at++) {
    if (all[at] === all[at + 1]) continue;
    result.push(`${from} ${at + 1} ${all[at]}`);
    from = at + 1;
  }
  return result;
}

/** The state of each KiB. */
function unitsOf(lines: readonly string[]): string[] {
  return lines.flatMap((line) => {
    const [, from = '', to = '', state = ''] = /^(\d+) (\d+) (.*)$/.exec(line) ?? [];
    return Array.from({ length: Number(to) - Number(from) }, () => state);
  });
}

interface Pair {
  readonly name: string;
  offline(dir: string): Promise<unknown>;
  online(dir: string): Promise<unknown>;
  /** Files to be compared. */
  readonly files: readonly string[];
  /** Files that stay as they are. */
  readonly untouched?: readonly string[];
  /** A backup says of zeroes that they are there, since it may have another target than a new one. */
  readonly marksZeroes?: boolean;
  /** A rebase reads the new backing file too, and leaves to it what it has alike; a stream does not read what stays. */
  readonly leavesAlike?: boolean;
  /** One is laid out as the other: they are the same byte for byte. */
  readonly sameBytes?: boolean;
}

const at = (dir: string, name: string): string => path.join(dir, name);

const pairs: readonly Pair[] = [
  {
    name: 'convert and mirror',
    offline: (dir) => imgOutput(['convert', '-f', 'qcow2', '-O', 'qcow2', at(dir, 'top'), at(dir, 'out')]),
    online: (dir) => job(dir, 'drive-mirror', { target: at(dir, 'out'), format: 'qcow2', sync: 'full' }, 'settle'),
    files: ['out'],
  },
  {
    name: 'convert and mirror to raw',
    offline: (dir) => imgOutput(['convert', '-f', 'qcow2', '-O', 'raw', at(dir, 'top'), at(dir, 'out')]),
    online: (dir) => job(dir, 'drive-mirror', { target: at(dir, 'out'), format: 'raw', sync: 'full' }, 'settle'),
    files: ['out'],
    sameBytes: true,
  },
  {
    name: 'convert and backup',
    offline: (dir) => imgOutput(['convert', '-f', 'qcow2', '-O', 'qcow2', at(dir, 'top'), at(dir, 'out')]),
    online: (dir) => job(dir, 'drive-backup', { target: at(dir, 'out'), format: 'qcow2', sync: 'full' }, 'end'),
    files: ['out'],
    marksZeroes: true,
  },
  {
    name: 'commit into the next layer',
    offline: (dir) => imgOutput(['commit', '-q', '-d', '-f', 'qcow2', at(dir, 'top')]),
    online: (dir) => job(dir, 'block-commit', { 'base-node': 'mid' }, 'complete'),
    files: ['mid'],
    untouched: ['base'],
  },
  {
    name: 'commit into the lowest layer',
    offline: (dir) => imgOutput(['commit', '-q', '-d', '-f', 'qcow2', '-b', 'base', at(dir, 'top')]),
    online: (dir) => job(dir, 'block-commit', { 'base-node': 'base' }, 'complete'),
    files: ['base'],
  },
  {
    name: 'rebase and stream above the lowest layer',
    offline: (dir) => imgOutput(['rebase', '-q', '-f', 'qcow2', '-b', 'base', '-F', 'qcow2', at(dir, 'top')]),
    online: (dir) => job(dir, 'block-stream', { 'base-node': 'base', 'backing-file': 'base' }, 'end'),
    files: ['top'],
    untouched: ['base', 'mid'],
    leavesAlike: true,
  },
  {
    name: 'rebase and stream of everything',
    offline: (dir) => imgOutput(['rebase', '-q', '-f', 'qcow2', '-b', '', at(dir, 'top')]),
    online: (dir) => job(dir, 'block-stream', {}, 'end'),
    files: ['top'],
  },
];

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing).each(settings)('offline and online, $name', (setting) => {
  test.each(pairs)('$name', { timeout: 60_000 }, async (pair) => {
    const { offline, online, files, untouched = [], sameBytes = false } = pair;
    const first = await chain(setting, 11);
    const second = tempDir();
    for (const name of LAYERS) cpSync(at(first, name), at(second, name));
    await offline(first);
    await online(second);
    for (const name of [...files, ...untouched]) {
      const formats = name === 'out' ? [] : ['-f', 'qcow2', '-F', 'qcow2'];
      await imgOutput(['compare', '-q', ...formats, at(first, name), at(second, name)]);
      const expected = await allocation(first, name);
      const found = await allocation(second, name);
      const plain = (lines: string[]) => lines.map((line) => line.replace('depth 0 zero', 'nowhere zero'));
      if (pair.marksZeroes) expect(plain(found), name).toEqual(plain(expected));
      else if (pair.leavesAlike) expect(found, name).toEqual(leaving(expected, found));
      else expect(found, name).toEqual(expected);
      if (sameBytes || untouched.includes(name)) {
        expect(readFileSync(at(second, name)).equals(readFileSync(at(first, name))), name).toBe(true);
        expect(await map(second, name)).toBe(await map(first, name));
      }
    }
  });
});
