import { copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { type HereResult, imgHere } from '../../support/img-here.ts';
import { peersFor, qemuImg, qemuImgCheck, qemuImgJson, qemuImgSame, qemuIo, runPeer } from '../../support/peers.ts';
import { tempDir, tempDirForSuite } from '../../support/temp.ts';
import { holdOpen } from './hold-open.ts';

const MiB = 1024 * 1024;

/** What follows `resize`, FILE being the image; of 4 MiB before. */
const WORDS: readonly string[] = [
  'FILE 6M',
  'FILE +2M',
  'FILE +1536',
  'FILE 0x500000',
  'FILE 4.5M',
  'FILE 4M',
  'FILE +0',
  'FILE 1M',
  '--shrink FILE 1M',
  '--shrink FILE -1M',
  '--shrink FILE -1.5M',
  '-q --shrink FILE -512',
  'FILE -1M',
  '--shrink FILE -4M',
  '--shrink FILE -1T',
  '--shrink FILE 0',
  '--preallocation=full FILE 5M',
  '--preallocation=falloc FILE +1M',
  '--preallocation=metadata FILE +1M',
  '--preallocation=off FILE +1M',
  '--preallocation=some FILE +1M',
  '--preallocation=full FILE 4M',
  '--preallocation=full --shrink FILE 1M',
  'FILE x',
  'FILE +-1M',
  'FILE ++',
  'FILE 7E',
  'FILE',
  'FILE FILE 1M',
];

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing)('img resize, as qemu-img does', () => {
  const folder = tempDirForSuite();
  const start = { raw: join(folder, 'start.raw'), qcow2: join(folder, 'start.qcow2') };
  beforeAll(async () => {
    for (const format of ['raw', 'qcow2'] as const) {
      await qemuImg(['create', '-q', '-f', format, start[format], '4M']);
      await qemuIo(start[format], ['write -P 5 0 100k', 'write -P 6 2M 2M'], ['-f', format]);
    }
  });

  /** Both on copies of their own: exit status, standard output, whether there are errors, and the image. */
  async function both(format: 'raw' | 'qcow2', words: string): Promise<HereResult> {
    const dir = tempDir();
    const files = [join(dir, 'ours'), join(dir, 'theirs')] as const;
    for (const file of files) copyFileSync(start[format], file);
    const args = (file: string) => ['resize', '-f', format, ...words.split(' ').map((w) => (w === 'FILE' ? file : w))];
    const [ours, theirs] = await Promise.all([imgHere(args(files[0])), runPeer('qemu-img', args(files[1]))]);
    expect({ words, code: ours.code, stdout: ours.stdout, silent: ours.stderr === '' }).toEqual({
      words,
      code: theirs.code,
      stdout: theirs.stdout,
      silent: theirs.stderr === '',
    });
    const size = (file: string) => (format === 'raw' ? statSync(file).size : virtualSize(file));
    expect({ words, size: await size(files[0]) }).toEqual({ words, size: await size(files[1]) });
    expect(await qemuImgSame(files[0], files[1])).toBe(true);
    if (format === 'qcow2') expect((await qemuImgCheck(files[0])).code).toBe(0);
    return ours;
  }

  const virtualSize = async (file: string) =>
    (await qemuImgJson<{ 'virtual-size': number }>(['info', file]))['virtual-size'];

  test.each(['raw', 'qcow2'] as const)('%s', async (format) => {
    for (const words of WORDS) {
      const { code, stderr } = await both(format, words);
      expect(stderr, words).toMatch(code === 0 ? /^$/ : /^img: [^\n]+\n(Try [^\n]+\n|img: warning: [^\n]+\n)?$/);
    }
  });

  test('only raw has sizes that are not whole sectors', async () => {
    const dir = tempDir();
    const raw = join(dir, 'a.raw');
    copyFileSync(start.raw, raw);
    expect((await imgHere(['resize', '-f', 'raw', '--shrink', raw, '1000'])).code).toBe(0);
    expect(statSync(raw).size).toBe(1000);
    const { code, stderr } = await both('qcow2', 'FILE +1000');
    expect({ code, stderr }).toMatchObject({ code: 1 });
    expect(stderr).toContain('is not a multiple of 512');
  });

  test('space is taken when asked for', async () => {
    const dir = tempDir();
    for (const [format, mode, least] of [
      ['raw', 'falloc', 8 * MiB],
      ['raw', 'full', 8 * MiB],
      ['qcow2', 'falloc', 4 * MiB],
      ['qcow2', 'full', 4 * MiB],
    ] as const) {
      const file = join(dir, `${mode}.${format}`);
      await qemuImg(['create', '-q', '-f', format, file, '1M']);
      expect((await imgHere(['resize', '-f', format, `--preallocation=${mode}`, file, '+8M'])).code).toBe(0);
      expect(statSync(file).blocks * 512).toBeGreaterThanOrEqual(least);
    }
  });

  test('an image that another program has open is refused', async () => {
    const file = join(tempDir(), 'a.qcow2');
    copyFileSync(start.qcow2, file);
    await holdOpen(file);
    const { code, stdout, stderr } = await imgHere(['resize', file, '8M']);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/lock/);
  });
});

