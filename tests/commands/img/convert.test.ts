import { execFile, spawn } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { img as imgProcess } from '../../support/cli.ts';
import { imgHere, imgHereOutput } from '../../support/img-here.ts';
import { findPeer, peersFor, qemuImg, qemuImgJson, qemuImgSame, qemuIo } from '../../support/peers.ts';
import { tempDir } from '../../support/temp.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

/** A raw disk of 8 MiB: data, a hole, written zeroes, small pieces, an odd end. */
function makeRaw(file: string, seed = 1, size = 8 * MiB + 1536): Buffer {
  const disk = Buffer.alloc(size);
  for (let at = 0; at < MiB; at++) disk[at] = ((at * 7 + seed) % 251) + 1;
  for (let at = 5 * MiB; at < 6 * MiB; at += 12 * KiB) disk.fill(seed + 40, at, at + 4 * KiB);
  disk.fill(seed + 3, size - 700);
  const fd = fs.openSync(file, 'w');
  fs.ftruncateSync(fd, size);
  fs.writeSync(fd, disk, 0, 2 * MiB, 0);
  fs.writeSync(fd, disk, 5 * MiB, size - 5 * MiB, 5 * MiB);
  fs.closeSync(fd);
  return disk;
}

const allocated = (file: string): number => fs.statSync(file).blocks * 512;

