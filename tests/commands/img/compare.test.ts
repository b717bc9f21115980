import { closeSync, openSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { imgHere } from '../../support/img-here.ts';
import { peersFor, qemuImg, qemuIo, runPeer } from '../../support/peers.ts';
import { tempDir } from '../../support/temp.ts';

const MiB = 1024 * 1024;

/** A raw disk with a byte at each of the offsets. */
function disk(path: string, size: number, bytes: Readonly<Record<number, number>> = {}): string {
  writeFileSync(path, '');
  truncateSync(path, size);
  const fd = openSync(path, 'r+');
  for (const [offset, byte] of Object.entries(bytes)) writeSync(fd, Buffer.of(byte), 0, 1, Number(offset));
  closeSync(fd);
  return path;
}

/** Ours, which must say what qemu-img says. */
async function bothCompare(args: readonly string[]): Promise<{ code: number; stdout: string }> {
  const [ours, theirs] = await Promise.all([imgHere(['compare', ...args]), runPeer('qemu-img', ['compare', ...args])]);
  const { code, stdout } = ours;
  expect({ args, code, stdout }).toEqual({ args, code: theirs.code, stdout: theirs.stdout });
  return { code, stdout };
}

describe('img compare', () => {
  test('wrong use ends with 2, never with 1', async () => {
    const a = disk(join(tempDir(), 'a.raw'), 1024);
    for (const args of [
      ['compare'],
      ['compare', a],
      ['compare', a, a, a],
      ['compare', '--bogus', a, a],
      ['compare', '-f', 'nonsense', a, a],
      ['compare', '-f', 'raw', '--image-opts', a, a],
      ['compare', '-T', 'bogus', a, a],
      ['compare', '--object', 'nonsense,id=x', a, a],
      ['compare', a, join(a, 'none')],
    ]) {
      const { code, stdout, stderr } = await imgHere(args);
      expect({ args, code, stdout }).toEqual({ args, code: 2, stdout: '' });
      expect(stderr).toMatch(/^img: [^\n]+\n(Try 'img compare --help' for more information\n)?$/);
    }
  });

  test('a large difference late is found at its sector, in pieces of any kind', async () => {
    const folder = tempDir();
    const size = 9 * MiB + 512;
    const a = disk(join(folder, 'a.raw'), size, { 0: 1, 3000000: 1, 8000000: 7 });
    for (const offset of [0, 511, 131_072, 3 * MiB - 1, 5_000_001, size - 1]) {
      const b = disk(join(folder, 'b.raw'), size, { 0: 1, 3000000: 1, 8000000: 7, [offset]: 9 });
      const { code, stdout } = await imgHere(['compare', '-f', 'raw', '-F', 'raw', a, b]);
      expect({ code, stdout }).toEqual({
        code: 1,
        stdout: `Content mismatch at offset ${offset - (offset % 512)}!\n`,
      });
    }
  });

  test('of several differences the first is told', async () => {
    const folder = tempDir();
    const data = Buffer.alloc(8 * MiB, 'some data');
    writeFileSync(join(folder, 'a.raw'), data);
    for (let at = 2 * MiB + 77; at < data.length; at += 90_001) data[at] = 1;
    writeFileSync(join(folder, 'b.raw'), data);
    const { stdout } = await imgHere(['compare', join(folder, 'a.raw'), join(folder, 'b.raw')]);
    expect(stdout).toBe(`Content mismatch at offset ${2 * MiB}!\n`);
  });

  test('progress in JSON goes up to the size', async () => {
    const a = disk(join(tempDir(), 'a.raw'), 3 * MiB, { 5: 5 });
    const { code, stdout, stderr } = await imgHere(['compare', '--progress=json', a, a]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'Images are identical.\n' });
    const last = JSON.parse(stderr.trim().split('\n').at(-1) ?? '') as unknown;
    expect(last).toMatchObject({ phase: 'compare', done: 3 * MiB, total: 3 * MiB });
  });
});

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing)('img compare, as qemu-img does', () => {
  test('same, different, of different sizes', async () => {
    const folder = tempDir();
    const a = disk(join(folder, 'a.raw'), MiB, { 70000: 1 });
    const same = disk(join(folder, 'same.raw'), MiB, { 70000: 1 });
    const other = disk(join(folder, 'other.raw'), MiB, { 70000: 2 });
    const longer = disk(join(folder, 'longer.raw'), 3 * MiB, { 70000: 1 });
    const more = disk(join(folder, 'more.raw'), 3 * MiB, { 70000: 1, [2 * MiB + 5]: 1 });
    const empty = disk(join(folder, 'empty.raw'), 0);
    const raw = ['-f', 'raw', '-F', 'raw'];
    expect(await bothCompare([...raw, a, same])).toEqual({ code: 0, stdout: 'Images are identical.\n' });
    expect(await bothCompare([...raw, '-q', a, same])).toEqual({ code: 0, stdout: '' });
    expect(await bothCompare([...raw, a, other])).toEqual({ code: 1, stdout: 'Content mismatch at offset 69632!\n' });
    expect(await bothCompare([...raw, '-q', a, other])).toEqual({ code: 1, stdout: '' });
    for (const flags of [[], ['-s'], ['-q']]) {
      for (const pair of [
        [a, longer],
        [longer, a],
        [a, more],
        [more, a],
        [empty, a],
        [empty, empty],
      ]) {
        await bothCompare([...raw, ...flags, ...pair]);
      }
    }
  });

  test('strictly, status is compared where it differs, not where one area is longer', async () => {
    const folder = tempDir();
    const one = disk(join(folder, 'one.raw'), 3 * MiB, { 70000: 1 });
    const two = disk(join(folder, 'two.raw'), 3 * MiB, { 70000: 1, [2 * MiB]: 1 });
    const raw = ['compare', '-f', 'raw', '-F', 'raw'];
    const strict = await imgHere([...raw, '-s', one, two]);
    expect(strict).toMatchObject({ code: 1, stdout: `Strict mode: Offset ${2 * MiB} block status mismatch!\n` });
    expect((await imgHere([...raw, one, two])).stdout).toBe(`Content mismatch at offset ${2 * MiB}!\n`);
    // The same for the other program, which names the start of the area.
    expect((await runPeer('qemu-img', [...raw, '-s', one, two])).code).toBe(1);
  });

  test('across formats, chains and compression', async () => {
    const folder = tempDir();
    const path = (name: string) => join(folder, name);
    const raw = disk(path('a.raw'), 2 * MiB, { 0: 3, 1000000: 1 });
    await qemuImg(['convert', '-O', 'qcow2', raw, path('a.qcow2')]);
    await qemuImg(['convert', '-c', '-O', 'qcow2', raw, path('packed.qcow2')]);
    await qemuImg(['create', '-q', '-f', 'qcow2', '-b', raw, '-F', 'raw', path('over.qcow2')]);
    await qemuImg(['create', '-q', '-f', 'qcow2', '-b', raw, '-F', 'raw', path('changed.qcow2')]);
    await qemuIo(path('changed.qcow2'), ['write -P 5 1M 512'], ['-f', 'qcow2']);
    const names = ['a.raw', 'a.qcow2', 'packed.qcow2', 'over.qcow2', 'changed.qcow2'].map(path);
    for (const first of names) for (const second of names) await bothCompare([first, second]);
    await bothCompare(['-s', path('a.qcow2'), path('a.qcow2')]);
    await bothCompare(['-s', raw, path('a.qcow2')]);
    await bothCompare(['-s', path('a.qcow2'), path('changed.qcow2')]);
    await bothCompare([
      '--image-opts',
      `driver=raw,file.filename=${raw}`,
      `driver=qcow2,file.filename=${path('a.qcow2')}`,
    ]);
  });

  test('a disk that cannot be read ends with 4', async () => {
    const folder = tempDir();
    const raw = disk(join(folder, 'a.raw'), MiB, { 0: 1 });
    const bad = join(folder, 'bad.qcow2');
    await qemuImg(['convert', '-c', '-O', 'qcow2', raw, bad]);
    const map = JSON.parse((await runPeer('qemu-img', ['info', '--output=json', bad])).stdout) as object;
    expect(map).toMatchObject({ format: 'qcow2' });
    // The compressed cluster lies in the sixth cluster: header, refcounts twice, L1 and L2 come before.
    const fd = openSync(bad, 'r+');
    writeSync(fd, Buffer.alloc(65_536, 0xff), 0, 65_536, 5 * 65_536);
    closeSync(fd);
    const { code, stdout, stderr } = await imgHere(['compare', '-f', 'raw', '-F', 'qcow2', raw, bad]);
    expect({ code, stdout }).toEqual({ code: 4, stdout: '' });
    expect(stderr).toMatch(/^img: Could not read '.*bad\.qcow2' at offset 0: .*\n$/);
    expect((await runPeer('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', raw, bad])).code).toBe(4);
  });
});
