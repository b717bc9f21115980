/** Each field of an image damaged by itself: our check and the reference tool's count the same. */
import fs from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { peersFor, qemuImgCheck } from '../../support/peers.ts';
import { tempDirForSuite } from '../../support/temp.ts';
import { checkFile, checkJson, exitStatus } from './support/check-file.ts';
import { Anatomy, BIT, plainImage, splitImage, subclusterImage } from './support/damage.ts';

type Damage = (image: Anatomy) => void;

const plainDamage: Readonly<Record<string, Damage>> = {
  nothing: () => undefined,
  'L1: reserved bit': (it) => it.patch(it.l1, (entry) => entry | BIT(60)),
  'L1: copied flag cleared': (it) => it.patch(it.l1, (entry) => entry & ~BIT(63)),
  'L1: offset not aligned': (it) => it.patch(it.l1, (entry) => entry + 512n),
  'L1: offset past the end': (it) => it.patch(it.l1, (entry) => entry | BIT(40)),
  'L1: two entries for one table': (it) => it.set(it.l1 + 8, it.view.getBigUint64(it.l1)),
  'L1: only flags': (it) => it.set(it.l1 + 8, BIT(63)),
  'L2: entry removed': (it) => it.set(it.data(), 0),
  'L2: reserved bit': (it) => it.patch(it.data(), (entry) => entry | BIT(57)),
  'L2: low reserved bit': (it) => it.patch(it.data(), (entry) => entry | BIT(4)),
  'L2: copied flag flipped': (it) => it.patch(it.data(), (entry) => entry ^ BIT(63)),
  'L2: offset not aligned': (it) => it.patch(it.data(), (entry) => entry + 1024n),
  'L2: zero cluster not aligned': (it) => it.patch(it.data(), (entry) => (entry + 1024n) | 1n),
  'L2: offset past the end': (it) => it.patch(it.data(), (entry) => entry | BIT(41)),
  'L2: cluster used twice': (it) => it.set(it.empty(), it.view.getBigUint64(it.data())),
  'L2: points at the header': (it) => it.set(it.empty(), BIT(63) | BIT(0)),
  'L2: points at the refcount table': (it) => it.set(it.empty(), BIT(63) | BigInt(it.header.refcountTableOffset)),
  'compressed: copied flag': (it) => it.patch(it.compressed(), (entry) => entry | BIT(63)),
  'compressed: past the end': (it) => it.patch(it.compressed(), (entry) => entry | BIT(45)),
  'compressed: more sectors': (it) => it.patch(it.compressed(), (entry) => entry | BIT(61) | BIT(60)),
  'refcount table: reserved bit': (it) => it.patch(it.header.refcountTableOffset, (entry) => entry | 1n),
  'refcount table: not aligned': (it) => it.patch(it.header.refcountTableOffset, (entry) => entry + 512n),
  'refcount table: past the end': (it) => it.patch(it.header.refcountTableOffset, (entry) => entry | BIT(40)),
  'refcount table: entry removed': (it) => it.set(it.header.refcountTableOffset, 0),
  'refcount table: block used twice': (it) => it.set(it.header.refcountTableOffset + 8, it.block()),
  'refcount block: counts too low': (it) => it.bytes.fill(0, it.block() + 8, it.block() + 32),
  'refcount block: counts too high': (it) => it.bytes.fill(7, it.block() + 8, it.block() + 32),
  'refcount block: leaks': (it) => it.bytes.fill(1, it.block() + 1900, it.block() + 2000),
  'bitmap table: reserved bit': (it) => it.patch(it.bitmapTable(), (entry) => entry | BIT(60)),
  'bitmap table: not aligned': (it) => it.patch(it.bitmapTable(), () => 512n),
  'bitmap table: past the end': (it) => it.patch(it.bitmapTable(), () => BIT(40)),
  'bitmap: no table entries': (it) => it.view.setUint32(it.bitmapDirectory() + 8, 0),
  'bitmap: too many table entries': (it) => it.view.setUint32(it.bitmapDirectory() + 8, 2),
  'snapshot: L1 not aligned': (it) => it.patch(it.header.snapshotsOffset, (offset) => offset + 512n),
  'snapshot: L1 elsewhere': (it) => it.patch(it.header.snapshotsOffset, () => BigInt(it.l1)),
  'snapshot: L1 past the end': (it) => it.patch(it.header.snapshotsOffset, (offset) => offset | BIT(40)),
  'header: corrupt bit': (it) => it.patch(72, (bits) => bits | 2n),
  'header: dirty bit': (it) => it.patch(72, (bits) => bits | 1n),
  'header: bitmaps not to be trusted': (it) => it.set(88, 0),
  'header: no snapshots': (it) => it.view.setUint32(60, 0),
};

const subclusterDamage: Readonly<Record<string, Damage>> = {
  nothing: () => undefined,
  'allocated and zero': (it) => it.patch(it.data() + 8, (bits) => bits | BIT(32)),
  'allocated without cluster': (it) => it.patch(it.empty() + 8, () => 1n),
  'zero without cluster': (it) => it.patch(it.empty() + 8, () => BIT(40)),
  'compressed with bitmap': (it) => it.patch(it.compressed() + 8, () => 1n),
  'zero bit of plain entries': (it) => it.patch(it.data(), (entry) => entry | 1n),
  'not aligned': (it) => it.patch(it.data(), (entry) => entry + 512n),
  'not aligned and without data': (it) => {
    it.patch(it.data() + 8, () => 0n);
    it.patch(it.data(), (entry) => entry + 512n);
  },
};

const splitDamage: Readonly<Record<string, Damage>> = {
  nothing: () => undefined,
  'copied flag cleared': (it) => it.patch(it.data(), (entry) => entry & ~BIT(63)),
  'compressed cluster': (it) => it.patch(it.data(), (entry) => entry | BIT(62)),
  'offset not aligned': (it) => it.patch(it.data(), (entry) => entry + 512n),
};

const kinds = [
  { name: 'a plain image', make: plainImage, damage: plainDamage },
  { name: 'an image with subclusters', make: subclusterImage, damage: subclusterDamage },
  { name: 'an image with a data file', make: splitImage, damage: splitDamage },
];

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing)('check counts what qemu-img counts in', () => {
  const folder = tempDirForSuite();
  for (const { name, make, damage } of kinds) {
    describe(name, () => {
      let original = '';
      beforeAll(async () => {
        original = await make(folder);
      });
      for (const [what, apply] of Object.entries(damage)) {
        test(what, async () => {
          const path = join(folder, 'damaged.qcow2');
          const anatomy = new Anatomy(fs.readFileSync(original));
          apply(anatomy);
          fs.writeFileSync(path, anatomy.bytes);
          const theirs = await qemuImgCheck(path);
          const ours = await checkFile(path).then(
            ({ result }) => ({ code: exitStatus(result), report: checkJson(result) }),
            () => ({ code: 1, report: undefined }),
          );
          expect(ours.code).toBe(theirs.code);
          if (theirs.report !== undefined && ours.report !== undefined) {
            expect(ours.report).toEqual(withoutNames(theirs.report));
          }
        });
      }
    });
  }
});

function withoutNames(report: unknown): Record<string, unknown> {
  const { filename: _filename, format: _format, ...counters } = report as Record<string, unknown>;
  return counters;
}
