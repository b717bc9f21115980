/**
 * What a command makes and says does not depend on how long requests take: the same content and the same allocation
 * whatever the pace, the same bytes where a layout in order is promised, the same first error.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { openDisk } from '../support/disk.ts';
import { imgHere, imgHereOutput } from '../support/img-here.ts';
import { Random, seeds } from '../support/random.ts';
import { tempDir } from '../support/temp.ts';
import { setPace } from '../support/uneven-host.ts';
import { type Seen, seenOf } from './seen-image.ts';

vi.mock(import('../../src/core/host/calls.ts'), async (original) =>
  (await import('../support/uneven-host.ts')).unevenCalls(original),
);
vi.mock(import('../../src/core/host/libc.ts'), async (original) =>
  (await import('../support/uneven-host.ts')).unevenLibc(original),
);
vi.mock(import('../../src/drivers/qcow2/codec.ts'), async (original) =>
  (await import('../support/uneven-host.ts')).unevenCodec(original),
);

const K = 1024;
const SIZE = 12 * K * K;

type At = (name: string) => string;

interface Scenario {
  readonly what: string;
  prepare(at: At): Promise<void>;
  /** `@` stands for the folder. */
  readonly commands: readonly (readonly string[])[];
  /** Files to look at, and their formats; with `bytes` every byte of them counts. */
  readonly look?: readonly (readonly [name: string, format: string, bytes?: 'bytes'])[];
}

/** A raw disk with data that packs and data that does not, stored zeroes, and holes. */
function rawFile(path: string, seed: number): void {
  const random = new Random(seed);
  const content = Buffer.alloc(SIZE);
  for (let at = 0; at < SIZE; ) {
    const length = Math.min(SIZE - at, 4 * K * (1 + random.magnitude(300)));
    const part = content.subarray(at, at + length);
    if (random.chance(0.7)) part.set(random.bytes(length));
    for (let block = 0; block < length; block += 4 * K)
      if (random.chance(0.5)) part.fill(random.below(3), block, block + 4 * K);
    at += length;
  }
  writeFileSync(path, content.subarray(0, SIZE - 100 * K));
  truncateSync(path, SIZE);
}

/** Write, zero and discard at random in a qcow2 image. */
async function scribble(path: string, seed: number): Promise<void> {
  const random = new Random(seed);
  const spec = { driver: 'qcow2', file: { driver: 'file', filename: path } };
  const disk = await openDisk(spec, { writable: true, modes: { unmap: true } });
  for (let round = 0; round < 40; round++) {
    const length = 512 * (1 + random.magnitude(1500));
    const offset = 512 * random.below((SIZE - length) / 512);
    const kind = random.below(5);
    if (kind === 0) await disk.zero(offset, length);
    else if (kind === 1) await disk.discard(offset, length);
    else await disk.write(offset, kind === 2 ? Buffer.alloc(length) : random.bytes(length));
  }
  await disk.close();
}

const img = (...args: string[]): Promise<string> => imgHereOutput(args);

/** `name` in a format, with the content of a raw disk of its own. */
async function make(at: At, name: string, seed: number, format = 'qcow2', ...options: string[]): Promise<void> {
  rawFile(at('raw'), seed);
  await img('convert', '-m', '1', '-f', 'raw', '-O', format, ...options, at('raw'), at(name));
}

/** `top` over `base`, both with content. */
async function chain(at: At, format = 'qcow2', ...options: string[]): Promise<void> {
  await make(at, 'base', 1, format, ...options);
  await img('create', '-q', '-f', 'qcow2', '-b', 'base', '-F', format, at('top'));
  await scribble(at('top'), 2);
}

const targets: readonly (readonly string[])[] = [
  ['raw'],
  ['qcow2'],
  ['qcow2', '-o', 'cluster_size=4k'],
  ['qcow2', '-o', 'cluster_size=512'],
  ['qcow2', '-o', 'extended_l2=on'],
  ['qcow2', '-c', '-o', 'cluster_size=4k'],
  ['qcow2', '-c', '-m', '16'],
  ['qcow2', '-S', '0', '-m', '16'],
  ['qcow2', '-C'],
  ['raw', '-C'],
];

const conversions: readonly Scenario[] = targets.flatMap(([format = '', ...options]) =>
  ['', '-W'].map((unordered) => ({
    what: `convert -O ${[format, ...options, unordered].join(' ')}`,
    prepare: (at: At) => chain(at),
    commands: [['convert', '-O', format, ...options, ...(unordered ? [unordered] : []), '@/top', '@/out']],
    look: [unordered ? (['out', format] as const) : (['out', format, 'bytes'] as const)],
  })),
);

