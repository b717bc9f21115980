import { existsSync, statSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { img, runProgram } from './cli.ts';
import { peerOutput, peersFor, qemuImg, qemuImgCheck, qemuImgJson, qemuImgSame, qemuIo } from './peers.ts';
import { realDisk } from './real-disk.ts';
import { tempDir, tempDirForSuite } from './temp.ts';

const suiteFolder = tempDirForSuite();

describe('temp', () => {
  let previous = '';

  test('tempDir makes a folder for one test', () => {
    previous = tempDir();
    expect(existsSync(previous)).toBe(true);
    expect(existsSync(suiteFolder)).toBe(true);
  });

  test('and it is gone in the next', () => {
    expect(existsSync(previous)).toBe(false);
  });
});

describe('cli', () => {
  test('runProgram returns status, output, time and peak memory', async () => {
    const result = await runProgram('nbd', [], { calledAs: 'qemu-nbd', measureMemory: true });
    expect(result.code).toBe(1);
    expect(result.stdout).toBe('');
    expect(result.stderr).toBe('qemu-nbd: an image is missing: FILE or --export name=NAME,file=FILE\n');
    expect(result.elapsed).toBeGreaterThan(5);
    expect(result.peakMemory).toBeGreaterThan(10 * 1024 * 1024);
  });

  test('img is there', async () => {
    const { code, signal } = await img(['--version']);
    expect({ code, signal }).toEqual({ code: 0, signal: undefined });
  });
});

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing)('peers', () => {
  test('qemu-img and qemu-io make, change, describe and check an image', async () => {
    const folder = tempDir();
    const [first, second] = [`${folder}/a.qcow2`, `${folder}/b.qcow2`];
    for (const file of [first, second]) await qemuImg(['create', '-q', '-f', 'qcow2', file, '1M']);
    expect(await qemuImgSame(first, second)).toBe(true);
    await qemuIo(first, ['write -P 7 0 64k'], ['-f', 'qcow2']);
    expect(await qemuImgSame(first, second)).toBe(false);
    expect(await qemuImgJson(['info', first])).toMatchObject({ format: 'qcow2', 'virtual-size': 1024 * 1024 });
    expect((await qemuImgCheck(first)).code).toBe(0);
  });
});

describe.skipIf(peersFor('sfdisk', 'mke2fs').missing)('realDisk', () => {
  test('makes a disk with a partition table and real files, once', async () => {
    const options = { table: 'gpt', size: 64, from: new URL('../../src', import.meta.url).pathname } as const;
    const disk = await realDisk(options);
    const made = statSync(disk);
    expect(made.size).toBe(64 * 1024 * 1024);
    expect(made.blocks * 512).toBeLessThan(made.size);
    expect(JSON.parse(await peerOutput('sfdisk', ['--json', disk]))).toMatchObject({
      partitiontable: { label: 'gpt', partitions: [{ start: 2048 }] },
    });
    expect(await realDisk(options)).toBe(disk);
    expect(statSync(disk).mtimeMs).toBe(made.mtimeMs);
  });
});
