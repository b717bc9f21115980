import crypto from 'node:crypto';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { img } from '../../support/cli.ts';
import { imgHere, imgHereOutput } from '../../support/img-here.ts';
import { tempDir } from '../../support/temp.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

/** Data in the first blocks, a hole, and data in the last one, which is no whole block. */
function sparseDisk(path: string): string {
  writeFileSync(path, crypto.randomBytes(3 * MiB + 5000));
  truncateSync(path, 40 * MiB);
  writeFileSync(path, crypto.randomBytes(3 * KiB), { flag: 'a' });
  return path;
}

describe('img checksum', () => {
  test('is the same for every format and place of the same content', async () => {
    const folder = tempDir();
    const raw = sparseDisk(join(folder, 'a.raw'));
    const sum = await imgHereOutput(['checksum', '-f', 'raw', raw]);
    expect(sum).toMatch(/^sha256-tree:[0-9a-f]{64}\n$/);
    const others = [
      ['-O', 'qcow2'],
      ['-O', 'qcow2', '-c'],
      ['-O', 'qcow2', '-o', 'cluster_size=4k,extended_l2=off'],
      ['-O', 'raw', '-S', '0'],
    ];
    for (const [index, options] of others.entries()) {
      const copy = join(folder, `copy${index}`);
      await imgHereOutput(['convert', '-f', 'raw', ...options, raw, copy]);
      const format = options.includes('qcow2') ? 'qcow2' : 'raw';
      expect(await imgHereOutput(['checksum', '-f', format, copy])).toBe(sum);
    }
    const overlay = join(folder, 'overlay');
    await imgHereOutput(['create', '-q', '-f', 'qcow2', '-b', raw, '-F', 'raw', overlay]);
    expect(await imgHereOutput(['checksum', overlay])).toBe(sum);
    // With threads, in the built program.
    const built = await img(['checksum', '-f', 'raw', raw]);
    expect(built.stdout).toBe(sum);
  });

  test('is that of the definition for one block, and tells a changed byte and a changed size', async () => {
    const folder = tempDir();
    const path = join(folder, 'a.raw');
    const block = crypto.randomBytes(1024);
    writeFileSync(path, block);
    const expected = crypto
      .createHash('sha512')
      .update(Buffer.concat([Buffer.of(0), block]))
      .digest('hex');
    expect(await imgHereOutput(['checksum', '-f', 'raw', '-a', 'sha512', path])).toBe(`sha512-tree:${expected}\n`);
    truncateSync(path, 1536);
    expect(await imgHereOutput(['checksum', '-f', 'raw', '-a', 'sha512', path])).not.toContain(expected);
  });

  test('compares with what is expected, by the exit status', async () => {
    const path = join(tempDir(), 'a.raw');
    writeFileSync(path, 'x'.repeat(512));
    const sum = (await imgHereOutput(['checksum', '-f', 'raw', path])).trim();
    const check = async (expected: string) =>
      (await imgHere(['checksum', '-f', 'raw', '--expect', expected, path])).code;
    expect(await check(sum)).toBe(0);
    expect(await check(sum.slice('sha256-tree:'.length).toUpperCase())).toBe(0);
    expect(await check('00')).toBe(1);
    expect(await check('sha1-tree:00')).toBe(2);
    expect(await check('no sum')).toBe(2);
    expect((await imgHere(['checksum', join(tempDir(), 'none')])).code).toBe(2);
    expect((await imgHere(['checksum', '-a', 'md4', path])).code).toBe(2);
  });

  test('names the images when there are several, also in JSON', async () => {
    const folder = tempDir();
    const [a, b] = [join(folder, 'a'), join(folder, 'b')];
    writeFileSync(a, 'x'.repeat(512));
    writeFileSync(b, '');
    const lines = (await imgHereOutput(['checksum', '-f', 'raw', a, b])).trim().split('\n');
    expect(lines.map((line) => line.split('  ')[1])).toEqual([a, b]);
    expect(lines[1]).toContain(crypto.createHash('sha256').digest('hex'));
    const json = JSON.parse(await imgHereOutput(['checksum', '-f', 'raw', '--output=json', a, b]));
    expect(json).toMatchObject([
      { filename: a, 'virtual-size': 512 },
      { filename: b, 'virtual-size': 0 },
    ]);
  });
});
