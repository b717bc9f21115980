import { truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { imgHere, imgHereOutput } from '../../support/img-here.ts';
import { peersFor, runPeer } from '../../support/peers.ts';
import { tempDir, tempDirForSuite } from '../../support/temp.ts';
import { makeImages } from './image-matrix.ts';

/** Ours, which must be what qemu-img prints. */
async function both(args: readonly string[], label = args.join(' ')): Promise<void> {
  const [ours, theirs] = await Promise.all([imgHere(args), runPeer('qemu-img', args)]);
  expect({ label, code: ours.code, stdout: ours.stdout, silent: ours.stderr === '' }).toEqual({
    label,
    code: theirs.code,
    stdout: theirs.stdout,
    silent: theirs.stderr === '',
  });
  if (ours.code !== 0) expect(ours.stderr).toMatch(/^img: [^\n]+\n(Try [^\n]+\n)?$/);
}

const SIZES = ['0', '1', '511', '1000', '64k', '1M', '1G', '100G', '1.5T', '0x10000', '7E', '-1', 'x'];
const TARGETS: readonly (readonly string[])[] = [
  [],
  ['-O', 'raw'],
  ['-O', 'qcow2'],
  ['-O', 'qcow2', '-o', 'compat=0.10'],
  ['-O', 'qcow2', '-o', 'cluster_size=512'],
  ['-O', 'qcow2', '-o', 'cluster_size=2M'],
  ['-O', 'qcow2', '-o', 'extended_l2=on'],
  ['-O', 'qcow2', '-o', 'refcount_bits=1', '-o', 'cluster_size=4k'],
  ['-O', 'qcow2', '-o', 'refcount_bits=64,preallocation=falloc'],
  ['-O', 'qcow2', '-o', 'preallocation=full'],
  ['-O', 'qcow2', '-o', 'preallocation=metadata'],
  ['-O', 'qcow2', '-o', 'backing_file=nowhere,backing_fmt=raw'],
];

/** What is wrong. */
const WRONG: readonly (readonly string[])[] = [
  [],
  ['-f', 'qcow2'],
  ['--image-opts'],
  ['-l', 'one'],
  ['a', 'b'],
  ['--size', '1G', 'a'],
  ['--size', '1G', '-O', 'none-such'],
  ['--size', '1G', '-O', 'file'],
  ['--size', '1G', '-O', 'null-co'],
  ['--size', '1G', '-O', 'qcow2', '-o', 'cluster_size=3'],
  ['--size', '1G', '-O', 'qcow2', '-o', 'nothing=1'],
  ['--size', '1G', '-o', ','],
  ['--size', '1G', '--output=xml'],
  ['/dev/null/none'],
];

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing)('img measure, as qemu-img does', () => {
  const folder = tempDirForSuite();
  let images: string[] = [];
  beforeAll(async () => {
    images = await makeImages(folder);
  });

  test('empty disks', async () => {
    for (const size of SIZES) {
      for (const target of TARGETS) await both(['measure', ...target, '--size', size]);
    }
    await both(['measure', '--output=json', '--size', '1G', '-O', 'qcow2', '-o', 'size=2G']);
  }, 120_000);

  test('the content of images', async () => {
    for (const image of images) {
      if (basename(image) === 'far.qcow2') continue; // its backing file is out of reach
      for (const target of [[], ['-O', 'qcow2'], ['-O', 'qcow2', '-o', 'cluster_size=4k'], ...TARGETS.slice(6, 9)]) {
        await both(['measure', '--output=json', ...target, image], `${basename(image)} ${target.join(' ')}`);
      }
    }
  }, 120_000);

  test('bitmaps, for people too', async () => {
    const plain = join(folder, 'plain.qcow2');
    await both(['measure', '-O', 'qcow2', plain]);
    await both(['measure', '-U', '-O', 'qcow2', '-o', 'compat=0.10', plain]);
    await both(['measure', '-O', 'qcow2', '--image-opts', `driver=qcow2,file.filename=${plain}`]);
    expect(await imgHereOutput(['measure', '-f', 'qcow2', '-O', 'qcow2', plain])).toMatch(
      /^required size: \d+\nfully allocated size: \d+\nbitmaps size: \d+\n$/,
    );
  });

  test.each(WRONG.map((words) => [words.join(' '), words] as const))('measure %s', async (_, words) => {
    await both(['measure', ...words]);
  });
});

describe('img measure', () => {
  test('refuses internal snapshots with one line, and lists the options of a format', async () => {
    const file = join(tempDir(), 'a.raw');
    writeFileSync(file, 'x');
    truncateSync(file, 4096);
    const { code, stdout, stderr } = await imgHere(['measure', '-l', 'one', file]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toBe(`img: '${file}' cannot have snapshots: the format 'raw' has none\n`);
    expect(await imgHereOutput(['measure', '-O', 'qcow2', '-o', 'help'])).toContain('cluster_size');
    expect(await imgHereOutput(['measure', file])).toBe('required size: 4096\nfully allocated size: 4096\n');
  });
});
