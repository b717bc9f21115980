import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { imgHere, imgHereOutput } from '../../support/img-here.ts';
import { killedAt } from '../../support/killed.ts';
import { peersFor, qemuImg, qemuImgCheck, qemuImgSame, qemuIo, runPeer } from '../../support/peers.ts';
import { Random } from '../../support/random.ts';
import { tempDir } from '../../support/temp.ts';
import { holdOpen } from './hold-open.ts';

const ours = (args: readonly string[]) => imgHereOutput(args);
const theirs = (args: readonly string[]) => qemuImg(args);
type Tool = (args: readonly string[]) => Promise<string>;

async function clean(file: string): Promise<void> {
  expect(await qemuImgCheck(file)).toMatchObject({ code: 0 });
  expect(await imgHere(['check', '-q', file])).toMatchObject({ code: 0 });
}

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing)('img snapshot and qemu-img snapshot', () => {
  const kinds = [[], ['-o', 'compat=0.10'], ['-o', 'extended_l2=on'], ['-o', 'cluster_size=4k,refcount_bits=64']];
  const pairs = [
    ['ours makes, theirs goes on', ours, theirs],
    ['theirs makes, ours goes on', theirs, ours],
  ] as const;

  describe.each(pairs)('%s', (_, first: Tool, second: Tool) => {
    test.each(kinds)('%s %s', async (...options) => {
      const dir = tempDir();
      const file = join(dir, 'disk.qcow2');
      await qemuImg(['create', '-q', '-f', 'qcow2', ...options, file, '8M']);
      await qemuIo(file, ['write -P 1 0 3M', 'write -P 2 4M 1000k', 'write -z 1M 64k']);
      await qemuImg(['convert', '-O', 'raw', file, join(dir, 'one.raw')]);
      await first(['snapshot', '-c', 'one', file]);
      await clean(file);
      await qemuIo(file, ['write -P 3 512k 2M', 'discard 4M 512k']);
      await qemuImg(['convert', '-O', 'raw', file, join(dir, 'two.raw')]);
      await second(['snapshot', '-c', 'two', file]);
      await clean(file);
      await qemuIo(file, ['write -P 4 0 8M']);
      for (const name of ['one', 'two']) {
        const got = join(dir, `${name}.got`);
        await second(['convert', '-l', name, '-O', 'raw', file, got]);
        expect(await qemuImgSame(join(dir, `${name}.raw`), got)).toBe(true);
      }
      await second(['snapshot', '-a', '1', file]);
      await clean(file);
      expect(await qemuImgSame(join(dir, 'one.raw'), file)).toBe(true);
      await second(['snapshot', '-d', 'one', file]);
      await clean(file);
      expect(await qemuImgSame(join(dir, 'one.raw'), file)).toBe(true);
      await first(['snapshot', '-a', 'two', file]);
      await clean(file);
      expect(await qemuImgSame(join(dir, 'two.raw'), file)).toBe(true);
      await second(['snapshot', '-d', 'two', file]);
      await clean(file);
      expect(await qemuImgSame(join(dir, 'two.raw'), file)).toBe(true);
    });
  });

  test('the list is the same, whoever made the snapshots', async () => {
    const file = join(tempDir(), 'disk.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', file, '1M']);
    expect(await imgHere(['snapshot', '-l', file])).toEqual(await runPeer('qemu-img', ['snapshot', '-l', file]));
    await imgHereOutput(['snapshot', '-c', 'ours', file]);
    await qemuImg(['snapshot', '-c', 'theirs', file]);
    await imgHereOutput(['snapshot', '-c', 'a name longer than its column', file]);
    const list = await qemuImg(['snapshot', '-l', file]);
    expect(await imgHereOutput(['snapshot', '-l', file])).toBe(list);
    expect(await imgHereOutput(['snapshot', '-q', file])).toBe(list);
    expect(await imgHereOutput(['info', file])).toBe(await qemuImg(['info', file]));
    expect(await imgHereOutput(['info', '--output=json', file])).toBe(await qemuImg(['info', '--output=json', file]));
  });

  test('the size of the disk goes back too', async () => {
    const file = join(tempDir(), 'disk.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', file, '1M']);
    await imgHereOutput(['snapshot', '-c', 'small', file]);
    await imgHereOutput(['resize', '-q', file, '3G']);
    await imgHereOutput(['snapshot', '-c', 'large', file]);
    for (const [name, size] of [
      ['small', 1 << 20],
      ['large', 3 * 2 ** 30],
      ['small', 1 << 20],
    ] as const) {
      await imgHereOutput(['snapshot', '-a', name, file]);
      expect(JSON.parse(await qemuImg(['info', '--output=json', file]))['virtual-size']).toBe(size);
      await clean(file);
    }
  });

  test('machine state goes with a snapshot, and is no part of the disk afterwards', async () => {
    const file = join(tempDir(), 'disk.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', file, '1M']);
    await qemuIo(file, ['write -b -P 9 0 300k']);
    await imgHereOutput(['snapshot', '-c', 'running', file]);
    await qemuIo(file, ['read -b -P 0 0 300k']);
    await clean(file);
    await imgHereOutput(['snapshot', '-a', 'running', file]);
    await qemuIo(file, ['read -b -P 9 0 300k']);
    await imgHereOutput(['resize', '-q', file, '2G']);
    await clean(file);
    await qemuIo(file, ['read -P 0 1M 1G']);
  });

  test('refuses what qemu-img refuses', async () => {
    const dir = tempDir();
    const bits = join(dir, 'bits.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', '-o', 'refcount_bits=1', bits, '1M']);
    await qemuIo(bits, ['write -P 1 0 1M']);
    const external = join(dir, 'external.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', '-o', `data_file=${join(dir, 'data')}`, external, '1M']);
    const bitmaps = join(dir, 'bitmaps.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', bitmaps, '1M']);
    await qemuImg(['bitmap', '--add', bitmaps, 'b']);
    await imgHereOutput(['snapshot', '-c', 'one', bitmaps]);
    const cases = [
      [['-c', 'x', bits], /refcount of cluster \d+ is 1 and cannot be raised/],
      [['-c', 'x', external], /keeps its data in another file and cannot have snapshots/],
      [['-a', 'one', bitmaps], /has bitmaps/],
      [['-a', 'none', bitmaps], /there is no snapshot 'none'/],
      [['-d', 'none', bitmaps], /there is no snapshot 'none'/],
    ] as const;
    for (const [args, message] of cases) {
      const { code, stdout, stderr } = await imgHere(['snapshot', ...args]);
      expect({ code, stdout, lines: stderr.trimEnd().split('\n').length }).toEqual({ code: 1, stdout: '', lines: 1 });
      expect(stderr).toMatch(message);
    }
    await clean(bits);
    for (const [args] of cases) expect((await runPeer('qemu-img', ['snapshot', ...args])).code).toBe(1);
    expect(await imgHere(['snapshot', '-d', 'one', bitmaps])).toMatchObject({ code: 0 });
    await clean(bitmaps);
  });

  test('an image in use is left alone, and listed with -U', async () => {
    const file = join(tempDir(), 'disk.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', file, '1M']);
    await qemuImg(['snapshot', '-c', 'one', file]);
    await holdOpen(file);
    for (const args of [['-l'], ['-c', 'x'], ['-a', 'one'], ['-d', 'one']]) {
      const { code, stderr } = await imgHere(['snapshot', ...args, file]);
      expect({ args, code }).toEqual({ args, code: (await runPeer('qemu-img', ['snapshot', ...args, file])).code });
      expect(stderr).toMatch(/lock/);
    }
    expect(await imgHereOutput(['snapshot', '-U', '-l', file])).toContain('one');
  });
});

