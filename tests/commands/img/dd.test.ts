import fs from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { imgHere, imgHereOutput } from '../../support/img-here.ts';
import { peersFor, qemuImg, qemuImgCheck, qemuImgJson, qemuImgSame, runPeer } from '../../support/peers.ts';
import { tempDir, tempDirForSuite } from '../../support/temp.ts';
import { holdOpen } from './hold-open.ts';

const KiB = 1024;
const SIZE = 700 * KiB + 512;

/** Data, a long hole, written zeroes and an end within a cluster. */
function disk(): Buffer {
  const content = Buffer.alloc(SIZE);
  for (let at = 0; at < 130 * KiB; at++) content[at] = ((at * 7 + (at >> 10)) % 251) + 1;
  for (let at = 500 * KiB; at < SIZE; at += 3 * KiB) content.fill(9, at, at + KiB);
  content.fill(0, 510 * KiB, 530 * KiB);
  return content;
}

/** What follows the names of input and output. */
const OPERANDS: readonly string[] = [
  '',
  'bs=64k',
  'bs=1M',
  'bs=2147483647',
  'count=3',
  'bs=64k count=3',
  'bs=64k skip=3',
  'bs=1000 skip=1',
  'bs=1000 count=5',
  'bs=1000 skip=7 count=600',
  'bs=0x200 skip=1k',
  'bs=1k skip=2 count=2',
  'bs=1k skip=3 count=2',
  'count=0',
  'count=9999999999999999',
  'bs=512 skip=1401',
  'bs=512 skip=1402',
  'bs=1k skip=5000',
  'bs=1k bs=2k count=3',
];

const WRONG: readonly string[] = [
  'bs=0',
  'bs=2G',
  'bs=-1',
  'bs=x',
  'bs=',
  'count=-1',
  'count=x',
  'skip=x',
  'seek=1',
  'conv=sync',
  'bs',
  'count',
  'x',
];

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing)('img dd, as qemu-img does', () => {
  const folder = tempDirForSuite();
  const sources = { raw: join(folder, 'a.raw'), qcow2: join(folder, 'a.qcow2') };

  async function both(words: readonly string[], ends: { input: string; format: string }): Promise<void> {
    const dir = tempDir();
    const outputs = [join(dir, 'ours'), join(dir, 'theirs')] as const;
    const args = (output: string) => ['dd', '-O', ends.format, ...words, `if=${ends.input}`, `of=${output}`];
    const [ours, theirs] = await Promise.all([imgHere(args(outputs[0])), runPeer('qemu-img', args(outputs[1]))]);
    const label = words.join(' ');
    expect({ label, code: ours.code, stdout: ours.stdout, silent: ours.stderr === '' }).toEqual({
      label,
      code: theirs.code,
      stdout: theirs.stdout,
      silent: theirs.stderr === '',
    });
    if (ours.code !== 0) {
      expect(ours.stderr, label).toMatch(/^img: [^\n]+\n$/);
      expect(fs.existsSync(outputs[0])).toBe(false);
      return;
    }
    const size = async (file: string) =>
      (await qemuImgJson<{ 'virtual-size': number }>(['info', '-f', ends.format, file]))['virtual-size'];
    expect({ label, size: await size(outputs[0]) }).toEqual({ label, size: await size(outputs[1]) });
    expect({ label, same: await qemuImgSame(...outputs) }).toEqual({ label, same: true });
    if (ends.format === 'qcow2') expect((await qemuImgCheck(outputs[0])).code).toBe(0);
  }

  test.each([
    ['raw', 'raw'],
    ['raw', 'qcow2'],
    ['qcow2', 'raw'],
    ['qcow2', 'qcow2'],
  ] as const)('%s to %s', async (from, to) => {
    fs.writeFileSync(sources.raw, disk());
    if (from === 'qcow2') await qemuImg(['convert', '-f', 'raw', '-O', 'qcow2', sources.raw, sources.qcow2]);
    const ends = { input: sources[from], format: to };
    for (const operands of OPERANDS) await both(['-f', from, ...operands.split(' ').filter((w) => w !== '')], ends);
  });

  test('what is wrong ends in one line, and nothing is made', async () => {
    fs.writeFileSync(sources.raw, disk());
    const ends = { input: sources.raw, format: 'raw' };
    for (const word of WRONG) await both([word], ends);
    for (const format of ['nothing', 'null-co']) await both([], { ...ends, format });
    await both([], { ...ends, input: join(folder, 'none') });
    await both(['-f', 'qcow2'], ends);
    for (const args of [['dd'], ['dd', 'if=a'], ['dd', 'of=b'], ['dd', `if=${sources.raw}`, 'of=/none/such']]) {
      const { code, stdout, stderr } = await imgHere(args);
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).toMatch(/^img: [^\n]+\n$/);
      expect((await runPeer('qemu-img', args)).code).toBe(1);
    }
  });

  test('an input that is being written to needs -U', async () => {
    const dir = tempDir();
    const file = join(dir, 'a.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', file, '1M']);
    await holdOpen(file);
    const args = [`if=${file}`, `of=${join(dir, 'b')}`];
    expect((await imgHere(['dd', ...args])).stderr).toMatch(/lock/);
    expect(await imgHere(['dd', '-U', ...args])).toEqual({ code: 0, stdout: '', stderr: '' });
  });
});

