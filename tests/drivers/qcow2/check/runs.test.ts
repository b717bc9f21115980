/** Images full of clusters, whose entries are taken in runs, with a few entries changed: the counters are qemu-img's. */
import fs from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { hostOffset } from '../../../../src/drivers/qcow2/meta/entries.ts';
import { peersFor, qemuImg, qemuImgCheck } from '../../../support/peers.ts';
import { Random, seeds } from '../../../support/random.ts';
import { tempDirForSuite } from '../../../support/temp.ts';
import { checkFile, checkJson, exitStatus } from '../support/check-file.ts';
import { BIT } from '../support/damage.ts';

interface Subject {
  readonly options: string;
  readonly size: string;
  readonly snapshots: number;
}

const subjects: Readonly<Record<string, Subject>> = {
  'past 4 GiB of the file': { options: 'cluster_size=64k', size: '9G', snapshots: 0 },
  'three snapshots': { options: 'cluster_size=64k', size: '3G', snapshots: 3 },
  subclusters: { options: 'cluster_size=16k,extended_l2=on', size: '256M', snapshots: 1 },
  'small clusters and version 2': { options: 'cluster_size=4k,compat=0.10', size: '128M', snapshots: 1 },
  'counts of 1 bit': { options: 'cluster_size=4k,refcount_bits=1', size: '128M', snapshots: 0 },
  'counts of 2 bits': { options: 'cluster_size=4k,refcount_bits=2', size: '128M', snapshots: 2 },
  'counts of 8 bits': { options: 'cluster_size=4k,refcount_bits=8', size: '128M', snapshots: 1 },
  'counts of 64 bits': { options: 'cluster_size=4k,refcount_bits=64', size: '128M', snapshots: 1 },
};

/** Change an entry of an L2 table of `entries` entries of 8 bytes. */
type Change = (entries: BigUint64Array, index: number, random: Random) => void;

const changes: readonly Change[] = [
  (entries, index) => {
    entries[index] = 0n;
  },
  (entries, index) => {
    entries[index] = (entries[index] ?? 0n) ^ BIT(63);
  },
  (entries, index) => {
    entries[index] = (entries[index] ?? 0n) | 1n;
  },
  (entries, index) => {
    entries[index] = 1n;
  },
  (entries, index, random) => {
    const other = random.below(entries.length / 2) * 2;
    const value = entries[index] ?? 0n;
    entries[index] = entries[other] ?? 0n;
    entries[other] = value;
  },
  (entries, index, random) => {
    entries[index] = entries[random.below(entries.length / 2) * 2] ?? 0n;
  },
];

/** Change some entries of some tables of the file, in place. */
function disturb(path: string, random: Random): void {
  const fd = fs.openSync(path, 'r+');
  try {
    const header = Buffer.alloc(112);
    fs.readSync(fd, header, 0, header.length, 0);
    const clusterSize = 2 ** header.readUInt32BE(20);
    const l1 = Buffer.alloc(header.readUInt32BE(36) * 8);
    fs.readSync(fd, l1, 0, l1.length, Number(header.readBigUint64BE(40)));
    for (let round = random.between(1, 4); round > 0; round--) {
      const index = random.below(l1.length / 8);
      const offset = hostOffset(l1.readUInt32BE(index * 8), l1.readUInt32BE(index * 8 + 4));
      const table = Buffer.from(new ArrayBuffer(clusterSize));
      fs.readSync(fd, table, 0, clusterSize, offset);
      const entries = new BigUint64Array(table.swap64().buffer);
      // Only even words, which are never a bitmap of subclusters.
      for (let change = random.between(1, 3); change > 0; change--) {
        random.pick(changes)(entries, random.below(entries.length / 2) * 2, random);
      }
      fs.writeSync(fd, table.swap64(), 0, clusterSize, offset);
    }
  } finally {
    fs.closeSync(fd);
  }
}

describe.skipIf(peersFor('qemu-img').missing)('check of a full image', () => {
  const folder = tempDirForSuite();

  describe.each(Object.entries(subjects))('with %s', (_name, { options, size, snapshots }) => {
    const path = join(folder, 'full.qcow2');

    beforeAll(async () => {
      await qemuImg(['create', '-q', '-f', 'qcow2', '-o', `preallocation=metadata,${options}`, path, size]);
      for (let number = 0; number < snapshots; number++) await qemuImg(['snapshot', '-c', `s${number}`, path]);
    });

    test('finds nothing', async () => {
      const { result, lines } = await checkFile(path);
      expect(lines).toEqual([]);
      expect(await qemuImgCheck(path)).toMatchObject({ code: 0, report: checkJson(result) });
    });

    // The image is changed more and more.
    test.each(seeds(3))('finds what qemu-img finds (seed %d)', async (seed) => {
      disturb(path, new Random(seed));
      const { result } = await checkFile(path);
      expect(await qemuImgCheck(path)).toMatchObject({ code: exitStatus(result), report: checkJson(result) });
    });
  });
});
