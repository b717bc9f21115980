/** Random requests to random qcow2 images, against a model; afterwards we and QEMU find the image sound. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { firstDifference } from '../support/disk.ts';
import { imgHere } from '../support/img-here.ts';
import { findPeer, qemuImg, qemuImgCheck } from '../support/peers.ts';
import { Random, seeds } from '../support/random.ts';
import { tempDir } from '../support/temp.ts';
import { makeSubject, type Subject } from './layouts.ts';
import { Model } from './model.ts';

describe('qcow2 against a model', () => {
  test.each(seeds(40))('requests in flight that do not overlap, seed %d', async (seed) => {
    const random = new Random(seed);
    const subject = await makeSubject(tempDir(), random);
    const model = await Model.open(subject, random);
    try {
      await model.apart(400);
    } finally {
      await model.close();
    }
    await expectSound(subject, model.content);
  });

  test.each(seeds(20))('requests in flight that overlap, seed %d', async (seed) => {
    const random = new Random(1000 + seed);
    const subject = await makeSubject(tempDir(), random);
    const model = await Model.open(subject, random);
    try {
      await model.together(10);
      await model.reopen();
      await model.together(10);
    } finally {
      await model.close();
    }
    await expectSound(subject, model.content);
  });
});

/** Closed properly, an image has not even leaks; QEMU reads from it what the model holds. */
async function expectSound(subject: Subject, content: Buffer): Promise<void> {
  const { path, description, rawDataFile } = subject;
  expect(await imgHere(['check', '-f', 'qcow2', path]), description).toMatchObject({ code: 0, stderr: '' });
  if (rawDataFile !== undefined) {
    const data = readFileSync(rawDataFile);
    expect(firstDifference(data.subarray(0, content.length), content), `raw data file, ${description}`).toBe(-1);
  }
  if (findPeer('qemu-img') === undefined) return;
  expect(await qemuImgCheck(path), description).toMatchObject({ code: 0 });
  const copy = join(path, '..', 'copy.raw');
  await qemuImg(['convert', '-f', 'qcow2', '-O', 'raw', path, copy]);
  const theirs = readFileSync(copy);
  expect(theirs.length, description).toBe(content.length);
  expect(firstDifference(theirs, content), `what QEMU reads, ${description}`).toBe(-1);
}
