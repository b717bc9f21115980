/** `img bitmap` and `convert --bitmaps`, alone and together with QEMU's programs. */

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openDisk } from '../../support/disk.ts';
import { imgHere, imgHereOutput } from '../../support/img-here.ts';
import { isListening } from '../../support/listening.ts';
import { findPeer, peerOutput, peersFor, qemuImg, qemuImgCheck, qemuIo } from '../../support/peers.ts';
import { tempDir } from '../../support/temp.ts';

const GRAIN = 65536;

interface Listed {
  readonly name: string;
  readonly granularity: number;
  readonly flags: readonly string[];
}

async function newImage(name = 'disk.qcow2'): Promise<string> {
  const file = join(tempDir(), name);
  await imgHereOutput(['create', '-q', '-f', 'qcow2', file, '16M']);
  return file;
}

async function listed(file: string): Promise<readonly Listed[]> {
  const info = JSON.parse(await imgHereOutput(['info', '--output=json', file]));
  return info['format-specific'].data.bitmaps ?? [];
}

/** Offsets, in granules, of what is dirty. */
async function dirty(file: string, name: string): Promise<number[]> {
  const disk = await openDisk({ driver: 'qcow2', file: { driver: 'file', filename: file } });
  const found: number[] = [];
  for (let at = 0; at < disk.size; at += GRAIN)
    if (disk.image.io.bitmaps.get(name).bits.isDirty(at)) found.push(at / GRAIN);
  await disk.close();
  return found;
}

async function write(file: string, granule: number): Promise<void> {
  const disk = await openDisk({ driver: 'qcow2', file: { driver: 'file', filename: file } }, { writable: true });
  await disk.write(granule * GRAIN, Buffer.alloc(512, 1));
  await disk.close();
}

describe('img bitmap', () => {
  test('carries out its actions in order, and stops at the first that fails', async () => {
    const file = await newImage();
    await imgHereOutput(['bitmap', '--add', '--disable', '-g', '1M', file, 'a']);
    await imgHereOutput(['bitmap', file, 'b', '--add']);
    expect(await listed(file)).toEqual([
      { flags: [], name: 'a', granularity: 2 ** 20 },
      { flags: ['auto'], name: 'b', granularity: GRAIN },
    ]);
    await write(file, 3);
    await imgHereOutput(['bitmap', '--merge', 'b', '--enable', file, 'a']);
    expect(await dirty(file, 'a')).toEqual([...Array(16).keys()]);
    await imgHereOutput(['bitmap', '--clear', '--merge', 'a', file, 'b']);
    expect(await dirty(file, 'b')).toEqual([...Array(16).keys()]);
    const failed = await imgHere(['bitmap', '--remove', '--clear', '--add', file, 'a']);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toMatch(/^img: Could not clear bitmap 'a' in '.*': node '.*' has no dirty bitmap 'a'\n$/);
    expect((await listed(file)).map(({ name }) => name)).toEqual(['b']);
  });

  test('merges from another image, of whatever granularity', async () => {
    const [old, file] = [await newImage('old.qcow2'), await newImage()];
    await imgHereOutput(['bitmap', '--add', '-g', '512', old, 'x']);
    await write(old, 9);
    await imgHereOutput(['bitmap', '--add', '--merge', 'x', '-b', old, '-F', 'qcow2', file, 'y']);
    expect(await dirty(file, 'y')).toEqual([9]);
  });

  test.each([
    [['FILE', 'b'], 'is needed'],
    [['--add', 'FILE'], 'BITMAP'],
    [['--clear', '-g', '64k', 'FILE', 'b'], 'needs --add'],
    [['--add', '-b', 'x', 'FILE', 'b'], 'needs --merge'],
    [['--merge', 'c', '-F', 'raw', 'FILE', 'b'], 'needs -b'],
    [['--add', '-g', '1000', 'FILE', 'b'], 'granularity 1000 is not a power of two'],
    [['--add', '-f', 'raw', 'FILE', 'b'], 'cannot keep bitmaps'],
    [['--add', 'FILE', 'x'.repeat(1024)], 'the limit is 1023'],
  ])('refuses %j', async (words, message) => {
    const file = await newImage();
    const { code, stderr } = await imgHere(['bitmap', ...words.map((word) => (word === 'FILE' ? file : word))]);
    expect(code).toBe(1);
    expect(stderr).toContain(message);
  });
});

