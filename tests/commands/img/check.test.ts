import { closeSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { imgHere } from '../../support/img-here.ts';
import { peersFor, qemuImg, qemuIo, runPeer } from '../../support/peers.ts';
import { tempDir } from '../../support/temp.ts';

const CLUSTER = 65_536;

async function image(): Promise<string> {
  const path = join(tempDir(), 'a.qcow2');
  await qemuImg(['create', '-q', '-f', 'qcow2', path, '10M']);
  await qemuIo(path, ['write -P 1 0 256k'], ['-f', 'qcow2']);
  return path;
}

function overwrite(path: string, offset: number, bytes: Uint8Array): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, bytes, 0, bytes.length, offset);
  closeSync(fd);
}

/** Ours, whose exit status and report must be those of qemu-img. */
async function bothCheck(path: string): Promise<{ code: number; stdout: string; stderr: string }> {
  for (const flags of [['--output=json'], ['-q'], []]) {
    const args = ['check', ...flags, path];
    const [ours, theirs] = await Promise.all([imgHere(args), runPeer('qemu-img', args)]);
    expect({ flags, code: ours.code, stdout: ours.stdout }).toEqual({
      flags,
      code: theirs.code,
      stdout: theirs.stdout,
    });
  }
  return imgHere(['check', path]);
}

describe('img check', () => {
  test('refuses formats without a check with 63, also for repair', async () => {
    const raw = join(tempDir(), 'a.raw');
    writeFileSync(raw, 'x');
    expect(await imgHere(['check', '-f', 'raw', raw])).toEqual({
      code: 63,
      stdout: '',
      stderr: 'img: This image format does not support checks\n',
    });
    for (const what of ['leaks', 'all']) {
      expect(await imgHere(['check', '-f', 'raw', '-r', what, raw])).toMatchObject({ code: 63, stdout: '' });
    }
    expect((await imgHere(['check', '-r', 'some', raw])).stderr).toMatch(/^img: option '-r' expects leaks or all/);
    expect((await imgHere(['check', join(raw, 'none')])).code).toBe(1);
  });
});

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing)('img check, as qemu-img does', () => {
  test('a sound image', async () => {
    const { code, stdout, stderr } = await bothCheck(await image());
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('No errors were found on the image.\n4/160 = 2.50% allocated');
  });

  test('leaked clusters', async () => {
    const path = await image();
    // The L2 table is the fifth cluster; without its fourth entry nothing refers to the last data cluster.
    overwrite(path, 4 * CLUSTER + 3 * 8, Buffer.alloc(8));
    const { code, stdout, stderr } = await bothCheck(path);
    expect(code).toBe(3);
    expect(stdout).toContain('1 leaked clusters were found on the image.');
    expect(stderr).toMatch(/^Leaked cluster 8 /);
  });

  test('a cluster that is in use and counted as free', async () => {
    const path = await image();
    // The refcount block is the third cluster, with two bytes for each.
    overwrite(path, 2 * CLUSTER + 2 * 8, Buffer.from([0, 0]));
    const before = readFileSync(path);
    const { code, stdout, stderr } = await bothCheck(path);
    expect(code).toBe(2);
    expect(stdout).toContain('Data may be corrupted, or further writes to the image may corrupt it.');
    expect(stderr).not.toBe('');
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  test('what is named by an image is not opened', async () => {
    const folder = tempDir();
    const path = join(folder, 'a.qcow2');
    const data = join(folder, 'data.raw');
    await qemuImg(['create', '-q', '-f', 'qcow2', '-o', `data_file=${data}`, path, '1M']);
    await qemuImg(['rebase', '-u', '-b', '/nonexistent', '-F', 'raw', path]).catch(() => undefined);
    rmSync(data);
    expect((await imgHere(['check', path])).code).toBe(0);
    expect((await imgHere(['info', path])).code).toBe(0);
    expect((await imgHere(['map', path])).code).toBe(1);
  });
});
