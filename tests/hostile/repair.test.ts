/**
 * Repair of images whose metadata is damaged at random: the repair ends, the image is clean afterwards or the repair has
 * said that it is not, and what could be read before reads the same. QEMU looks at a part of the cases too, and at one
 * at least of each kind of damage.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { MemoryFile } from '../support/memory-file.ts';
import { peersFor, runPeer } from '../support/peers.ts';
import { seeds } from '../support/random.ts';
import { tempDirForSuite } from '../support/temp.ts';
import { makeSubject, makings, runCase, type Subject } from './repair-cases.ts';

/** Cases of one seed, over all images, and after how many of one image QEMU is asked. */
const CASES = Math.ceil(10_000 / Object.keys(makings).length);
const ASK_QEMU = 100;
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
      const confirmed = new Set<string>();
      for (let number = 0; number < CASES; number++) {
        const what = `case ${number} of seed ${seed}`;
        const outcome = await runCase(subject, seed * 1_000_003 + number, number % COMPARE === 0).catch((error) => {
          throw new Error(`${what}: ${String(error)}`, { cause: error });
        });
        outcomes[outcome.kind]++;
        expect(outcome.changed, what).toEqual([]);
        if (outcome.kind !== 'clean') continue;
        expect(outcome.left, what).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0 });
        if (number % ASK_QEMU !== 0 && outcome.damage.every((kind) => confirmed.has(kind))) continue;
        await expectCleanForQemu(join(suite, 'repaired.qcow2'), outcome.file, { what, dataFile: subject.dataFile });
        for (const kind of outcome.damage) confirmed.add(kind);
      }
      // Damage of every kind was met.
      expect(Math.min(...Object.values(outcomes))).toBeGreaterThan(0);
    });
  });
});

interface Place {
  readonly what: string;
  /** Where the data of the image is, whatever has become of the name in its header. */
  readonly dataFile: string | undefined;
}

async function expectCleanForQemu(path: string, file: MemoryFile, { what, dataFile }: Place): Promise<void> {
  fs.writeFileSync(path, file.bytes);
  const image =
    dataFile === undefined
      ? [path]
      : ['--image-opts', `driver=qcow2,file.filename=${path},data-file.driver=file,data-file.filename=${dataFile}`];
  const { code, stdout, stderr } = await runPeer('qemu-img', ['check', ...image]);
  expect({ what, code, stdout, stderr }).toMatchObject({ what, code: 0, stderr: '' });
}
