/**
 * Repair of images whose metadata is damaged at random: the repair ends, the image is clean afterwards or the repair has
 * said that it is not, and what could be read before reads the same. QEMU looks at a part of the cases too.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { MemoryFile } from '../support/memory-file.ts';
import { peersFor, qemuImgCheck } from '../support/peers.ts';
import { seeds } from '../support/random.ts';
import { tempDirForSuite } from '../support/temp.ts';
import { makeSubject, makings, runCase, type Subject } from './repair-cases.ts';

/** Cases of one test, and after how many of them QEMU is asked. */
const CASES = 225;
const ASK_QEMU = 50;
/** After how many cases the content is compared. */
const COMPARE = 9;

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing)('repair of damaged metadata', () => {
  const suite = tempDirForSuite();

  describe.each(Object.keys(makings))('of an image with %s', (name) => {
    let subject: Subject;

    beforeAll(async () => {
      subject = await makeSubject(name, fs.mkdtempSync(join(suite, 'made-')));
    });

    test.each(seeds(1))('seed %d', async (seed) => {
      const outcomes = { clean: 0, reported: 0, refused: 0 };
      for (let number = 0; number < CASES; number++) {
        const what = `case ${number} of seed ${seed}`;
        const outcome = await runCase(subject, seed * 1_000_003 + number, number % COMPARE === 0).catch((error) => {
          throw new Error(`${what}: ${String(error)}`, { cause: error });
        });
        outcomes[outcome.kind]++;
        expect(outcome.changed, what).toEqual([]);
        if (outcome.kind !== 'clean') continue;
        expect(outcome.left, what).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0 });
        if (number % ASK_QEMU === 0) await expectCleanForQemu(join(suite, 'repaired.qcow2'), outcome.file, what);
      }
      // Damage of every kind was met.
      expect(Math.min(...Object.values(outcomes))).toBeGreaterThan(0);
    });
  });
});

async function expectCleanForQemu(path: string, file: MemoryFile, what: string): Promise<void> {
  fs.writeFileSync(path, file.bytes);
  const { code, report } = await qemuImgCheck(path);
  expect({ what, code, report }).toMatchObject({ what, code: 0 });
}