const others: readonly Scenario[] = [
  ...[['raw'], ['qcow2'], ['qcow2', '-o', 'cluster_size=4k'], ['qcow2', '-o', 'extended_l2=on']].map(
    ([format = '', ...options]): Scenario => ({
      what: `commit to ${[format, ...options].join(' ')}`,
      prepare: (at) => chain(at, format, ...options),
      commands: [['commit', '@/top']],
      look: [
        ['base', format],
        ['top', 'qcow2'],
      ],
    }),
  ),
  ...[
    ['-b', '@/next', '-F', 'qcow2'],
    ['-c', '-b', '@/next', '-F', 'qcow2'],
    ['-b', ''],
  ].map(
    (words): Scenario => ({
      what: `rebase ${words.join(' ')}`,
      prepare: async (at) => {
        await chain(at);
        await make(at, 'next', 3);
      },
      commands: [['rebase', ...words, '@/top']],
      look: [['top', 'qcow2']],
    }),
  ),
  {
    what: 'convert -n, over content',
    prepare: async (at) => {
      await chain(at);
      await make(at, 'out', 4, 'qcow2', '-o', 'cluster_size=4k');
    },
    commands: [['convert', '-n', '-S', '0', '-O', 'qcow2', '@/top', '@/out']],
    look: [['out', 'qcow2', 'bytes']],
  },
  {
    what: 'snapshots, bitmaps, resizing and amending',
    prepare: async (at) => {
      await make(at, 'disk', 1, 'qcow2', '-o', 'cluster_size=4k');
      await img('snapshot', '-c', 'one', at('disk'));
      for (const name of ['a', 'b']) {
        await img('bitmap', '--add', at('disk'), name);
        await scribble(at('disk'), 5);
      }
    },
    commands: [
      ['bitmap', '--merge', 'a', '@/disk', 'b'],
      ['convert', '--bitmaps', '-O', 'qcow2', '@/disk', '@/out'],
      ['bitmap', '--remove', '@/disk', 'a'],
      ['bitmap', '--remove', '@/disk', 'b'],
      ['snapshot', '-a', 'one', '@/disk'],
      ['snapshot', '-d', 'one', '@/disk'],
      ['resize', '-q', '--shrink', '@/disk', '7M'],
      ['resize', '-q', '--preallocation=full', '@/disk', '9M'],
      ['amend', '-o', 'refcount_bits=64', '@/disk'],
    ],
    look: [
      ['disk', 'qcow2', 'bytes'],
      ['out', 'qcow2', 'bytes'],
    ],
  },
];

/** Sectors of the disk in question that cannot be read, or written. */
const bad = (
  spec: string,
  file: string,
  iotype: 'read' | 'write',
  sectors = [8 * K + 7, 11 * K, 19 * K + 99],
): string =>
  [
    `driver=${spec},file.driver=blkdebug,file.image.filename=@/${file}`,
    ...sectors.map((sector, index) =>
      Object.entries({ event: 'none', sector, iotype, errno: iotype === 'read' ? 5 : 28, once: 'off' })
        .map(([key, value]) => `file.inject-error.${index}.${key}=${value}`)
        .join(','),
    ),
  ].join(',');

const failures: readonly Scenario[] = [[], ['-W'], ['-C'], ['--salvage']].map((flags) => ({
  what: `failing ${flags.join(' ')}`,
  prepare: async (at: At) => {
    await make(at, 'full', 1, 'raw', '-S', '0');
    await img('create', '-q', '-f', 'raw', at('small'), String(SIZE));
  },
  commands: [
    ['convert', ...flags, '-O', 'qcow2', '--image-opts', bad('raw', 'full', 'read'), '@/out'],
    ['convert', ...flags, '-n', '-f', 'raw', '--target-image-opts', '@/full', bad('raw', 'small', 'write')],
    ['compare', '--image-opts', bad('raw', 'full', 'read'), 'driver=raw,file.filename=@/full'],
    ['bench', '-c', '300', '-s', '64k', '--image-opts', bad('raw', 'full', 'read')],
  ],
}));

interface Outcome {
  readonly said: readonly unknown[];
  readonly seen: readonly (Partial<Seen> | undefined)[];
}

async function outcomeOf(scenario: Scenario, folder: string, seed: number | undefined): Promise<Outcome> {
  // Under the same name each time, which messages have in them.
  const work = join(folder, 'work');
  rmSync(work, { recursive: true, force: true });
  // As old as they were, to the nanosecond, which images know of each other.
  execFileSync('cp', ['-a', join(folder, 'base'), work]);
  const said: unknown[] = [];
  setPace(seed);
  for (const words of scenario.commands) said.push(await imgHere(words.map((word) => word.replaceAll('@', work))));
  setPace(undefined);
  const seen: (Partial<Seen> | undefined)[] = [];
  for (const [name, format, every] of scenario.look ?? []) {
    const { bytes, ...rest } = (await seenOf(join(work, name), format)) ?? {};
    seen.push(every ? { ...rest, bytes } : rest);
  }
  return { said, seen };
}

describe.each([
  ['conversions', conversions],
  ['changes of images', others],
  ['failures', failures],
])('%s', (_name, scenarios) => {
  test.each(scenarios.map((scenario) => [scenario.what, scenario] as const))('%s', async (_what, scenario) => {
    const folder = tempDir();
    mkdirSync(join(folder, 'base'));
    await scenario.prepare((name) => join(folder, 'base', name));
    const usual = await outcomeOf(scenario, folder, undefined);
    if (scenarios !== failures) expect(usual.said).toEqual(usual.said.map(() => expect.objectContaining({ code: 0 })));
    for (const seed of seeds(3)) expect(await outcomeOf(scenario, folder, seed), `pace ${seed}`).toEqual(usual);
  });
});