describe('img dd', () => {
  test('copies any part of a disk, whatever the blocks', async () => {
    const dir = tempDir();
    const [input, output] = [join(dir, 'a'), join(dir, 'b')];
    const content = disk();
    fs.writeFileSync(input, content);
    const blocks = fc.record({
      block: fc.integer({ min: 1, max: 100_000 }),
      skip: fc.nat({ max: 20 }),
      count: fc.nat({ max: 40 }),
    });
    await fc.assert(
      fc.asyncProperty(blocks, async ({ block, skip, count }) => {
        const operands = [`bs=${block}`, `skip=${skip}`, `count=${count}`, `if=${input}`, `of=${output}`];
        const { code } = await imgHere(['dd', '-f', 'raw', ...operands]);
        expect(code).toBe(0);
        const part = content.subarray(skip * block, Math.max(skip, count) * block);
        const made = fs.readFileSync(output);
        expect(made.length).toBe(Math.ceil(part.length / 512) * 512);
        expect(made.subarray(0, part.length).equals(part)).toBe(true);
        expect(made.subarray(part.length).every((byte) => byte === 0)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  test('leaves zeroes out', async () => {
    const dir = tempDir();
    fs.writeFileSync(join(dir, 'a'), Buffer.alloc(4 * 1024 * KiB));
    await imgHereOutput(['dd', '-f', 'raw', `if=${join(dir, 'a')}`, `of=${join(dir, 'b')}`]);
    expect(fs.statSync(join(dir, 'b')).blocks).toBeLessThan(64);
  });

  test('does not overwrite its own input', async () => {
    const file = join(tempDir(), 'a');
    const content = disk();
    fs.writeFileSync(file, content);
    expect(await imgHere(['dd', '-f', 'raw', `if=${file}`, `of=${file}`])).toMatchObject({ code: 1, stdout: '' });
    expect(fs.readFileSync(file).equals(content)).toBe(true);
  });

  test('takes the input from options, and says when there is nothing to copy', async () => {
    const dir = tempDir();
    fs.writeFileSync(join(dir, 'a'), disk());
    const spec = `driver=raw,file.filename=${join(dir, 'a')}`;
    const to = `of=${join(dir, 'b')}`;
    expect(await imgHere(['dd', '--image-opts', `if=${spec}`, to])).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(fs.readFileSync(join(dir, 'b')).equals(disk())).toBe(true);
    const past = await imgHere(['dd', '-f', 'raw', `if=${join(dir, 'a')}`, to, 'bs=1M', 'skip=9']);
    expect(past).toEqual({
      code: 0,
      stdout: '',
      stderr: `img: block 9, where the copy is to begin, lies past the end of '${join(dir, 'a')}': the output is empty\n`,
    });
    expect(fs.statSync(join(dir, 'b')).size).toBe(0);
    expect((await imgHere(['dd', '-f', 'raw', '--image-opts', `if=${spec}`, to])).code).toBe(1);
  });
});
