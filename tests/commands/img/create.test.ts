import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { img } from '../../support/cli.ts';
import { imgHere } from '../../support/img-here.ts';
import { peersFor, qemuImg, qemuImgCheck, qemuImgJson, runPeer } from '../../support/peers.ts';
import { tempDir } from '../../support/temp.ts';
import { holdOpen } from './hold-open.ts';

describe('img create', () => {
  test('refuses what cannot be made, in a line that names it', async () => {
    const folder = tempDir();
    const path = join(folder, 'a.qcow2');
    const base = join(folder, 'base.raw');
    writeFileSync(base, Buffer.alloc(4096));
    const qcow2 = ['create', '-f', 'qcow2'];
    const overlay = join(folder, 'overlay.qcow2');
    await imgHere([...qcow2, '-b', base, '-F', 'raw', overlay]);
    const cases: [string[], RegExp][] = [
      [['create'], /argument FILE is missing/],
      [[...qcow2, path], /the size of '.*a\.qcow2' is not given/],
      [[...qcow2, '-o', 'size=1M', path, '1M'], /the size is given twice/],
      [[...qcow2, path, '1x'], /image size expects a number of bytes .*, not '1x'/],
      [[...qcow2, path, '9E'], /image size '9E' is out of range/],
      [[...qcow2, path, '9P'], /option 'size' .* must be 0 to 9007199254740991 bytes, not '10133099161583616'/],
      [
        [...qcow2, '-o', 'size=many', path],
        /'size' .*, not 'many'\nOptional suffix k, M, G, T, P or E means .*\n.*\.\n$/,
      ],
      [[...qcow2, path, '1M', 'more'], /unexpected argument 'more'/],
      [[...qcow2, '-o', 'colour=red', path, '1M'], /has no option 'colour'/],
      [[...qcow2, '-o', ',x', path, '1M'], /invalid option list: ,x/],
      [[...qcow2, '-b', base, path], /needs its format to be given[^\n]*It looks like raw: give -F raw/],
      [[...qcow2, '-b', path, '-F', 'qcow2', path], /cannot be its own backing file/],
      [[...qcow2, '-b', overlay, '-F', 'qcow2', base], /base\.raw' cannot be made on top of '.*', which needs it/],
      [[...qcow2, '-b', '', '-F', 'qcow2', path], /name of the backing file is empty/],
      [
        [...qcow2, '-b', 'none', '-F', 'raw', path, '1M'],
        /Could not open .*none': No such file or directory\nCould not open backing image\.\n$/,
      ],
      [[...qcow2, '-u', '-b', 'none', path, '1M'], /format of backing file 'none' is not given/],
      [[...qcow2, '-u', '-b', 'none', '-F', 'raw', path], /the size of '.*' is not given/],
      [['create', '-b', base, '-F', 'raw', path], /format 'raw' has no backing files/],
      [['create', '-f', 'null-co', path, '1M'], /driver 'null-co' cannot create images/],
      [['create', '-f', 'nonsense', path, '1M'], /unknown driver 'nonsense'/],
      [['create', 'json:{"driver":"file","filename":"a"}', '1M'], /cannot be made: options of an image are no name/],
      [[...qcow2, '-u', '-b', 'none', '-F', 'bogus', path, '1M'], /unknown driver .bogus./],
      [[...qcow2, '-o', 'extended_l2=ON', path, '1M'], /expects .on. or .off., not .ON./],
      [['create', join(folder, 'no/such'), '1M'], /Could not (open|create) '.*no\/such': No such file or directory/],
    ];
    for (const [args, pattern] of cases) {
      const { code, stdout, stderr } = await imgHere(args);
      expect({ args, code }).toEqual({ args, code: 1 });
      expect(stdout === '' || stdout.startsWith('Formatting')).toBe(true);
      expect(stderr).toMatch(pattern);
      expect(stderr).toMatch(/^img: /);
      expect(existsSync(path)).toBe(false);
    }
  });

  test('a size that the format cannot have', async () => {
    const path = join(tempDir(), 'a.qcow2');
    const { code, stderr } = await imgHere(['create', '-f', 'qcow2', '-o', 'cluster_size=512', path, '1P']);
    expect(code).toBe(1);
    expect(stderr).toBe(
      `img: Could not create '${path}': the image size is too large for format 'qcow2' (Try a larger cluster size)\n`,
    );
    expect(existsSync(path)).toBe(false);
  });

  test('a size beyond all that is addressed is shown before it is refused', async () => {
    const path = join(tempDir(), 'a.qcow2');
    const { code, stdout } = await imgHere(['create', '-f', 'qcow2', path, '1E']);
    expect([code, stdout]).toEqual([1, expect.stringContaining(' size=1152921504606846976 ')]);
    expect(existsSync(path)).toBe(false);
  });

  test.each(['falloc', 'full'])('preallocation=%s takes the space of the whole file', async (mode) => {
    const path = join(tempDir(), 'a.qcow2');
    await imgHere(['create', '-f', 'qcow2', '-o', `preallocation=${mode}`, path, '3M']);
    const { blocks, size } = statSync(path);
    expect(blocks * 512).toBeGreaterThanOrEqual(size);
  });

  test('help shows what the protocol carries out only where the protocol is known', async () => {
    const help = async (...file: string[]) => (await imgHere(['create', '-f', 'raw', '-o', 'help', ...file])).stdout;
    expect(await help()).not.toContain('preallocation');
    expect(await help(join(tempDir(), 'a.raw'))).toContain('  preallocation=<str>    - Preallocation mode');
  });

  test('by the program, with and without -q', async () => {
    const path = join(tempDir(), 'a b.raw');
    expect(await img(['create', path, '1000'])).toMatchObject({
      code: 0,
      stdout: `Formatting '${path}', fmt=raw size=1000\n`,
      stderr: '',
    });
    expect(statSync(path).size).toBe(1024);
    expect(await img(['create', '-q', '-f', 'raw', path, '2k'])).toMatchObject({ code: 0, stdout: '', stderr: '' });
    expect(readFileSync(path).equals(Buffer.alloc(2048))).toBe(true);
  });

  test('-o help lists the options of the format, and with a file name those of the file too', async () => {
    const alone = await imgHere(['create', '-f', 'qcow2', '-o', 'help']);
    expect(alone).toMatchObject({ code: 0, stderr: '' });
    expect(alone.stdout).toMatch(/^Supported qcow2 options:\n {2}backing_file=<str> {5}- File name/);
    expect(alone.stdout).toContain('  refcount_bits=<num>    - ');
    expect(alone.stdout).toContain('Specify the target filename to include those options.\n');
    const both = await imgHere(['create', '-f', 'qcow2', '-o', 'cluster_size=4k,?', 'x']);
    expect(both.stdout).toMatch(/^Supported options:\n/);
    expect(both.stdout).toContain('  nocow=<bool (on/off)>  - ');
    expect(existsSync('x')).toBe(false);
  });
});

/** What to make, after `create`; NAME and BASE stand for paths. */
const MADE: readonly string[] = [
  'NAME 1000',
  'NAME 1.5M',
  '-o size=1M NAME',
  '-o preallocation=full,nocow=on NAME 1M',
  '-o nocow=off,preallocation=falloc NAME 1M',
  '-f qcow2 NAME 1M',
  '-f qcow2 NAME 0x10000',
  '-f qcow2 -o cluster_size=4k,compat=0.10,preallocation=metadata NAME 1M',
  '-f qcow2 -o compat=v3,lazy_refcounts=true,refcount_bits=1 NAME 1M',
  '-f qcow2 -o extended_l2=on -o cluster_size=128k,compression_type=zstd NAME 4M',
  '-f qcow2 -o preallocation=off,encryption=off NAME 1M',
  '-f qcow2 -o data_file=DATA,data_file_raw=on NAME 1M',
  '-f qcow2 -b BASE -F raw NAME',
  '-f qcow2 -b BASE -F raw NAME 9M',
  '-f qcow2 -o backing_file=BASE,backing_fmt=raw NAME',
  '-f qcow2 -u -b none,with,commas -F raw NAME 1M',
];

describe.skipIf(peersFor('qemu-img').missing)('img create, as qemu-img does', () => {
  test.each(MADE)('%s', async (words) => {
    const folder = tempDir();
    const path = join(folder, 'made');
    const base = join(folder, 'base');
    writeFileSync(base, Buffer.alloc(1024 * 1024));
    const args = words
      .split(' ')
      .map((word) => word.replace('NAME', path).replace('BASE', base).replace('DATA', join(folder, 'data')));
    const theirs = await runPeer('qemu-img', ['create', ...args]);
    const wanted = await describeImage(path);
    const { code, stdout } = await imgHere(['create', ...args]);
    expect({ code, stdout }).toEqual({ code: theirs.code, stdout: theirs.stdout });
    expect(await describeImage(path)).toEqual(wanted);
  });

  test.each([
    '-f luks -o iter-time=0,preallocation=off,hash-alg=sha1,ivgen-alg=plain,cipher-alg=aes-128,key-secret=s NAME 1M',
    '-f qcow2 -o encrypt.iter-time=1,encrypt.hash-alg=sha512,encrypt.key-secret=s,encrypt.format=luks NAME 1M',
  ])('%s', async (words) => {
    const path = join(tempDir(), 'made');
    const args = ['create', '--object', 'secret,id=s,data=x', ...words.split(' ').map((w) => w.replace('NAME', path))];
    const theirs = await runPeer('qemu-img', args);
    expect(await imgHere(args)).toEqual({ code: 0, stdout: theirs.stdout, stderr: '' });
  });

  /** What qemu-img says of it, but for how much room it takes. */
  async function describeImage(path: string): Promise<unknown> {
    const info = await qemuImgJson<Record<string, unknown>>(['info', path]);
    const { 'actual-size': _, ...rest } = info;
    if (info.format === 'qcow2' && !String(info['backing-filename']).startsWith('none')) {
      expect((await qemuImgCheck(path)).code).toBe(0);
    }
    return rest;
  }

  test('an image in use is not destroyed', async () => {
    const folder = tempDir();
    const path = join(folder, 'a.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', path, '1M']);
    await holdOpen(path);
    const before = readFileSync(path);
    const { code, stderr } = await imgHere(['create', '-f', 'qcow2', path, '2M']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/Failed to get .* lock\nIs another process using the image/);
    expect(readFileSync(path).equals(before)).toBe(true);
  });
});