describe('img convert', () => {
  test('copies raw to raw, holes and zeroes staying or becoming holes', async () => {
    const dir = tempDir();
    const disk = makeRaw(join(dir, 'a.raw'));
    await imgHereOutput(['convert', '-f', 'raw', '-O', 'raw', join(dir, 'a.raw'), join(dir, 'b.raw')]);
    expect(Buffer.compare(fs.readFileSync(join(dir, 'b.raw')), disk)).toBe(0);
    expect(allocated(join(dir, 'b.raw'))).toBeLessThan(1.6 * MiB);
    await imgHereOutput(['convert', '-S', '0', '-f', 'raw', join(dir, 'a.raw'), join(dir, 'c.raw')]);
    expect(Buffer.compare(fs.readFileSync(join(dir, 'c.raw')), disk)).toBe(0);
    expect(allocated(join(dir, 'c.raw'))).toBeGreaterThanOrEqual(8 * MiB);
  });

  test.each([
    [['-W', '-m', '16']],
    [['-m', '1']],
    [['-C']],
    [['--salvage']],
    [['-t', 'writethrough', '-T', 'none']],
    [['-r', '200M', '-q']],
    [['-r', '0']],
    [['--cache-manners=off']],
    [['-S', '64k']],
  ])('copies the same with %j', async (flags) => {
    const dir = tempDir();
    const disk = makeRaw(join(dir, 'a.raw'), 5);
    await imgHereOutput(['convert', ...flags, '-f', 'raw', join(dir, 'a.raw'), join(dir, 'b.raw')]);
    expect(Buffer.compare(fs.readFileSync(join(dir, 'b.raw')), disk)).toBe(0);
  });

  test('puts several sources behind one another', async () => {
    const dir = tempDir();
    const first = makeRaw(join(dir, 'a.raw'), 1);
    const second = makeRaw(join(dir, 'b.raw'), 9);
    const out = join(dir, 'c.raw');
    await imgHereOutput(['convert', '-f', 'raw', join(dir, 'a.raw'), join(dir, 'b.raw'), out]);
    expect(Buffer.compare(fs.readFileSync(out), Buffer.concat([first, second]))).toBe(0);
  });

  test('overwrites an existing target with -n, also where it is longer', async () => {
    const dir = tempDir();
    const disk = makeRaw(join(dir, 'a.raw'));
    const out = join(dir, 'b.raw');
    fs.writeFileSync(out, Buffer.alloc(9 * MiB, 0xaa));
    await imgHereOutput(['convert', '-n', '-f', 'raw', join(dir, 'a.raw'), out]);
    const result = fs.readFileSync(out);
    expect(result.length).toBe(9 * MiB);
    expect(Buffer.compare(result.subarray(0, disk.length), disk)).toBe(0);
    expect(result.subarray(disk.length).every((byte) => byte === 0xaa)).toBe(true);
    fs.writeFileSync(out, Buffer.alloc(MiB));
    const { code, stderr } = await imgHere(['convert', '-n', '-f', 'raw', join(dir, 'a.raw'), out]);
    expect([code, stderr]).toEqual([
      1,
      `img: the target '${out}' has ${MiB} bytes, too few for the ${disk.length} of the source\n`,
    ]);
    await imgHereOutput([
      'convert',
      '-n',
      '--target-image-opts',
      '-f',
      'raw',
      join(dir, 'a.raw'),
      `driver=raw,file.filename=${makeTarget(dir)}`,
    ]);
  });

  test.each(['qcow2', 'raw'])('leaves what a longer %s target holds behind the source', async (format) => {
    const dir = tempDir();
    const disk = makeRaw(join(dir, 'a.raw'));
    const long = Buffer.alloc(10 * MiB, 0xbb);
    fs.writeFileSync(join(dir, 'long.raw'), long);
    const out = join(dir, `out.${format}`);
    await imgHereOutput(['convert', '-f', 'raw', '-O', format, join(dir, 'long.raw'), out]);
    await imgHereOutput(['convert', '-n', '-f', 'raw', '-O', format, join(dir, 'a.raw'), out]);
    await imgHereOutput(['convert', '-f', format, '-O', 'raw', out, join(dir, 'back.raw')]);
    disk.copy(long);
    expect(Buffer.compare(fs.readFileSync(join(dir, 'back.raw')), long)).toBe(0);
  });

  test('reads sources described by options', async () => {
    const dir = tempDir();
    const disk = makeRaw(join(dir, 'a.raw'));
    const spec = `driver=raw,offset=1M,size=4M,file.driver=file,file.filename=${join(dir, 'a.raw')}`;
    await imgHereOutput(['convert', '--image-opts', spec, join(dir, 'b.raw')]);
    expect(Buffer.compare(fs.readFileSync(join(dir, 'b.raw')), disk.subarray(MiB, 5 * MiB))).toBe(0);
  });

  test('shows progress as scripts know it, and as JSON lines', async () => {
    const dir = tempDir();
    makeRaw(join(dir, 'a.raw'));
    const plain = await imgHere(['convert', '-p', '-f', 'raw', join(dir, 'a.raw'), join(dir, 'b.raw')]);
    expect(plain.stdout).toMatch(/^ {4}\(0\.00\/100%\)\r.*\(100\.00\/100%\)\r\n$/s);
    const quiet = await imgHere(['convert', '-p', '-q', '-f', 'raw', join(dir, 'a.raw'), join(dir, 'b.raw')]);
    expect(quiet.stdout).toBe('');
    const json = await imgHere(['convert', '--progress=json', '-f', 'raw', join(dir, 'a.raw'), join(dir, 'b.raw')]);
    const lines = json.stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    // Holes are not copied, and do not count.
    const total = 5 * MiB + 1536;
    expect(lines.at(-1)).toMatchObject({ phase: 'convert', done: total, total, timeLeft: 0 });
  });

  test('stops when asked to, leaving no lock behind', async () => {
    const dir = tempDir();
    makeRaw(join(dir, 'a.raw'));
    const controller = new AbortController();
    const running = imgHere(
      ['convert', '-r', '100k', '-f', 'raw', join(dir, 'a.raw'), join(dir, 'b.raw')],
      controller.signal,
    );
    await copying(join(dir, 'b.raw'));
    controller.abort();
    expect(await running).toMatchObject({ code: 1, stderr: '' });
    await imgHereOutput(['convert', '-f', 'raw', join(dir, 'a.raw'), join(dir, 'b.raw')]);
  });

  test('ends with 130 on Ctrl-C', async () => {
    const dir = tempDir();
    makeRaw(join(dir, 'a.raw'));
    const controller = new AbortController();
    const args = ['convert', '-r', '100k', '-f', 'raw', join(dir, 'a.raw'), join(dir, 'b.raw')];
    const running = imgProcess(args, { interrupt: controller.signal });
    await copying(join(dir, 'b.raw'));
    controller.abort();
    expect(await running).toMatchObject({ code: 130, stderr: '' });
  });
});

