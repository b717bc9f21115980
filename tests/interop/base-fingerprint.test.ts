/** What an overlay records of its base: told when it has changed, kept by QEMU, renewed by commit and rebase. */
import { statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { img, imgOutput, runProgram } from '../support/cli.ts';
import { peersFor, qemuImg, qemuIo } from '../support/peers.ts';
import { tempDir } from '../support/temp.ts';

const CHANGED = /^img: warning: the backing file 'base\.qcow2' of '.*top\.qcow2' has changed since[^\n]*\n$/;

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
    // Neither who tries things out on layers nor who asks where data lies is told.
    expect(await runProgram('io', ['-c', 'read 0 64k', top])).toMatchObject({ code: 0, stderr: '' });
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
    expect(said).toContain('it was written to');
    expect(strict).toBe(REFUSED);
  });
});
