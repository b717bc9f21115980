/** Commit and rebase on chains of any formats and sizes: the disk stays, and stays right by qemu-img's judgement. */
import { copyFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { img, imgOutput } from '../support/cli.ts';
import { peersFor, qemuImg, runPeer } from '../support/peers.ts';
import { Random, seeds } from '../support/random.ts';
import { tempDir } from '../support/temp.ts';

const KIB = 1024;

interface Layer {
  readonly name: string;
  readonly format: 'raw' | 'qcow2';
}

/** Layers, the deepest first, each with content of its own; the last is `top.qcow2`. */
async function makeChain(folder: string, random: Random, names: readonly string[]): Promise<Layer[]> {
  const chain: Layer[] = [];
  for (const [index, name] of names.entries()) {
    const format = index === 0 && random.chance(0.5) ? 'raw' : 'qcow2';
    const below = chain.at(-1);
    const options = format === 'qcow2' ? ['-o', `cluster_size=${2 ** random.between(9, 18)}`] : [];
    const backing = below ? ['-b', below.name, '-F', below.format] : [];
    const size = 64 * KIB * random.between(40, 90);
    const file = join(folder, name);
    await qemuImg(['create', '-q', '-f', format, ...options, ...backing, file, String(size)], { cwd: folder });
    const commands = Array.from({ length: 10 }, () => {
      const length = 4096 * random.between(1, 64);
      const offset = 4096 * random.between(0, (size - length) / 4096);
      const kind = random.chance(0.2) ? '-z' : `-P ${random.between(1, 255)}`;
      return ['-c', `write ${kind} ${offset} ${length}`];
    });
    const done = await runPeer('qemu-io', ['-f', format, ...commands.flat(), file], { cwd: folder });
    expect(done.code).toBe(0);
    chain.push({ name, format });
  }
  return chain;
}

async function shows(folder: string, file: string, want: string): Promise<void> {
  await qemuImg(['compare', '-q', file, want], { cwd: folder });
  const check = await runPeer('qemu-img', ['check', '-q', file], { cwd: folder });
  expect([0, 63]).toContain(check.code);
}

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing)('a chain', () => {
  test.each(seeds(3))('is committed as qemu-img does it (seed %i)', async (seed) => {
    const folder = tempDir();
    const random = new Random(seed);
    const chain = await makeChain(folder, random, ['base.img', 'mid.qcow2', 'top.qcow2']);
    await qemuImg(['convert', '-O', 'raw', 'top.qcow2', 'want.raw'], { cwd: folder });
    for (const { name } of chain) copyFileSync(join(folder, name), join(folder, `kept-${name}`));
    expect(await imgOutput(['commit', 'top.qcow2'], { cwd: folder })).toBe('Image committed.\n');
    await shows(folder, 'top.qcow2', 'want.raw');
    const map = JSON.parse(await imgOutput(['map', '--output=json', 'top.qcow2'], { cwd: folder }));
    expect(map.filter((range: { depth: number; present: boolean }) => range.present && range.depth === 0)).toEqual([]);
    for (const { name } of chain) copyFileSync(join(folder, `kept-${name}`), join(folder, name));
    await imgOutput(['commit', '-q', '-b', 'base.img', 'top.qcow2'], { cwd: folder });
    copyFileSync(join(folder, 'base.img'), join(folder, 'ours.img'));
    for (const { name } of chain) copyFileSync(join(folder, `kept-${name}`), join(folder, name));
    await qemuImg(['commit', '-q', '-b', 'base.img', 'top.qcow2'], { cwd: folder });
    await shows(folder, 'ours.img', 'base.img');
  });

  test.each(seeds(3))('is rebased onto a layer of its own, onto another, onto nothing (seed %i)', async (seed) => {
    const folder = tempDir();
    const random = new Random(seed);
    const [base] = await makeChain(folder, random, ['base.img', 'mid.qcow2', 'top.qcow2']);
    const [, other] = await makeChain(folder, random, ['deep.img', 'other.qcow2']);
    await qemuImg(['convert', '-O', 'raw', 'top.qcow2', 'want.raw'], { cwd: folder });
    copyFileSync(join(folder, 'top.qcow2'), join(folder, 'kept.qcow2'));
    const targets = [
      ['-b', base?.name ?? '', '-F', base?.format ?? ''],
      ['-b', other?.name ?? '', '-F', 'qcow2'],
      ['-c', '-b', other?.name ?? '', '-F', 'qcow2'],
      ['-b', ''],
    ];
    for (const target of targets) {
      copyFileSync(join(folder, 'kept.qcow2'), join(folder, 'top.qcow2'));
      await imgOutput(['rebase', ...target, 'top.qcow2'], { cwd: folder });
      await shows(folder, 'top.qcow2', 'want.raw');
    }
  });

  test('is not committed past a fault that is injected into writes of its base', async () => {
    const folder = tempDir();
    await imgOutput(['create', '-q', '-f', 'qcow2', 'base.qcow2', '1M'], { cwd: folder });
    const faults = [{ event: 'write_aio', errno: 28, once: true }];
    const image = { driver: 'file', filename: join(folder, 'base.qcow2') };
    const base = { driver: 'qcow2', file: { driver: 'blkdebug', 'inject-error': faults, image } };
    const named = `json:${JSON.stringify(base)}`;
    await imgOutput(['create', '-q', '-f', 'qcow2', '-b', named, '-F', 'qcow2', 'top.qcow2'], { cwd: folder });
    expect((await runPeer('qemu-io', ['-f', 'qcow2', '-c', 'write 0 64k', 'top.qcow2'], { cwd: folder })).code).toBe(0);
    expect(await img(['commit', 'top.qcow2'], { cwd: folder })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('No space left on device'),
    });
  });

  test('keeps zeroes as zero clusters when the new base has data there', async () => {
    const folder = tempDir();
    await qemuImg(['create', '-q', '-f', 'qcow2', 'top.qcow2', '256k'], { cwd: folder });
    await qemuImg(['create', '-q', '-f', 'qcow2', 'base.qcow2', '256k'], { cwd: folder });
    for (const [file, command] of [
      ['top.qcow2', 'write 0 64k'],
      ['base.qcow2', 'write -P 7 64k 64k'],
    ] as const) {
      expect((await runPeer('qemu-io', ['-f', 'qcow2', '-c', command, file], { cwd: folder })).code).toBe(0);
    }
    await imgOutput(['rebase', '-b', 'base.qcow2', '-F', 'qcow2', 'top.qcow2'], { cwd: folder });
    expect(JSON.parse(await qemuImg(['map', '--output=json', 'top.qcow2'], { cwd: folder }))).toMatchObject([
      { start: 0, length: 65536, depth: 0, data: true },
      { start: 65536, length: 65536, depth: 0, present: true, zero: true, data: false },
      { start: 131072, length: 131072, depth: 1, present: false },
    ]);
  });

  test.each(['cluster_size=4k', 'cluster_size=4k,lazy_refcounts=on', 'extended_l2=on', 'compat=0.10'])(
    'gives back the space of the image that was committed (%s)',
    async (options) => {
      const folder = tempDir();
      const at = { cwd: folder };
      await qemuImg(['create', '-q', '-f', 'qcow2', 'base.qcow2', '64M'], at);
      await qemuImg(['create', '-q', '-f', 'qcow2', '-o', options, '-b', 'base.qcow2', '-F', 'qcow2', 'top.qcow2'], at);
      const writes = ['write -P 3 0 10M', 'write -z 20M 4M', 'write -c -P 9 30M 1M', 'write -P 5 40M 10M'];
      for (const write of writes) {
        expect((await runPeer('qemu-io', ['-f', 'qcow2', '-c', write, 'top.qcow2'], at)).code).toBe(0);
      }
      await qemuImg(['convert', '-O', 'raw', 'top.qcow2', 'want.raw'], at);
      await imgOutput(['commit', '-q', 'top.qcow2'], at);
      await shows(folder, 'top.qcow2', 'want.raw');
      expect((await runPeer('qemu-img', ['check', '-q', 'top.qcow2'], at)).code).toBe(0);
      expect(statSync(join(folder, 'top.qcow2')).blocks * 512).toBeLessThan(1024 * KIB);
      // What is given out again afterwards is free indeed.
      expect((await runPeer('qemu-io', ['-f', 'qcow2', '-c', 'write -P 7 5M 30M', 'top.qcow2'], at)).code).toBe(0);
      expect((await runPeer('qemu-img', ['check', '-q', 'top.qcow2'], at)).code).toBe(0);
    },
  );

  test('is not rebased onto itself, onto nothing there, or without a format', async () => {
    const folder = tempDir();
    await makeChain(folder, new Random(1), ['base.img', 'top.qcow2']);
    await qemuImg(['create', '-q', '-f', 'qcow2', '-b', 'top.qcow2', '-F', 'qcow2', 'above.qcow2'], { cwd: folder });
    const refused = [
      [['-b', 'above.qcow2', '-F', 'qcow2'], /needs 'top.qcow2', so it cannot be its backing file|lock/],
      [['-b', 'missing.raw', '-F', 'raw'], /missing\.raw/],
      [['-b', 'base.img'], /format must be given/],
      [['-b', 'base.img', '-F', 'nonsense'], /unknown driver 'nonsense'/],
      [['-u', '-b', 'base.img', '-F', 'nonsense'], /unknown driver 'nonsense'/],
      [[], /a new backing file is needed/],
    ] as const;
    for (const [args, why] of refused) {
      const { code, stderr } = await img(['rebase', ...args, 'top.qcow2'], { cwd: folder });
      expect({ args, code, matches: why.test(stderr) }).toEqual({ args, code: 1, matches: true });
    }
  });

  test('has no backing file below a data file that is valid by itself', async () => {
    const at = { cwd: tempDir() };
    const options = 'data_file=top.data,data_file_raw=on';
    await imgOutput(['create', '-q', '-f', 'qcow2', '-o', options, 'top.qcow2', '1M'], at);
    await imgOutput(['create', '-q', '-f', 'raw', 'base.img', '1M'], at);
    for (const mode of [[], ['-u']]) {
      const { code, stderr } = await img(['rebase', ...mode, '-b', 'base.img', '-F', 'raw', 'top.qcow2'], at);
      expect({ mode, code }).toEqual({ mode, code: 1 });
      expect(stderr).toMatch(/'top\.qcow2'.* has a data file that is to stay valid by itself/);
    }
    expect((await runPeer('qemu-img', ['info', 'top.qcow2'], at)).stdout).not.toContain('backing file');
  });

  test('is given another name without a look at it', async () => {
    const folder = tempDir();
    await makeChain(folder, new Random(2), ['base.img', 'top.qcow2']);
    await imgOutput(['rebase', '-u', '-b', 'not/there.raw', '-F', 'raw', 'top.qcow2'], { cwd: folder });
    const info = JSON.parse(
      (await runPeer('qemu-img', ['info', '--output=json', 'top.qcow2'], { cwd: folder })).stdout,
    );
    expect(info).toMatchObject({ 'backing-filename': 'not/there.raw', 'backing-filename-format': 'raw' });
    await imgOutput(['rebase', '-u', 'top.qcow2'], { cwd: folder });
    const alone = await runPeer('qemu-img', ['info', 'top.qcow2'], { cwd: folder });
    expect(alone.stdout).not.toContain('backing');
  });
});