/** There is something in the target, and at 100 KB a second there is more to come. */
async function copying(target: string): Promise<void> {
  await expect.poll(() => fs.statSync(target, { throwIfNoEntry: false })?.blocks ?? 0).toBeGreaterThan(0);
}

function makeTarget(dir: string): string {
  const file = join(dir, 'target.raw');
  fs.writeFileSync(file, Buffer.alloc(9 * MiB));
  return file;
}

describe('img convert refuses', () => {
  test('a target that is a file of the source, by whatever name, with and without locks', async () => {
    const dir = tempDir();
    const [base, top, link] = ['base.raw', 'top.qcow2', 'link'].map((name) => join(dir, name)) as [
      string,
      string,
      string,
    ];
    const disk = makeRaw(base);
    await imgHereOutput(['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'raw', top]);
    fs.linkSync(base, link);
    for (const flags of [[], ['-U'], ['-U', '-n'], ['-U', '-O', 'qcow2']]) {
      for (const target of [base, link]) {
        const { code, stderr } = await imgHere(['convert', ...flags, top, target]);
        expect([code, stderr]).toEqual([
          1,
          expect.stringMatching(/is a file of the source|Failed to get "write" lock/),
        ]);
      }
    }
    expect(Buffer.compare(fs.readFileSync(base), disk)).toBe(0);
  });

  test.each([
    [['-c', '-C'], /options '-c' and '-C' cannot be used together/],
    [['-S', '4k', '-C'], /options '-S' and '-C' cannot be used together/],
    [['-C', '--salvage'], /options '-C' and '--salvage' cannot be used together/],
    [['-S', '1000'], /multiple of 512/],
    [['-S', '17M'], /at most 16M/],
    [['-m', '0'], /from 1 to 16/],
    [['-m', '17'], /from 1 to 16/],
    [['-r', '-1'], /'-1' is out of range/],
    [['-t', 'bogus'], /not a cache mode/],
    [['-n', '-o', 'size=1M'], /cannot be used together/],
    [['--target-is-zero'], /needs -n/],
    [['--target-image-opts'], /needs -n/],
    [['-n', '-O', 'raw', '--target-image-opts'], /options '-O' and '--target-image-opts' cannot be used together/],
    [['-n', '--target-is-zero', '-B', 'x', '-F', 'raw'], /cannot be used together/],
    [['-l', 'snap'], /cannot have snapshots: the format 'raw' has none/],
    [['--bitmaps'], /format 'raw' of '[^']*' /],
    [['--skip-broken-bitmaps'], /needs --bitmaps/],
    [
      ['-c', '-O', 'qcow2', '-o', 'encrypt.format=luks,encrypt.key-secret=s'],
      /encryption and compression cannot be used together/,
    ],
    [['-F', 'raw'], /needs a backing file/],
    [['-c'], /format 'raw' cannot store compressed data/],
    [['-O', 'nonsense'], /unknown driver 'nonsense'/],
    [['-o', 'bogus=1'], /has no option 'bogus'/],
    [['-o', 'size=1M'], /has 1048576 bytes, too few/],
    [['-O', 'qcow2', '-o', 'backing_file=x'], /Could not open '.*x': No such file or directory\n/],
    [['-O', 'qcow2', '-c', '-o', 'preallocation=full'], /compression cannot be used together/],
    [['-U', '--object', 'bogus,id=a'], /no object type 'bogus'/],
  ])('%j', async (flags, message) => {
    const dir = tempDir();
    makeRaw(join(dir, 'a.raw'));
    const { code, stderr } = await imgHere(['convert', ...flags, '-f', 'raw', join(dir, 'a.raw'), join(dir, 'b.raw')]);
    expect(stderr).toMatch(message);
    expect(stderr.split('\n').filter((line) => line.startsWith('img: ')).length).toBe(1);
    expect(code).toBe(1);
    expect(fs.existsSync(join(dir, 'b.raw'))).toBe(false);
  });

  test('a missing source, a missing target, and itself as target', async () => {
    const dir = tempDir();
    const disk = makeRaw(join(dir, 'a.raw'));
    expect(await imgHere(['convert', join(dir, 'no'), join(dir, 'b.raw')])).toMatchObject({ code: 1 });
    expect((await imgHere(['convert', join(dir, 'a.raw')])).stderr).toMatch(/a SOURCE and a TARGET are needed/);
    expect(await imgHere(['convert', '-f', 'raw', join(dir, 'a.raw'), join(dir, 'a.raw')])).toMatchObject({ code: 1 });
    expect(Buffer.compare(fs.readFileSync(join(dir, 'a.raw')), disk)).toBe(0);
  });

  test('a full disk: one line, and the source is untouched', async () => {
    const dir = tempDir();
    const disk = makeRaw(join(dir, 'a.raw'));
    // A limit on the size of files stands in for a full filesystem.
    const full = `ulimit -f 2048; trap '' XFSZ; exec "${process.execPath}" bin/img convert -f raw "${join(dir, 'a.raw')}" "${join(dir, 'b.raw')}" -S 0`;
    const { code, stderr } = await new Promise<{ code: unknown; stderr: string }>((resolve) => {
      execFile('/bin/sh', ['-c', full], (error, _stdout, text) => resolve({ code: error?.code ?? 0, stderr: text }));
    });
    expect(code).toBe(1);
    expect(stderr.trim().split('\n').length).toBe(1);
    expect(stderr).toMatch(/^img: /);
    expect(Buffer.compare(fs.readFileSync(join(dir, 'a.raw')), disk)).toBe(0);
  });
});

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing)('img convert and qemu-img', () => {
  test.each([
    [[]],
    [['-o', 'cluster_size=4k']],
    [['-o', 'cluster_size=2M,extended_l2=on']],
    [['-c']],
    [['-c', '-o', 'compression_type=zstd']],
    [['-o', 'preallocation=metadata']],
    [['-S', '0']],
    [['-W', '-m', '16', '-o', 'lazy_refcounts=on']],
  ])('agree on qcow2 made with %j, and back', async (flags) => {
    const dir = tempDir();
    const disk = makeRaw(join(dir, 'a.raw'));
    const [raw, image, back] = ['a.raw', 'b.qcow2', 'c.raw'].map((name) => join(dir, name));
    await imgHereOutput(['convert', ...flags, '-f', 'raw', '-O', 'qcow2', raw ?? '', image ?? '']);
    expect(await qemuImgSame(raw ?? '', image ?? '')).toBe(true);
    await qemuImg(['check', image ?? '']);
    await imgHereOutput(['convert', image ?? '', back ?? '']);
    expect(Buffer.compare(fs.readFileSync(back ?? ''), disk)).toBe(0);
  });

  test('make an overlay with -B that holds only what the base does not', async () => {
    const dir = tempDir();
    const [base, top, out] = ['base.qcow2', 'top.qcow2', 'out.qcow2'].map((name) => join(dir, name)) as [
      string,
      string,
      string,
    ];
    await qemuImg(['create', '-f', 'qcow2', base, '6M']);
    await qemuIo(base, ['write -P 1 0 2M', 'write -P 2 4M 1M']);
    await qemuImg(['create', '-f', 'qcow2', '-b', base, '-F', 'qcow2', top, '8M']);
    await qemuIo(top, ['write -P 3 1M 64k', 'write -z 4M 128k', 'write -P 4 7M 4k']);
    await imgHereOutput(['convert', '-O', 'qcow2', '-B', base, '-F', 'qcow2', top, out]);
    expect(await qemuImgSame(top, out)).toBe(true);
    const map = await qemuImgJson<{ start: number; length: number; depth: number; data: boolean }[]>(['map', out]);
    const own = map.filter((range) => range.depth === 0 && range.data);
    expect(own.map(({ start, length }) => [start, length])).toEqual([
      [MiB, 64 * KiB],
      [7 * MiB, 64 * KiB],
    ]);
    await imgHereOutput(['convert', '-n', '-O', 'qcow2', '-B', base, '-F', 'qcow2', top, out]);
    expect(await qemuImgSame(top, out)).toBe(true);
    const noFormat = await imgHere(['convert', '-O', 'qcow2', '-B', base, top, join(dir, 'x')]);
    expect(noFormat).toMatchObject({ code: 1 });
    expect(noFormat.stderr).toMatch(/needs its format[^\n]*-F qcow2/);
  });

  test.each(['compat=1.1', 'compat=0.10', 'compat=1.1 on a base', 'compat=0.10 on a base'])(
    'have zeroes be the own ones of an existing image with %s',
    async (kind) => {
      const dir = tempDir();
      const [source, base] = [join(dir, 'source'), join(dir, 'base')];
      await qemuImg(['create', '-q', '-f', 'qcow2', source, '4M']);
      await qemuIo(source, ['write -P 7 1M 64k']);
      await qemuImg(['create', '-q', '-f', 'qcow2', base, '4M']);
      const maps: unknown[] = [];
      for (const convert of [imgHereOutput, qemuImg]) {
        const target = join(dir, `target-${maps.length}`);
        const below = kind.endsWith('base') ? ['-b', base, '-F', 'qcow2'] : [];
        await qemuImg(['create', '-q', '-f', 'qcow2', '-o', kind.split(' ')[0] ?? '', ...below, target, '4M']);
        await convert(['convert', '-n', '-O', 'qcow2', source, target]);
        expect(await qemuImgSame(source, target)).toBe(true);
        const map = await qemuImgJson<readonly Record<string, unknown>[]>(['map', target]);
        maps.push(map.map(({ offset: _where, ...rest }) => rest));
      }
      expect(maps[0]).toEqual(maps[1]);
    },
  );

  test('compress the cluster in which one source ends and the next begins', async () => {
    const dir = tempDir();
    makeRaw(join(dir, 'a.raw'), 1, 8 * MiB - KiB);
    makeRaw(join(dir, 'b.raw'), 2);
    const maps: unknown[] = [];
    for (const convert of [imgHereOutput, qemuImg]) {
      const target = join(dir, `target-${maps.length}`);
      await convert(['convert', '-c', '-f', 'raw', '-O', 'qcow2', join(dir, 'a.raw'), join(dir, 'b.raw'), target]);
      maps.push(await qemuImgJson(['map', target]));
    }
    expect(maps[0]).toEqual(maps[1]);
    expect(await qemuImgSame(join(dir, 'target-0'), join(dir, 'target-1'))).toBe(true);
  });

  test('show the same help for creation options', async () => {
    const dir = tempDir();
    const ours = await imgHereOutput(['convert', '-O', 'raw', '-o', 'help', join(dir, 'a'), join(dir, 'b')]);
    const theirs = await qemuImg(['convert', '-O', 'raw', '-o', 'help', join(dir, 'a'), join(dir, 'b')]);
    const names = (text: string): string[] => [...text.matchAll(/^ {2}([a-z_]+)=/gm)].map((match) => match[1] ?? '');
    expect(names(ours)).toEqual(names(theirs));
    expect(await imgHereOutput(['convert', '-O', 'qcow2', '-o', 'help'])).toMatch(/^Supported qcow2 options:/);
  });

  test("keep out of one another's way", async () => {
    const dir = tempDir();
    const [image, out] = [join(dir, 'a.qcow2'), join(dir, 'b.raw')];
    await qemuImg(['create', '-f', 'qcow2', image, '1M']);
    const holder = spawn(findPeer('qemu-io') ?? '', ['-f', 'qcow2', image], { stdio: ['pipe', 'pipe', 'ignore'] });
    try {
      holder.stdin.write('write 0 4k\n');
      await new Promise((resolve) => holder.stdout.once('data', resolve));
      const read = await imgHere(['convert', image, out]);
      expect(read.code).toBe(1);
      expect(read.stderr).toMatch(/lock/);
      expect(fs.existsSync(out)).toBe(false);
      expect(await imgHere(['convert', '-U', image, out])).toMatchObject({ code: 0 });
      expect(await imgHere(['convert', '-f', 'raw', '-O', 'qcow2', out, image])).toMatchObject({ code: 1 });
    } finally {
      holder.stdin.end('quit\n');
      await new Promise((resolve) => holder.once('exit', resolve));
    }
    expect((await qemuImg(['check', image])).length).toBeGreaterThan(0);
  });
});
