import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { imgHere, imgHereOutput } from '../../support/img-here.ts';
import { Random, seeds } from '../../support/random.ts';
import { tempDir } from '../../support/temp.ts';

const MiB = 1024 * 1024;

/** Ranges of blocks in which two buffers differ, found the plain way. */
function ranges(a: Buffer, b: Buffer, block: number): { start: number; length: number }[] {
  const found: { start: number; length: number }[] = [];
  const size = Math.max(a.length, b.length);
  const part = (buf: Buffer, at: number) => {
    const bytes = Buffer.alloc(Math.min(block, size - at));
    if (at < buf.length) buf.copy(bytes, 0, at, at + bytes.length);
    return bytes;
  };
  for (let at = 0; at < size; at += block) {
    const one = part(a, at);
    if (one.equals(part(b, at))) continue;
    const last = found.at(-1);
    if (last && last.start + last.length === at) last.length += one.length;
    else found.push({ start: at, length: one.length });
  }
  return found;
}

describe('img diff', () => {
  test.each(seeds(6))('lists exactly what differs (seed %i)', async (seed) => {
    const random = new Random(seed);
    const folder = tempDir();
    const a = Buffer.alloc(3 * MiB + 512 * random.below(64));
    for (let i = 0; i < 20; i++) a.fill(1 + random.below(255), random.below(a.length), random.below(a.length));
    const b = Buffer.alloc(a.length + 512 * random.below(2000));
    a.copy(b);
    for (let i = 0; i < 30; i++) {
      const at = random.below(b.length);
      b.fill(random.below(256), at, at + random.below(10_000));
    }
    const [first, second, packed] = ['a.raw', 'b.raw', 'b.qcow2'].map((name) => join(folder, name));
    if (!first || !second || !packed) throw new Error('names are missing');
    writeFileSync(first, a);
    writeFileSync(second, b);
    await imgHereOutput(['convert', '-f', 'raw', '-O', 'qcow2', second, packed]);
    for (const granularity of [512, 4096, 65536, MiB]) {
      const args = ['diff', '--output=json', '-g', String(granularity), '-f', 'raw', '-F', 'qcow2', first, packed];
      const { code, stdout, stderr } = await imgHere(args);
      const expected = ranges(a, b, granularity);
      expect({ stderr, code }).toEqual({ stderr: '', code: expected.length > 0 ? 1 : 0 });
      expect(JSON.parse(stdout)).toEqual(expected);
    }
  });

  test('prints a table, or nothing, and says by its status whether there is a difference', async () => {
    const folder = tempDir();
    const [a, b] = [join(folder, 'a'), join(folder, 'b')];
    writeFileSync(a, Buffer.alloc(8192));
    writeFileSync(b, Buffer.alloc(8192).fill(1, 1000, 1001).fill(1, 4096, 5120));
    const args = ['diff', '-f', 'raw', '-F', 'raw'];
    const table = 'Offset          Length\n0x200           0x200\n0x1000          0x400\n';
    expect(await imgHere([...args, a, b])).toEqual({ code: 1, stdout: table, stderr: '' });
    expect(await imgHere([...args, '-q', a, b])).toEqual({ code: 1, stdout: '', stderr: '' });
    expect(await imgHere([...args, a, a])).toEqual({ code: 0, stdout: '', stderr: '' });
    expect((await imgHere([...args, a, join(folder, 'none')])).code).toBe(2);
    expect((await imgHere([...args, '-g', '768', a, b])).code).toBe(2);
  });
});