describe('img snapshot', () => {
  async function disk(dir: string): Promise<string> {
    const file = join(dir, 'disk.qcow2');
    await imgHereOutput(['create', '-q', '-f', 'qcow2', file, '1M']);
    return file;
  }

  test('tells what each snapshot alone holds, which is what removing it frees', async () => {
    const dir = tempDir();
    const file = await disk(dir);
    const source = join(dir, 'source.raw');
    writeFileSync(source, new Random(1).bytes(1 << 20));
    await imgHereOutput(['convert', '-n', '-O', 'qcow2', source, file]);
    await imgHereOutput(['snapshot', '-c', 'one', file]);
    await imgHereOutput(['snapshot', '-c', 'two', file]);
    const sizes = async () =>
      (JSON.parse(await imgHereOutput(['snapshot', '--output=json', file])) as { 'exclusive-size': number }[]).map(
        (each) => each['exclusive-size'],
      );
    // Its L1 table only: all else is shared.
    expect(await sizes()).toEqual([65536, 65536]);
    writeFileSync(source, new Random(2).bytes(1 << 20));
    await imgHereOutput(['convert', '-n', '-O', 'qcow2', source, file]);
    expect(await sizes()).toEqual([65536, 65536]);
    await imgHereOutput(['snapshot', '-d', 'one', file]);
    // Now all of its 16 clusters, an L2 table, an L1 table.
    expect(await sizes()).toEqual([18 * 65536]);
    const table = (await imgHereOutput(['snapshot', '-l', '--sizes', file])).split('\n');
    expect(table[1]).toMatch(/ICOUNT {7}ALONE$/);
    expect(table[2]).toMatch(/1\.12 MiB$|1\.13 MiB$/);
    expect(await imgHereOutput(['snapshot', '-l', file])).not.toContain('ALONE');
  });

  test('finds by id or name, -a the id first and -d the name first', async () => {
    const file = await disk(tempDir());
    for (const name of ['2', 'x']) await imgHereOutput(['snapshot', '-c', name, file]);
    await imgHereOutput(['snapshot', '-a', '2', file]);
    await imgHereOutput(['snapshot', '-d', '2', file]);
    expect(await imgHereOutput(['snapshot', '-l', file])).toMatch(/\n2 +x /);
    await imgHereOutput(['snapshot', '-d', '2', file]);
    expect(await imgHereOutput(['snapshot', '-l', file])).toBe('');
    expect(await imgHereOutput(['snapshot', '--output=json', file])).toBe('[\n]\n');
  });

  test.each([
    [['-l', '-c', 'x'], /cannot be used together/],
    [['-a', 'x', '-d', 'x'], /cannot be used together/],
    [['-U', '-d', 'x'], /cannot be used together/],
    [['-d', 'x', '-d', 'y'], /'-d' can be given only once/],
    [['-c', 'x', '-c', 'y'], /'-c' can be given only once/],
    [['-c', 'x', '--sizes'], /go with a list/],
    [['-c', 'x'.repeat(65536)], /has 65536 bytes, the limit is 65535/],
    [['-c', 'x', '-f', 'raw'], /format 'raw' has none/],
  ])('refuses %j', async (args, message) => {
    const file = await disk(tempDir());
    const before = readFileSync(file);
    const { code, stdout, stderr } = await imgHere(['snapshot', ...args, file]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(message);
    expect(readFileSync(file).equals(before)).toBe(true);
  });

  test.each([
    ['one', true],
    ['1', true],
    ['snapshot.id=1', true],
    ['snapshot.id=1,snapshot.name=one', true],
    ['snapshot.id=1,snapshot.name=two', false],
    ['snapshot.nothing=1', false],
    ['none', false],
  ])('convert and measure with -l %s', async (word, works) => {
    const dir = tempDir();
    const file = await disk(dir);
    await imgHereOutput(['snapshot', '-c', 'one', file]);
    const target = join(dir, 'out.raw');
    const copied = await imgHere(['convert', '-l', word, '-O', 'raw', file, target]);
    const measured = await imgHere(['measure', '-l', word, '-O', 'qcow2', file]);
    expect([copied.code, measured.code]).toEqual(works ? [0, 0] : [1, 1]);
    expect(existsSync(target)).toBe(works);
    if (!works) expect(copied.stderr.trimEnd().split('\n')).toHaveLength(1);
  });

  test.skipIf(peersFor('strace').missing)(
    'killed at random moments, the disk and its snapshots stay as they were',
    async () => {
      const dir = tempDir();
      const file = await disk(dir);
      const source = join(dir, 'source.raw');
      const content = new Random(3).bytes(1 << 20);
      writeFileSync(source, content);
      await imgHereOutput(['convert', '-n', '-O', 'qcow2', source, file]);
      await imgHereOutput(['snapshot', '-c', 'keep', file]);
      const random = new Random(4);
      for (let round = 0; round < 12; round++) {
        const args = random.pick([
          ['-c', `s${round}`],
          ['-a', 'keep'],
        ]);
        await killedAt(random.between(1, 10), ['img', 'snapshot', ...args, file]);
        const target = join(dir, 'out.raw');
        for (const from of [['-l', 'keep'], []]) {
          await imgHereOutput(['convert', ...from, '-O', 'raw', file, target]);
          expect(readFileSync(target).equals(content), `round ${round}`).toBe(true);
        }
      }
      // Opening it for writing mends what the kills left.
      await imgHereOutput(['snapshot', '-c', 'last', file]);
      expect([0, 3]).toContain((await imgHere(['check', file])).code);
    },
  );

  test('tells that a snapshot is gone when its space cannot be given back', async () => {
    const dir = tempDir();
    const [file, config] = [join(dir, 'disk.qcow2'), join(dir, 'errors.conf')];
    await qemuImg(['create', '-q', '-f', 'qcow2', file, '8M']);
    await qemuIo(file, ['write -P 1 0 64k']);
    await imgHereOutput(['snapshot', '-c', 'gone', file]);
    writeFileSync(config, '[inject-error]\nevent = "cluster_free"\nerrno = "5"\n');
    const { code, stderr } = await imgHere(['snapshot', '-d', 'gone', `blkdebug:${config}:${file}`]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^img: Could not delete snapshot 'gone': it is gone, but .*: Input\/output error \(.*\)\n$/);
    expect(await imgHereOutput(['snapshot', '-l', file])).toBe('');
    expect((await imgHere(['check', '-q', file])).code).toBe(3);
    expect((await imgHere(['check', '-q', '-r', 'leaks', file])).code).toBe(0);
    await clean(file);
  });
});
