/** `img amend` of qcow2, beside qemu-img on a copy of the same image. */
import { createHash } from 'node:crypto';
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { imgHere, imgHereOutput } from '../../support/img-here.ts';
import { peersFor, qemuImg, qemuImgCheck, qemuImgJson, qemuIo, runPeer } from '../../support/peers.ts';
import { tempDirForSuite } from '../../support/temp.ts';

interface Info {
  readonly 'virtual-size': number;
  readonly 'backing-filename'?: string;
  readonly 'format-specific': { readonly data: Readonly<Record<string, unknown>> };
}

async function infoOf(path: string): Promise<Omit<Info, 'filename'>> {
  const info = await qemuImgJson<Info>(['info', path]);
  return { 'virtual-size': info['virtual-size'], 'format-specific': { data: info['format-specific'].data } };
}

async function digest(path: string, snapshot?: string): Promise<string> {
  const raw = `${path}.raw`;
  await qemuImg(['convert', ...(snapshot === undefined ? [] : ['-l', snapshot]), '-O', 'raw', path, raw]);
  return createHash('sha1').update(readFileSync(raw)).digest('hex');
}

/**
 * What an image is made with, and then, one after the other, what is changed. Counts get another
 * width with small clusters only, for which qemu-img does not take minutes.
 */
const sequences: readonly (readonly [string, ...string[]])[] = [
  ['compat=0.10', 'compat=1.1', 'lazy_refcounts=on', 'lazy_refcounts=off', 'compat=0.10'],
  ['compat=0.10', 'compat=1.1,lazy_refcounts=on', 'compat=0.10'],
  ['compat=v3,cluster_size=4k', 'compat=v2', 'compat=v3,refcount_bits=64', 'compat=v2,refcount_bits=16'],
  ['cluster_size=4k', 'refcount_bits=64', 'refcount_bits=8', 'refcount_bits=1', 'refcount_bits=32', 'refcount_bits=16'],
  ['cluster_size=4k,refcount_bits=1', 'refcount_bits=2,lazy_refcounts=on', 'refcount_bits=4,size=20M'],
  ['cluster_size=512', 'size=30M', 'size=12M,compat=0.10'],
  ['cluster_size=2M', 'lazy_refcounts=on,size=40M'],
];

