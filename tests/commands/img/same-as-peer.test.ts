/** What `info`, `map` and `check` print is what qemu-img prints, for every kind of image. */
import { basename } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { imgHere } from '../../support/img-here.ts';
import { peersFor, runPeer } from '../../support/peers.ts';
import { tempDirForSuite } from '../../support/temp.ts';
import { makeImages } from './image-matrix.ts';

const COMMANDS: readonly (readonly string[])[] = [
  ['info'],
  ['info', '--output=json'],
  ['map'],
  ['map', '--output=json'],
  ['map', '--output', 'json', '-s', '1000k', '-l', '3M'],
  ['map', '-s0x100000', '--max-length=3M'],
  ['check'],
  ['check', '--output=json'],
];

/** Where we mean to differ, by command and image. */
const DIFFERENT: readonly (readonly [command: string, image: string])[] = [
  ['map', 'far.qcow2'], // there is no driver for its backing file yet, and the other waits for the network
  ['check', 'far.qcow2'], // its backing file is not opened for a check
  ['map --output json -s', 'odd.raw'], // a map of nothing is an empty list, not a range of no length
  ['map --output', 'subclusters.qcow2'], // no offset is shown for subclusters without data
];

function isDifferent(command: readonly string[], image: string): boolean {
  return DIFFERENT.some(([start, name]) => command.join(' ').startsWith(start) && name === basename(image));
}

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing)('the same as qemu-img', () => {
  const folder = tempDirForSuite();
  let images: string[] = [];
  beforeAll(async () => {
    images = await makeImages(folder);
  });

  test.each(COMMANDS.map((command) => [command.join(' '), command] as const))('img %s', async (_, command) => {
    expect(images.length).toBeGreaterThan(20);
    for (const image of images) {
      if (isDifferent(command, image)) continue;
      const [ours, theirs] = await Promise.all([
        imgHere([...command, image]),
        runPeer('qemu-img', [...command, image]),
      ]);
      const what = { image: basename(image), code: ours.code, stdout: ours.stdout, silent: ours.stderr === '' };
      expect(what).toEqual({
        image: basename(image),
        code: theirs.code,
        stdout: theirs.stdout,
        silent: theirs.stderr === '',
      });
    }
  });
});
