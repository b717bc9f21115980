import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Backend } from '../../../src/core/block/backend/backend.ts';
import { BlockGraph } from '../../../src/core/block/graph/block-graph.ts';
import { operations } from '../../../src/core/block/graph/operations.ts';
import { JobList } from '../../../src/core/job/job-list.ts';
import { CopyRecord, verifyJob } from '../../../src/core/job/verify-job.ts';
import { driverList } from '../../../src/drivers/index.ts';
import { imgHere, imgHereOutput } from '../../support/img-here.ts';
import { tempDir } from '../../support/temp.ts';

const MiB = 1024 * 1024;

function source(folder: string): string {
  const path = join(folder, 'source.raw');
  writeFileSync(path, randomBytes(3 * MiB + 512));
  truncateSync(path, 20 * MiB);
  writeFileSync(path, randomBytes(4096), { flag: 'a' });
  return path;
}

async function verify(file: string, record: CopyRecord): Promise<void> {
  await using graph = new BlockGraph({ drivers: driverList, references: 'all', warn: () => undefined });
  const target = await Backend.open(
    graph,
    { driver: 'raw', file: { driver: 'file', filename: file } },
    { user: 'the test', permissions: operations.read.image, open: { modes: { readOnly: true } } },
  );
  await verifyJob(new JobList(), { target, record, fileName: file }).start();
}

describe('img convert --verify', () => {
  test.each([
    ['raw', []],
    ['qcow2', []],
    ['qcow2', ['-c']],
    ['raw', ['-S', '0']],
    ['qcow2', ['-m', '1', '-W']],
  ])('reads %s %j again and finds it the same', async (format, options) => {
    const folder = tempDir();
    const from = source(folder);
    const to = join(folder, 'target');
    await imgHereOutput(['convert', '--verify', '-f', 'raw', '-O', format, ...options, from, to]);
    expect((await imgHere(['compare', '-f', 'raw', '-F', format, from, to])).code).toBe(0);
  });

  test('verifies an overlay, an existing target and several sources', async () => {
    const folder = tempDir();
    const from = source(folder);
    const [base, top, copy, twice] = ['base', 'top', 'copy', 'twice'].map((name) => join(folder, name));
    if (!base || !top || !copy || !twice) throw new Error('names are missing');
    await imgHereOutput(['convert', '--verify', '-f', 'raw', '-O', 'qcow2', from, base]);
    await imgHereOutput(['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', top]);
    await imgHereOutput(['convert', '--verify', '-O', 'qcow2', '-B', base, '-F', 'qcow2', top, copy]);
    writeFileSync(twice, Buffer.alloc(60 * MiB, 7));
    await imgHereOutput(['convert', '--verify', '-n', '-f', 'raw', '-O', 'raw', from, from, twice]);
    expect(readFileSync(twice).subarray(0, 512)).toEqual(readFileSync(from).subarray(0, 512));
    expect((await imgHere(['convert', '--verify', '-C', '-f', 'raw', from, copy])).code).toBe(1);
  });

  test('says where a target differs that does not keep what is written to it', async () => {
    const folder = tempDir();
    const from = source(folder);
    const target = join(folder, 'target.raw');
    execFileSync('truncate', ['-s', '21M', target]);
    // Every write is dropped below this target.
    const lossy = `driver=null-co,size=${21 * MiB},read-zeroes=on`;
    const failed = await imgHere(['convert', '--verify', '-n', '-f', 'raw', '--target-image-opts', from, lossy]);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toMatch(
      /^img: verification failed: '[^\n]*' differs from the source within \d+ bytes at offset 0\n$/,
    );
  });
});

describe('the verify job', () => {
  test('finds a single changed bit in data, and data where zeroes belong', async () => {
    const file = join(tempDir(), 'a.raw');
    const data = randomBytes(MiB);
    writeFileSync(file, Buffer.concat([data, Buffer.alloc(2 * MiB)]));
    const record = new CopyRecord();
    record.note({ offset: 0, length: MiB / 2 }, data.subarray(0, MiB / 2));
    record.note({ offset: MiB / 2, length: MiB / 2 }, data.subarray(MiB / 2));
    record.note({ offset: MiB, length: MiB }, undefined);
    record.note({ offset: 2 * MiB, length: MiB }, undefined);
    expect(record.zeroes).toEqual([{ offset: MiB, length: 2 * MiB }]);
    await verify(file, record);
    for (const [at, found] of [
      [MiB / 2 + 77, /differs from the source within 524288 bytes at offset 524288$/],
      [3 * MiB - 1, /differs from the source within \d+ bytes at offset \d+$/],
    ] as const) {
      const before = readFileSync(file).subarray(at, at + 1);
      poke(file, at, Buffer.of((before[0] ?? 0) ^ 1));
      await expect(verify(file, record)).rejects.toThrow(found);
      poke(file, at, before);
      await verify(file, record);
    }
  });

  test('tells of the first difference on the disk, in whatever order the copy came by', async () => {
    const file = join(tempDir(), 'a.raw');
    const data = randomBytes(4 * MiB);
    writeFileSync(file, Buffer.concat([data, Buffer.alloc(4 * MiB, 1)]));
    const [first, second] = [5, 40].map((sector) => sector * 512);
    if (first === undefined || second === undefined) throw new Error('two offsets are needed');
    poke(file, first, Buffer.of((data[first] ?? 0) ^ 1));
    poke(file, second, Buffer.of((data[second] ?? 0) ^ 1));
    const record = new CopyRecord();
    // The later the longer: a short piece is checked sooner than a long one.
    for (const [offset, length] of [
      [second, 512],
      [0, second],
      [second + 512, data.length - second - 512],
    ] as const) {
      record.note({ offset, length }, data.subarray(offset, offset + length));
    }
    record.note({ offset: 6 * MiB, length: 2 * MiB }, undefined);
    record.note({ offset: 4 * MiB, length: 2 * MiB }, undefined);
    expect(record.zeroes).toEqual([{ offset: 4 * MiB, length: 4 * MiB }]);
    await expect(verify(file, record)).rejects.toThrow(`within ${second} bytes at offset 0`);
    writeFileSync(file, Buffer.concat([data, Buffer.alloc(4 * MiB, 1)]));
    await expect(verify(file, record)).rejects.toThrow(`at offset ${4 * MiB}`);
  });

  test('keeps more pieces than there was room for at first', async () => {
    const file = join(tempDir(), 'a.raw');
    const data = randomBytes(2000 * 512);
    writeFileSync(file, data);
    const record = new CopyRecord();
    for (let i = 0; i < 2000; i++) record.note({ offset: i * 512, length: 512 }, data.subarray(i * 512, i * 512 + 512));
    await verify(file, record);
    poke(file, 1999 * 512, Buffer.of((data[1999 * 512] ?? 0) ^ 1));
    await expect(verify(file, record)).rejects.toThrow('at offset 1023488');
  });
});

function poke(file: string, at: number, bytes: Uint8Array): void {
  const fd = openSync(file, 'r+');
  writeSync(fd, bytes, 0, bytes.length, at);
  closeSync(fd);
}