describe('img resize', () => {
  test('takes options from a name, warns of a guess, and finds what is wrong before it opens anything', async () => {
    const file = join(tempDir(), 'a.raw');
    writeFileSync(file, 'not zero');
    const guessed = await imgHere(['resize', file, '1M']);
    expect(guessed).toMatchObject({ code: 0, stdout: 'Image resized.\n' });
    expect(guessed.stderr).toMatch(/^img: warning: the format of .* was guessed as raw/);
    const spec = `driver=raw,file.filename=${file}`;
    expect(await imgHere(['resize', '--image-opts', spec, '-q', '+512'])).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(readFileSync(file).subarray(0, 9).toString()).toBe('not zero\0');
    expect(statSync(file).size).toBe(MiB + 512);
    expect((await imgHere(['resize', '--image-opts', '-f', 'raw', spec, '1M'])).code).toBe(1);
    const none = `${file}.none`;
    expect((await imgHere(['resize', none, 'x'])).stderr).toMatch(/^img: image size expects/);
    expect((await imgHere(['resize', none, '1M'])).stderr).toBe(
      `img: Could not open '${none}': No such file or directory\n`,
    );
  });

  test('says that shrinking loses data, also when quiet', async () => {
    const file = join(tempDir(), 'a.raw');
    writeFileSync(file, Buffer.alloc(8192));
    const { code, stdout, stderr } = await imgHere(['resize', '-q', '-f', 'raw', file, '-4k']);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr.split('\n')).toEqual([
      `img: '${file}' would shrink from 8192 to 4096 bytes, which needs --shrink`,
      expect.stringMatching(/^img: warning: all data beyond the new end is lost/),
      '',
    ]);
    expect(statSync(file).size).toBe(8192);
  });
});

describe.skipIf(peersFor('qemu-img').missing)('img resize of an image whose counts contradict themselves', () => {
  test('does not shrink it before it is repaired', async () => {
    const file = join(tempDir(), 'disk.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', '-o', 'refcount_bits=1', file, '64M']);
    const bytes = readFileSync(file);
    // A second block of counts, at 64 GiB: the count of that place would be in a third one, which does not exist.
    bytes.writeBigUInt64BE(2n ** 36n, Number(bytes.readBigUInt64BE(48)) + 8);
    writeFileSync(file, bytes);
    const refused = await imgHere(['resize', '--shrink', file, '32M']);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('Refblock at 0x1000000000 is not covered by the refcount structures');
    expect(JSON.parse((await imgHere(['info', '--output=json', file])).stdout)).toMatchObject({
      'virtual-size': 64 * MiB,
    });
    expect((await imgHere(['check', '-r', 'all', file])).code).toBe(0);
    expect((await imgHere(['resize', '--shrink', file, '32M'])).code).toBe(0);
    expect(await qemuImgCheck(file)).toMatchObject({ code: 0 });
  });
});
