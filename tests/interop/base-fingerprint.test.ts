/** What an overlay records of its base: told when it has changed, kept by QEMU, renewed by commit and rebase. */
import { statSync, utimesSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { img, imgOutput, programPath, runProgram } from '../support/cli.ts';
import { startNbd } from '../support/nbd-program.ts';
import { peersFor, qemuImg, qemuIo } from '../support/peers.ts';
import { StorageDaemon } from '../support/storage-daemon.ts';
import { tempDir } from '../support/temp.ts';
import { start } from '../support/tracked-child.ts';

const CHANGED =
  /^(img|io): warning: the backing file 'base\.qcow2' of '.*top\.qcow2' (has|may have) changed since[^\n]*\n$/;

interface Pair {
  readonly base: string;
  readonly top: string;
  /** What reading the overlay says on stderr, and its status with --strict-base. */
  look(): Promise<{ said: string; strict: number | undefined }>;
}

async function makePair(): Promise<Pair> {
  const folder = tempDir();
  const [base, top] = [join(folder, 'base.qcow2'), join(folder, 'top.qcow2')];
  await qemuImg(['create', '-q', '-f', 'qcow2', base, '8M']);
  await imgOutput(['create', '-q', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', top]);
  return {
    base,
    top,
    async look() {
      const { stderr, code } = await img(['checksum', top]);
      expect(code).toBe(0);
      return { said: stderr, strict: (await img(['checksum', '--strict-base', top])).code };
    },
  };
}

/** The status of img checksum for an image that cannot be opened. */
const REFUSED = 2;
const SILENT = { said: '', strict: 0 };

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing)('a base that is written to', () => {
  test('is no matter to an overlay without content, and is told of by one that has some', async () => {
    const { base, top, look } = await makePair();
    expect(await look()).toEqual(SILENT);
    await qemuIo(base, ['write 0 1M']);
    expect(await look()).toEqual(SILENT);
    // The first write of ours takes the base as it is now.
    expect((await runProgram('io', ['-c', 'write 1M 64k', top])).code).toBe(0);
    expect(await look()).toEqual(SILENT);
    await qemuIo(base, ['write 0 1M']);
    const { said, strict } = await look();
    expect(said).toMatch(CHANGED);
    expect(strict).toBe(REFUSED);
    const read = ['-c', 'read -P 0 2M 64k', top];
    // Neither who tries things out on layers nor who asks where data lies is told of what need not be a change.
    expect(await runProgram('io', read)).toMatchObject({ code: 0, stderr: '' });
    const refused = await runProgram('io', ['--strict-base', ...read]);
    expect(refused).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^io: .* may have changed since/),
    });
    expect(await img(['map', top])).toMatchObject({ code: 0, stderr: '' });
    expect((await img(['map', '--strict-base', top])).code).toBe(1);
  });

  test('is no matter to an overlay that holds the whole disk', async () => {
    const { base, top, look } = await makePair();
    await qemuIo(top, ['write -P 2 0 5M', 'write -z 5M 3008k']);
    await qemuIo(base, ['write 0 1M']);
    const { said, strict } = await look();
    expect(said).toMatch(CHANGED);
    expect(strict).toBe(REFUSED);
    await qemuIo(top, ['write -P 3 7M 1M']);
    expect(await look()).toEqual(SILENT);
  });

  test('is recorded anew by rebase and commit, and QEMU keeps the record', async () => {
    const { base, top, look } = await makePair();
    await qemuIo(top, ['write -P 3 2M 64k']);
    await qemuIo(base, ['write 4M 1M']);
    expect((await look()).strict).toBe(REFUSED);
    await imgOutput(['rebase', '-u', '-b', 'base.qcow2', '-F', 'qcow2', top]);
    expect(await look()).toEqual(SILENT);
    await qemuImg(['amend', '-o', 'lazy_refcounts=on', top]);
    await qemuImg(['rebase', '-u', '-b', 'base.qcow2', '-F', 'qcow2', top]);
    await qemuIo(base, ['write 5M 64k']);
    expect((await look()).strict).toBe(REFUSED);
    await imgOutput(['commit', '-q', '-d', top]);
    expect(await look()).toEqual(SILENT);
    expect(await qemuImg(['check', top])).toContain('No errors');
    expect(await qemuImg(['check', base])).toContain('No errors');
  });

  test('is recorded by convert in an overlay that is there already', async () => {
    const { base, top, look } = await makePair();
    await qemuIo(top, ['write -P 3 2M 64k']);
    await qemuIo(base, ['write 4M 1M']);
    expect((await look()).strict).toBe(REFUSED);
    const copied = ['convert', '-n', '-f', 'qcow2', '-O', 'qcow2', '-B', 'base.qcow2', '-F', 'qcow2'];
    await qemuImg(['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', `${top}.source`]);
    await qemuIo(`${top}.source`, ['write -P 5 3M 64k']);
    await imgOutput([...copied, `${top}.source`, top]);
    expect(await look()).toEqual(SILENT);
    await qemuIo(base, ['write 5M 64k']);
    expect((await look()).strict).toBe(REFUSED);
  });

  test('is told by its generation when length and time are what they were', async () => {
    const { base, top, look } = await makePair();
    await qemuIo(top, ['write 0 1M']);
    await imgOutput(['commit', '-q', '-d', top]);
    const before = statSync(base);
    expect((await runProgram('io', ['-c', 'write -P 7 0 64k', base])).code).toBe(0);
    expect(statSync(base).size).toBe(before.size);
    await imgOutput(['rebase', '-u', '-b', 'base.qcow2', '-F', 'qcow2', top]);
    const second = new Date(1_700_000_000_000);
    utimesSync(base, second, second);
    await imgOutput(['rebase', '-u', '-b', 'base.qcow2', '-F', 'qcow2', top]);
    expect(await look()).toEqual(SILENT);
    expect((await runProgram('io', ['-c', 'write -P 8 0 64k', base])).code).toBe(0);
    utimesSync(base, second, second);
    const { said, strict } = await look();
    expect(said).toContain('has changed since the image was made on it: it was written to');
    expect(strict).toBe(REFUSED);
    const told = { code: 0, stderr: expect.stringMatching(CHANGED) };
    expect(await runProgram('io', ['-c', 'read 0 64k', top])).toMatchObject(told);
    expect(await img(['map', top])).toMatchObject(told);
  });

  test('is recorded by a commit that is broken off, too', async () => {
    const { base, top, look } = await makePair();
    await qemuIo(top, ['write -P 3 0 4M']);
    await imgOutput(['rebase', '-u', '-b', 'base.qcow2', '-F', 'qcow2', top]);
    const before = statSync(base).mtimeMs;
    const running = start(programPath('img'), ['commit', '-d', '-r', '512k', top]);
    await expect.poll(() => statSync(base).mtimeMs).not.toBe(before);
    await running.end('SIGINT');
    expect(await look()).toEqual(SILENT);
  });

  test('is told by a server, and by a storage daemon for each overlay that is opened', async () => {
    const { base, top } = await makePair();
    await qemuIo(top, ['write -P 3 2M 64k']);
    await qemuIo(base, ['write 4M 1M']);
    const server = await startNbd(['-r', '-t', '-f', 'qcow2', top]);
    expect(server.output()).toMatch(
      /^nbd: warning: the backing file 'base\.qcow2' of '.*' may have changed since .*\n$/,
    );
    const telling = await startNbd(['-r', '-t', '--log=json', '-f', 'qcow2', top]);
    const [first = ''] = telling.output().split('\n');
    expect(JSON.parse(first)).toMatchObject({ event: 'warning', message: expect.stringContaining('may have changed') });
    const refused = await runProgram('nbd', ['--strict-base', '-r', '-f', 'qcow2', '-k', `${top}.sock`, top]);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('may have changed') });

    const overlay = { driver: 'qcow2', 'node-name': 'top', 'read-only': true, file: { driver: 'file', filename: top } };
    const daemon = await StorageDaemon.start(dirname(top));
    await daemon.run('blockdev-add', overlay);
    expect(daemon.running.output()).toMatch(/^nbd: warning: the backing file .* may have changed since .*\n$/);
    const strict = await StorageDaemon.start(dirname(top), ['--strict-base']);
    await expect(strict.run('blockdev-add', overlay)).rejects.toThrow(/may have changed since/);
  });

  test.each(['lazy_refcounts=off', 'lazy_refcounts=on'])(
    'is as the snapshot of a running image leaves it, with %s',
    async (options) => {
      const folder = tempDir();
      const [base, top] = [join(folder, 'base.qcow2'), join(folder, 'top.qcow2')];
      await imgOutput(['create', '-q', '-f', 'qcow2', '-o', options, base, '8M']);
      await imgOutput(['bitmap', '--add', base, 'b']);
      const daemon = await StorageDaemon.start(folder);
      await daemon.run('blockdev-add', {
        driver: 'qcow2',
        'node-name': 'disk',
        file: { driver: 'file', filename: base },
      });
      // Made while the base is still written to, as those are that know where they will stand.
      await imgOutput(['create', '-q', '-u', '-f', 'qcow2', '-b', base, '-F', 'qcow2', top, '8M']);
      await daemon.run('block-export-add', { type: 'nbd', id: 'e', 'node-name': 'disk', writable: true });
      const write = (pattern: number): Promise<unknown> =>
        qemuIo(daemon.uri('disk'), [`write -P ${pattern} 1M 64k`], ['-f', 'raw']);
      await write(1);
      const file = { driver: 'file', filename: top };
      await daemon.run('blockdev-add', { driver: 'qcow2', 'node-name': 'top', file, backing: null });
      await daemon.run('blockdev-snapshot', { node: 'disk', overlay: 'top' });
      await write(2);
      await daemon.run('quit');
      await daemon.running.ended();
      expect(await img(['checksum', '--strict-base', top])).toMatchObject({ code: 0, stderr: '' });
      await qemuIo(base, ['write -P 9 3M 64k']);
      expect((await img(['checksum', '--strict-base', top])).code).toBe(REFUSED);
    },
  );
});
