import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { img } from '../../support/cli.ts';
import { imgHere, imgHereOutput } from '../../support/img-here.ts';
import { peersFor, qemuImg, runPeer } from '../../support/peers.ts';
import { tempDir } from '../../support/temp.ts';
import { holdOpen } from './hold-open.ts';

async function bothInfo(args: readonly string[]): Promise<void> {
  const [ours, theirs] = await Promise.all([imgHere(['info', ...args]), runPeer('qemu-img', ['info', ...args])]);
  expect({ code: ours.code, stdout: ours.stdout }).toEqual({ code: theirs.code, stdout: theirs.stdout });
}

describe('img info', () => {
  test('of what does not exist, is a folder, is of another format, or is asked for wrongly', async () => {
    const folder = tempDir();
    const raw = join(folder, 'a.raw');
    writeFileSync(raw, 'nothing special');
    const cases: [string[], RegExp][] = [
      [['info', join(folder, 'none')], /^img: Could not open '.*none': No such file or directory\n$/],
      [['info', folder], /^img: Could not open '.*': Is a directory\n$/],
      [['info', '-f', 'qcow2', raw], /^img: .*a\.raw.*\n$/],
      [['info', '-f', 'nonsense', raw], /^img: Could not open '.*a\.raw': unknown driver 'nonsense'\n$/],
      [['info', '--image-opts', 'a-node'], /^img: .*'a-node'.*\n$/],
      [['info', '-f', 'raw', '--image-opts', 'x'], /^img: options '-f' and '--image-opts' cannot be used together\n/],
      [['info', '--output=xml', raw], /^img: option '--output' expects human or json, not 'xml'\n/],
      [['info'], /^img: argument FILE is missing\n/],
      [['info', raw, raw], /^img: unexpected argument/],
      [['info', '--object', 'nonsense,id=s', raw], /^img: [^\n]*there is no object type 'nonsense'/],
      [['info', '--object', 'cheese,id=s', raw], /^img: there is no object type 'cheese'\n/],
      [['info', '--refs=some', raw], /^img: option '--refs' expects none or same-dir or all, not 'some'\n/],
      [['info', 'gopher://x/y'], /^img: .*gopher.*\n$/],
      [['info', ''], /^img: .*empty.*\n$/],
    ];
    for (const [args, pattern] of cases) {
      const { code, stdout, stderr } = await imgHere(args);
      expect({ args, code, stdout }).toEqual({ args, code: 1, stdout: '' });
      expect(stderr).toMatch(pattern);
    }
  });

  test('reports errors under the name it is called by', async () => {
    const { code, stderr } = await img(['info', '/nonexistent/x'], { calledAs: 'qemu-img' });
    expect(code).toBe(1);
    expect(stderr).toBe("qemu-img: Could not open '/nonexistent/x': No such file or directory\n");
  });

  test('of a null disk, a window of a file, and nested options', async () => {
    const raw = join(tempDir(), 'a.raw');
    writeFileSync(raw, 'x');
    truncateSync(raw, 4096);
    expect(await imgHereOutput(['info', '--image-opts', 'driver=null-co,size=1M'])).toContain('virtual size: 1 MiB');
    const window = await imgHereOutput(['info', '--image-opts', `driver=raw,offset=512,file.filename=${raw}`]);
    expect(window).toContain('virtual size: 3.5 KiB (3584 bytes)');
    const named = await imgHereOutput(['info', `json:{"driver":"raw","size":512,"file.filename":"${raw}"}`]);
    expect(named.split('\n')[0]).toBe(
      `image: json:{"driver": "raw", "size": 512, "file": {"driver": "file", "filename": "${raw}"}}`,
    );
  });
});

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing)('img info of chains', () => {
  async function chain(folder: string): Promise<{ base: string; middle: string; top: string }> {
    const [base, middle, top] = ['base.qcow2', 'sub/middle.qcow2', 'top.qcow2'].map((name) => join(folder, name));
    if (base === undefined || middle === undefined || top === undefined) throw new Error('three names');
    mkdirSync(join(folder, 'sub'));
    await qemuImg(['create', '-q', '-f', 'qcow2', base, '1M']);
    await qemuImg(['create', '-q', '-f', 'qcow2', '-b', '../base.qcow2', '-F', 'qcow2', middle]);
    await qemuImg(['create', '-q', '-f', 'qcow2', '-b', 'sub/middle.qcow2', '-F', 'qcow2', top]);
    return { base, middle, top };
  }

  test('--backing-chain shows each image, as qemu-img does', async () => {
    const { top, base } = await chain(tempDir());
    await bothInfo(['--backing-chain', top]);
    await bothInfo(['--backing-chain', '--output=json', top]);
    await bothInfo(['--backing-chain', '--output=json', base]);
    await bothInfo(['--backing-chain', '--image-opts', `driver=qcow2,file.filename=${top}`]);
  });

  test('--refs decides how far the chain is followed', async () => {
    const { top, middle } = await chain(tempDir());
    const refused = await imgHere(['info', '--backing-chain', '--refs=none', top]);
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toBe(
      `img: '${top}' asks for backing file 'sub/middle.qcow2', which --refs=none does not allow ` +
        '(Use --refs=all if you trust the image)\n',
    );
    // From top everything lies below its folder; from the middle the base does not.
    const outside = await imgHere(['info', '--backing-chain', '--refs=same-dir', middle]);
    expect(outside.code).toBe(1);
    expect(outside.stderr).toContain("asks for backing file '../base.qcow2', which --refs=same-dir does not allow");
    expect((await imgHere(['info', '--refs=none', top])).code).toBe(0);
  });

  test('a loop is an error in bounded time', async () => {
    const folder = tempDir();
    const [a, b] = [join(folder, 'a.qcow2'), join(folder, 'b.qcow2')];
    await qemuImg(['create', '-q', '-f', 'qcow2', a, '1M']);
    await qemuImg(['create', '-q', '-f', 'qcow2', '-b', a, '-F', 'qcow2', b]);
    await qemuImg(['rebase', '-u', '-b', './b.qcow2', '-F', 'qcow2', a]);
    const { code, stdout, stderr } = await imgHere(['info', '--backing-chain', a]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^img: Backing file '.*a\.qcow2' creates an infinite loop\n$/);
  });

  test('what a header asks for is shown, never opened', async () => {
    const folder = tempDir();
    const names = [
      '/dev/zero',
      'nbd://127.0.0.1:1/x',
      'http://169.254.169.254/latest',
      'json:{"driver":"nbd","server.type":"inet","server.host":"127.0.0.1","server.port":"1"}',
      '../../../etc/shadow',
      'hostile.qcow2',
      'x'.repeat(1000),
    ];
    for (const name of names) {
      const image = join(folder, 'hostile.qcow2');
      await qemuImg(['create', '-q', '-f', 'qcow2', image, '1M']);
      await qemuImg(['rebase', '-u', '-b', name, '-F', 'raw', image]);
      await bothInfo([image]);
      await bothInfo(['--output=json', image]);
      for (const command of ['info', 'check']) expect((await imgHere([command, image])).code).toBe(0);
      for (const args of [['info', '--backing-chain'], ['map']]) {
        const { code, stdout, stderr } = await imgHere([...args, '--refs=none', image]);
        expect({ name, code, stdout }).toEqual({ name, code: 1, stdout: '' });
        expect(stderr).toContain(`asks for backing file '${name}', which --refs=none does not allow`);
      }
      if (!name.startsWith('hostile')) {
        expect((await imgHere(['map', '--refs=same-dir', image])).stderr).toContain('--refs=same-dir does not allow');
      }
    }
  });

  test('a control character in a name does not reach the terminal', async () => {
    const image = join(tempDir(), 'a.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', image, '1M']);
    await qemuImg(['rebase', '-u', '-b', 'x\u001b[31m\nfile format: raw', '-F', 'raw', image]);
    const text = await imgHereOutput(['info', image]);
    expect(text).toContain('backing file: x\\x1b[31m\\x0afile format: raw');
    expect(text.split('\n').filter((line) => line.startsWith('file format:'))).toEqual(['file format: qcow2']);
  });

  test('an image that is being written to is refused, and shown with -U', async () => {
    const image = join(tempDir(), 'a.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', image, '1M']);
    const holder = await holdOpen(image);
    for (const command of ['info', 'map', 'check', 'compare']) {
      const files = command === 'compare' ? [image, image] : [image];
      const refused = await imgHere([command, ...files]);
      expect({ command, code: refused.code, stdout: refused.stdout }).toEqual({
        command,
        code: command === 'compare' ? 2 : 1,
        stdout: '',
      });
      expect(refused.stderr).toMatch(
        /^img: Could not open '.*': Failed to get shared "write" lock\nIs another process/,
      );
      expect((await imgHere([command, '-U', ...files])).code).toBe(0);
    }
    holder.kill('SIGKILL');
  });
});
