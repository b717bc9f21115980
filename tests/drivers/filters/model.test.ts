/** Every filter, and stacks of them, over random qcow2 chains: the disk is what a plain buffer says. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { NodeSpec } from '../../../src/core/block/graph/spec.ts';
import { makeSubject, type Subject } from '../../model/layouts.ts';
import { Model } from '../../model/model.ts';
import { checkDisk, openDisk } from '../../support/disk.ts';
import { Random, seeds } from '../../support/random.ts';
import { tempDir } from '../../support/temp.ts';

interface Case {
  readonly wrap: (spec: NodeSpec, folder: string, subject: Subject) => NodeSpec;
  readonly canCompress?: false;
  /** The filter has a second image, which requests that overlap may leave different. */
  readonly twin?: true;
}

const twin = (folder: string, subject: Subject): NodeSpec => {
  const filename = join(folder, 'twin.raw');
  writeFileSync(filename, subject.content);
  return { driver: 'raw', file: { driver: 'file', filename } };
};

const CASES: Readonly<Record<string, Case>> = {
  'blkdebug with limits': {
    wrap: (image) => ({ driver: 'blkdebug', image, align: 4096, 'max-transfer': 16384, 'opt-write-zero': 8192 }),
    canCompress: false,
  },
  blkreplay: { wrap: (image) => ({ driver: 'blkreplay', image, seed: 7 }) },
  throttle: { wrap: (file) => ({ driver: 'throttle', file, 'iops-total': 20_000, 'bps-total': '400M' }) },
  'copy-on-read': { wrap: (file) => ({ driver: 'copy-on-read', file }) },
  compress: { wrap: (file) => ({ driver: 'compress', file }) },
  blklogwrites: {
    wrap: (file, folder) => {
      writeFileSync(join(folder, 'log'), '');
      return { driver: 'blklogwrites', file, log: { driver: 'file', filename: join(folder, 'log') } };
    },
    canCompress: false,
  },
  'blkverify, the format above': {
    wrap: (test, folder, subject) => ({ driver: 'blkverify', raw: twin(folder, subject), test }),
    canCompress: false,
    twin: true,
  },
  quorum: {
    wrap: (test, folder, subject) => ({
      driver: 'quorum',
      'vote-threshold': 1,
      children: [test, twin(folder, subject)],
    }),
    canCompress: false,
    twin: true,
  },
  'a stack': {
    wrap: (file) => ({
      driver: 'throttle',
      'iops-total': 50_000,
      file: { driver: 'blkdebug', image: { driver: 'copy-on-read', file: { driver: 'blkreplay', image: file } } },
    }),
  },
  'below the format': {
    wrap: (spec) => {
      const file = spec.file as NodeSpec;
      const stack = { driver: 'preallocate', 'prealloc-size': '1M', file: { driver: 'blkdebug', image: file } };
      return { ...spec, file: { driver: 'throttle', 'iops-total': 50_000, file: stack } };
    },
  },
};

/** No data file where clusters are to be compressed; version 2 cannot always grow, which a twin can. */
function suits({ canCompress, description }: Subject, compressing: boolean, two: boolean): boolean {
  return (canCompress || !compressing) && !(two && description.includes('0.10'));
}

describe.each(Object.entries(CASES))('%s', (_name, { wrap, canCompress, twin: two }) => {
  test.each(seeds(2))('seed %i', async (seed) => {
    const random = new Random(seed);
    const folder = tempDir();
    let plain = await makeSubject(folder, random);
    while (!suits(plain, canCompress !== false, two ?? false)) plain = await makeSubject(tempDir(), random);
    const subject: Subject = {
      ...plain,
      spec: wrap(plain.spec, folder, plain),
      canCompress: plain.canCompress && canCompress === undefined,
    };
    const model = await Model.open(subject, random);
    await model.apart(150);
    if (!two) await model.together(5);
    await model.reopen();
    await model.close();
    const disk = await openDisk(plain.spec);
    expect(await checkDisk(disk)).toMatchObject({ corruptions: 0, leaks: 0 });
    await disk.close();
  });
});
