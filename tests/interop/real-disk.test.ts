/** A disk of several hundred MiB with a partition table and a filesystem full of real files, through our formats. */

import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { imgOutput } from '../support/cli.ts';
import { peerOutput, peersFor, qemuImgCheck, qemuImgSame } from '../support/peers.ts';
import { realDisk } from '../support/real-disk.ts';
import { tempDir } from '../support/temp.ts';

const MIB = 1024 * 1024;
const SIZE = 512;
/** Of one program, and of a test: this is some seconds of work, on a machine that may have much else to do. */
const LONG = { timeout: 120_000 };
const TEST_TIMEOUT = 400_000;

const ways: readonly (readonly [name: string, args: readonly string[]])[] = [
  ['plain', []],
  ['compressed with zlib', ['-c']],
  ['compressed with zstd', ['-c', '-o', 'compression_type=zstd']],
  ['subclusters', ['-o', 'extended_l2=on,cluster_size=128k']],
  ['parallel without order', ['-W', '-m', '16', '-o', 'cluster_size=4k']],
];

describe.skipIf(peersFor('mke2fs', 'sfdisk', 'e2fsck', 'qemu-img').missing)('a real disk', () => {
  let source = '';
  let digest = '';

  beforeAll(async () => {
    source = await realDisk({ table: 'gpt', size: SIZE });
    digest = await digestOf(source);
  });

  test.each(ways)(
    'raw to qcow2 and back, %s',
    async (_name, args) => {
      const folder = tempDir();
      const image = join(folder, 'disk.qcow2');
      const back = join(folder, 'disk.raw');
      await imgOutput(['convert', '-f', 'raw', '-O', 'qcow2', ...args, source, image], LONG);
      expect(await qemuImgCheck(image)).toMatchObject({ code: 0 });
      expect(await qemuImgSame(source, image, LONG)).toBe(true);
      await imgOutput(['check', image]);
      await imgOutput(['compare', '-f', 'raw', '-F', 'qcow2', source, image], LONG);
      await imgOutput(['convert', '-O', 'raw', image, back], LONG);
      expect(await digestOf(back)).toBe(digest);
    },
    TEST_TIMEOUT,
  );

  test(
    'the filesystem in it is sound afterwards',
    async () => {
      const folder = tempDir();
      const image = join(folder, 'sound.qcow2');
      const back = join(folder, 'sound.raw');
      const partition = join(folder, 'partition.ext4');
      await imgOutput(['convert', '-f', 'raw', '-O', 'qcow2', '-c', source, image], LONG);
      await imgOutput(['convert', image, back], LONG);
      const end = (SIZE - 1) * MIB - 1;
      await pipeline(createReadStream(back, { start: MIB, end }), createWriteStream(partition));
      const report = await peerOutput('e2fsck', ['-fn', partition], LONG);
      expect(report).toMatch(/\d+\/\d+ files .* \d+\/\d+ blocks/);
    },
    TEST_TIMEOUT,
  );
});

async function digestOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file, { highWaterMark: MIB }), hash);
  return hash.digest('hex');
}