/** What is refused, of an image of 10 MiB with counts of 16 bits, version 3; the reason in our own words. */
const refused: readonly (readonly [string, RegExp])[] = [
  ['compat=0.10,lazy_refcounts=on', /lazy refcounts need compatibility level 1\.1/],
  ['compat=0.10,refcount_bits=8', /refcount_bits=8 needs compatibility level 1\.1/],
  ['compat=0.9', /compat/],
  ['refcount_bits=3', /refcount_bits/],
  ['refcount_bits=128', /refcount_bits/],
  ['refcount_bits=0', /refcount_bits/],
  ['backing_file=other', /backing file .* cannot be amended\nYou can use 'img rebase' instead/],
  ['backing_fmt=raw', /backing file .* cannot be amended/],
  ['data_file=data.raw', /has no external data file/],
  ['data_file_raw=on', /data_file_raw cannot be set/],
  ['cluster_size=4k', /'cluster_size' .* cannot be amended/],
  ['preallocation=full', /'preallocation' .* cannot be amended/],
  ['compression_type=zstd', /'compression_type' .* cannot be amended/],
  ['extended_l2=on', /'extended_l2' .* cannot be amended/],
  ['encrypt.state=inactive,encrypt.keyslot=0', /not encrypted/],
  ['nonsense=1', /nonsense/],
];

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing)('img amend of qcow2', () => {
  const folder = tempDirForSuite();
  const ours = join(folder, 'ours.qcow2');
  const theirs = join(folder, 'theirs.qcow2');

  test.each(sequences)('made with %s, amended with %s, %s', async (options, ...changes) => {
    await qemuImg(['create', '-q', '-f', 'qcow2', '-o', options, ours, '10M']);
    await qemuIo(ours, ['write -P 1 0 300k', 'write -P 2 5M 70k', 'write -z 8M 64k']);
    copyFileSync(ours, theirs);
    const content = await digest(ours);
    for (const change of changes) {
      await qemuImg(['amend', '-o', change, theirs]);
      expect(await imgHere(['amend', '-o', change, ours])).toEqual({ code: 0, stdout: '', stderr: '' });
      expect(await infoOf(ours), change).toEqual(await infoOf(theirs));
      expect(await qemuImgCheck(ours), change).toMatchObject({ code: 0 });
      if (!changes.some((each) => each.includes('size='))) expect(await digest(ours), change).toBe(content);
    }
  });

  describe('refuses', () => {
    beforeAll(async () => {
      await qemuImg(['create', '-q', '-f', 'qcow2', ours, '10M']);
    });

    test.each(refused)('%s, as qemu-img does', async (options, message) => {
      const before = readFileSync(ours);
      expect((await runPeer('qemu-img', ['amend', '-o', options, ours])).code).toBe(1);
      expect(readFileSync(ours).equals(before)).toBe(true);
      const { code, stderr } = await imgHere(['amend', '-o', options, ours]);
      expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(message) });
      expect(readFileSync(ours).equals(before)).toBe(true);
    });

    test('counts too narrow for the references there are, before anything is changed', async () => {
      const path = join(folder, 'shared.qcow2');
      await qemuImg(['create', '-q', '-f', 'qcow2', '-o', 'compat=0.10', path, '10M']);
      await qemuIo(path, ['write -P 1 0 64k']);
      for (const name of ['one', 'two', 'three']) await qemuImg(['snapshot', '-c', name, path]);
      const before = readFileSync(path);
      const { code, stderr } = await imgHere(['amend', '-o', 'compat=1.1,lazy_refcounts=on,refcount_bits=2', path]);
      expect(code).toBe(1);
      expect(stderr).toMatch(/cannot be given 2 bits: cluster \d+ has more references than the 2 bits/);
      expect(readFileSync(path).equals(before)).toBe(true);
      await imgHereOutput(['amend', '-o', 'compat=1.1,refcount_bits=4', path]);
      expect(await qemuImgCheck(path)).toMatchObject({ code: 0 });
    });

    test.each([
      ['bitmaps', 'cluster_size=64k', /has bitmaps/],
      ['subclusters', 'extended_l2=on', /it uses 'extended L2 entries'/],
      ['another compression', 'compression_type=zstd', /it uses '/],
    ])('version 2 for an image with %s', async (what, options, message) => {
      const path = join(folder, 'version.qcow2');
      await qemuImg(['create', '-q', '-f', 'qcow2', '-o', options, path, '10M']);
      if (what === 'bitmaps') await qemuImg(['bitmap', '--add', path, 'dirty']);
      const before = readFileSync(path);
      const { code, stderr } = await imgHere(['amend', '-o', 'compat=0.10', path]);
      expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(message) });
      expect(readFileSync(path).equals(before)).toBe(true);
    });

    test('version 2 for snapshots of disks of another length', async () => {
      const path = join(folder, 'lengths.qcow2');
      await qemuImg(['create', '-q', '-f', 'qcow2', path, '10M']);
      await qemuImg(['snapshot', '-c', 'one', path]);
      await qemuImg(['resize', '-q', path, '20M']);
      expect((await runPeer('qemu-img', ['amend', '-o', 'compat=0.10', path])).code).toBe(1);
      expect((await imgHere(['amend', '-o', 'compat=0.10', path])).stderr).toMatch(
        /snapshot '1' \(one\) is of a disk of 10485760 bytes/,
      );
      await imgHereOutput(['amend', '-o', 'compat=0.10,size=10M', path]);
      expect(await qemuImgCheck(path)).toMatchObject({ code: 0 });
    });
  });

  test('takes the names of the backing file that are there already', async () => {
    const base = join(folder, 'base.raw');
    await qemuImg(['create', '-q', '-f', 'raw', base, '10M']);
    await qemuImg(['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'raw', ours]);
    const options = `backing_file=${base},backing_fmt=raw,lazy_refcounts=on`;
    expect(await imgHere(['amend', '-o', options, ours])).toEqual({ code: 0, stdout: '', stderr: '' });
    expect((await infoOf(ours))['format-specific'].data).toMatchObject({ 'lazy-refcounts': true });
  });

  test('changes the name of the data file, and takes back that it is raw', async () => {
    const data = join(folder, 'data.raw');
    const other = join(folder, 'other.raw');
    await qemuImg(['create', '-q', '-f', 'qcow2', '-o', `data_file=${data},data_file_raw=on`, ours, '1M']);
    await qemuIo(ours, ['write -P 7 0 64k']);
    copyFileSync(data, other);
    copyFileSync(ours, theirs);
    for (const options of [`data_file=${other}`, 'data_file_raw=off']) {
      await qemuImg(['amend', '-o', options, theirs]);
      expect(await imgHere(['amend', '-o', options, ours])).toEqual({ code: 0, stdout: '', stderr: '' });
      expect(await infoOf(ours)).toEqual(await infoOf(theirs));
    }
    expect((await infoOf(ours))['format-specific'].data).toMatchObject({ 'data-file': other, 'data-file-raw': false });
    expect(await qemuImgCheck(ours)).toMatchObject({ code: 0 });
    await qemuIo(ours, ['read -P 7 0 64k']);
  });

  describe.each([
    ['without a backing file', false],
    ['over a backing file', true],
  ])('zero clusters in snapshots, %s', (_name, backed) => {
    test.each(['cluster_size=64k', 'cluster_size=512', 'cluster_size=4k,refcount_bits=64'])('%s', async (options) => {
      const base = join(folder, 'under.raw');
      await qemuImg(['create', '-q', '-f', 'raw', base, '3M']);
      await qemuIo(base, ['write -P 9 0 3M'], ['-f', 'raw']);
      const under = backed ? ['-b', base, '-F', 'raw'] : [];
      await qemuImg(['create', '-q', '-f', 'qcow2', '-o', options, ...under, ours, '4M']);
      await qemuIo(ours, ['write -P 1 0 1M', 'write -z 512k 256k', 'write -z 2M 512k']);
      await qemuImg(['snapshot', '-c', 'one', ours]);
      // Zeroes where the snapshot has data, so that both have the same host clusters; and the other way round.
      await qemuIo(ours, ['write -z 0 128k', 'write -P 3 2M 64k', 'write -z -u 640k 128k']);
      await qemuImg(['snapshot', '-c', 'two', ours]);
      await qemuIo(ours, ['write -P 4 64k 64k', 'write -z 3584k 512k']);
      const content = async () => [await digest(ours), await digest(ours, 'one'), await digest(ours, 'two')];
      const before = await content();
      expect(await imgHere(['amend', '-o', 'compat=0.10', ours])).toEqual({ code: 0, stdout: '', stderr: '' });
      expect(await qemuImgCheck(ours)).toMatchObject({ code: 0 });
      expect(await imgHere(['check', '-q', ours])).toEqual({ code: 0, stdout: '', stderr: '' });
      expect((await infoOf(ours))['format-specific'].data).toMatchObject({ compat: '0.10', 'refcount-bits': 16 });
      expect(await content()).toEqual(before);
      for (const name of ['one', 'two']) {
        await qemuImg(['snapshot', '-a', name, ours]);
        expect(await digest(ours)).toBe(before[name === 'one' ? 1 : 2]);
      }
      expect(await qemuImgCheck(ours)).toMatchObject({ code: 0 });
    });
  });
});