describe('img convert --bitmaps', () => {
  test('copies them with their state, and leaves out broken ones when told to', async () => {
    const file = await newImage();
    await imgHereOutput(['bitmap', '--add', '-g', '128k', file, 'on']);
    await write(file, 5);
    await imgHereOutput(['bitmap', '--add', '--disable', '--merge', 'on', file, 'off']);
    const copy = join(tempDir(), 'copy.qcow2');
    await imgHereOutput(['convert', '--bitmaps', '-O', 'qcow2', file, copy]);
    expect(await listed(copy)).toEqual([
      { flags: ['auto'], name: 'on', granularity: 131_072 },
      { flags: [], name: 'off', granularity: GRAIN },
    ]);
    expect(await dirty(copy, 'off')).toEqual([4, 5]);
    const raw = await imgHere(['convert', '--bitmaps', '-O', 'raw', file, `${copy}.raw`]);
    expect(raw).toMatchObject({ code: 1, stderr: expect.stringContaining('cannot keep bitmaps') });
    // What has no room for them is refused before the disk is copied.
    const taken = join(tempDir(), 'taken.qcow2');
    await imgHereOutput(['create', '-q', '-f', 'qcow2', taken, '16M']);
    await imgHereOutput(['bitmap', '--add', '-g', '0', taken, 'off']);
    const [again, old] = [
      await imgHere(['convert', '--bitmaps', '-n', '-O', 'qcow2', file, taken]),
      await imgHere(['convert', '--bitmaps', '-O', 'qcow2', '-o', 'compat=0.10', file, `${copy}.old`]),
    ];
    expect(again).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/bitmap 'off' cannot be copied to '.*taken.*already has/),
    });
    expect(await dirty(taken, 'off')).toEqual([]);
    expect((await imgHere(['compare', '-q', taken, file])).code).toBe(1);
    expect(old).toMatchObject({ code: 1, stderr: expect.stringContaining('is of version 2') });
    // One that a crash left behind.
    const disk = await openDisk({ driver: 'qcow2', file: { driver: 'file', filename: file } }, { writable: true });
    await disk.image.io.bitmaps.beginChange([disk.image.io.bitmaps.get('off')]);
    disk.image.io.bitmaps.drop(disk.image.io.bitmaps.get('off'));
    await disk.close();
    const refused = await imgHere(['convert', '--bitmaps', '-O', 'qcow2', file, copy]);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("bitmap 'off'") });
    const skipped = await imgHere(['convert', '--bitmaps', '--skip-broken-bitmaps', '-O', 'qcow2', file, copy]);
    expect(skipped).toMatchObject({ code: 0, stderr: expect.stringContaining("'off' is inconsistent and left out") });
    expect((await listed(copy)).map(({ name }) => name)).toEqual(['on']);
  });
});

describe.skipIf(peersFor('qemu-img', 'qemu-io', 'qemu-nbd', 'nbdinfo').missing)('with QEMU', () => {
  /** What `qemu-nbd` tells of a bitmap. */
  async function seenByQemu(file: string, name: string): Promise<number[]> {
    const socket = join(tempDir(), 's');
    const server = spawn(findPeer('qemu-nbd') ?? '', ['-r', '-f', 'qcow2', '-B', name, '-k', socket, file]);
    const ended = new Promise((resolve) => server.once('exit', resolve));
    while (!isListening(socket) && server.exitCode === null) await new Promise((resolve) => setImmediate(resolve));
    const uri = `nbd+unix:///?socket=${socket}`;
    const text = await peerOutput('nbdinfo', ['--json', `--map=qemu:dirty-bitmap:${name}`, uri]);
    await ended;
    const extents = JSON.parse(text) as { offset: number; length: number; type: number }[];
    return extents.flatMap(({ offset, length, type }) =>
      type === 1 ? Array.from({ length: length / GRAIN }, (_, index) => offset / GRAIN + index) : [],
    );
  }

  test('both read and go on with the bitmaps of the other', async () => {
    const file = await newImage();
    await imgHereOutput(['bitmap', '--add', '-g', '64k', file, 'ours']);
    await qemuImg(['bitmap', '--add', '-g', '64k', file, 'theirs']);
    await qemuIo(file, ['write 1M 64k'], ['-f', 'qcow2']);
    await write(file, 40);
    for (const name of ['ours', 'theirs']) {
      expect(await dirty(file, name)).toEqual([16, 40]);
      await qemuImg(['bitmap', '--disable', file, name]);
      expect(await seenByQemu(file, name)).toEqual([16, 40]);
    }
    // All ones, which is stored without a cluster.
    const disk = await openDisk({ driver: 'qcow2', file: { driver: 'file', filename: file } }, { writable: true });
    await disk.image.io.bitmaps.beginChange([disk.image.io.bitmaps.get('ours')]);
    disk.image.io.bitmaps.get('ours').bits.setAll();
    await disk.close();
    expect(await seenByQemu(file, 'ours')).toHaveLength(256);
    await qemuImg(['resize', file, '32M']);
    await imgHereOutput(['resize', file, '+16M']);
    expect(await dirty(file, 'ours')).toHaveLength(256);
    await imgHereOutput(['bitmap', '--remove', file, 'ours']);
    expect((await qemuImgCheck(file)).code).toBe(0);
    expect((await imgHere(['check', '-q', file])).code).toBe(0);
  });
});
