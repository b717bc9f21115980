/** `img check -r` and `--dry-run`: reports and exit statuses beside those of qemu-img, on copies of one damaged image. */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { Anatomy, BIT } from '../../drivers/qcow2/support/damage.ts';
import { imgHere } from '../../support/img-here.ts';
import { peersFor, qemuImg, qemuImgCheck, qemuIo, runPeer } from '../../support/peers.ts';
import { tempDir, tempDirForSuite } from '../../support/temp.ts';

type Damage = (it: Anatomy) => void;

const damages: Readonly<Record<string, Damage>> = {
  nothing: () => undefined,
  'leaked clusters': (it) => it.set(it.data(), 0),
  'counts too low': (it) => it.view.setUint16(it.block() + 14, 1),
  'counts too high': (it) => it.view.setUint16(it.block() + 12, 5),
  'counts too low and too high': (it) => {
    it.view.setUint16(it.block() + 14, 1);
    it.view.setUint16(it.block() + 12, 5);
  },
  'a wrong copied flag': (it) => it.patch(it.data(), (entry) => entry ^ BIT(63)),
  'a cluster in use that is counted as free': (it) => it.view.setUint16(it.block() + 4, 0),
  'no refcount block': (it) => it.set(it.header.refcountTableOffset, 0),
  'an entry that leads nowhere': (it) => it.patch(it.data(), (entry) => entry | BIT(41)),
  'a dirty bit': (it) => it.patch(72, (bits) => bits | 1n),
};

/** Rebuilding places the new counts elsewhere, and errors of the driver are in our own words. */
const otherWords = new Set([
  'a cluster in use that is counted as free',
  'no refcount block',
  'an entry that leads nowhere',
]);

/** Each line once: qemu-img says again, after a repair of leaks, what is left. */
function linesOf(text: string): Set<string> {
  return new Set(text.split('\n'));
}

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing)('img check -r', () => {
  const folder = tempDirForSuite();
  const original = join(folder, 'original.qcow2');
  const path = join(folder, 'image.qcow2');

  beforeAll(async () => {
    await qemuImg(['create', '-q', '-f', 'qcow2', original, '10M']);
    await qemuIo(original, ['write -P 1 0 256k']);
    await qemuImg(['snapshot', '-c', 'one', original]);
    await qemuIo(original, ['write -P 2 1M 64k']);
  });

  function damaged(damage: Damage): void {
    const anatomy = new Anatomy(readFileSync(original));
    damage(anatomy);
    writeFileSync(path, anatomy.bytes);
  }

  describe.each(Object.entries(damages))('with %s', (name, damage) => {
    test.each([
      ['leaks', 'human'],
      ['leaks', 'json'],
      ['all', 'human'],
      ['all', 'json'],
    ])('%s, %s', async (what, output) => {
      const args = ['check', '-r', what, `--output=${output}`, path];
      damaged(damage);
      const theirs = await runPeer('qemu-img', args);
      damaged(damage);
      const ours = await imgHere(args);
      expect({ code: ours.code, stdout: ours.stdout }).toEqual({ code: theirs.code, stdout: theirs.stdout });
      if (!otherWords.has(name)) expect(linesOf(ours.stderr)).toEqual(linesOf(theirs.stderr));
    });
  });

  test.each(Object.entries(damages))('keeps what the disk holds, with %s', async (_name, damage) => {
    damaged(damage);
    const before = await content();
    const { code } = await imgHere(['check', '-q', '-r', 'all', path]);
    expect(await content()).toEqual(before);
    expect((await runPeer('qemu-img', ['check', '-q', path])).code).toBe(code);
  });

  /** Digests of the disk and of its snapshot; undefined where it cannot be read. */
  async function content(): Promise<(string | undefined)[]> {
    const parts: (string | undefined)[] = [];
    for (const which of [[], ['-l', 'one']]) {
      const raw = join(folder, 'content.raw');
      const { code } = await runPeer('qemu-img', ['convert', '-U', ...which, '-O', 'raw', path, raw]);
      parts.push(code === 0 ? createHash('sha1').update(readFileSync(raw)).digest('hex') : undefined);
    }
    return parts;
  }

  test('says each count that was changed', async () => {
    damaged(damages['counts too low and too high'] ?? (() => undefined));
    const { stderr } = await imgHere(['check', '-r', 'all', path]);
    expect(stderr).toContain(
      '\nRepairing cluster 6 refcount=5 reference=2\nRepairing cluster 7 refcount=1 reference=2\n',
    );
  });

  test('gives up extra data and snapshots that are too much, and says so', async () => {
    const file = join(tempDir(), 'snapshots.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', file, '64M']);
    for (const name of ['one', 'two']) await qemuImg(['snapshot', '-c', name, file]);
    const bytes = readFileSync(file);
    const table = Number(bytes.readBigUInt64BE(64));
    const [idLength, nameLength, extra] = [bytes.readUInt16BE(table + 12), bytes.readUInt16BE(table + 14), table + 36];
    const second = table + 40 + Math.ceil((bytes.readUInt32BE(extra) + idLength + nameLength) / 8) * 8;
    // The extra data of the second one reaches past the end of the file, its id and name with it.
    bytes.writeUInt32BE(65536, second + 36);
    writeFileSync(file, bytes);
    const advice = 'You can force-remove this extra metadata with img check -r all';
    const refused = await imgHere(['info', file]);
    expect(refused.code).toBe(1);
    expect(refused.stderr.split('\n').slice(1)).toEqual([advice, '']);
    const checked = await imgHere(['check', file]);
    expect(checked).toMatchObject({ code: 1, stdout: '' });
    expect(checked.stderr.split('\n').slice(1)).toEqual([advice, 'img: Check failed', '']);
    const repaired = await imgHere(['check', '-r', 'all', file]);
    expect(repaired.code).toBe(0);
    expect(repaired.stderr).toContain('Discarding too much extra metadata in snapshot table entry 1 (65536 > 1024)\n');
    expect(await qemuImgCheck(file)).toMatchObject({ code: 0 });
    expect(JSON.parse((await imgHere(['info', '--output=json', file])).stdout)).toMatchObject({
      snapshots: [{ name: 'one' }, { name: '' }],
    });
  });

  test('needs -r all to rebuild the counts', async () => {
    damaged(damages['no refcount block'] ?? (() => undefined));
    const before = readFileSync(path);
    const leaks = await imgHere(['check', '-r', 'leaks', path]);
    expect(leaks).toMatchObject({ code: 1, stdout: '' });
    expect(leaks.stderr).toMatch(
      /have to be rebuilt to repair anything \(Use img check -r all\)\nimg: Check failed\n$/,
    );
    expect(readFileSync(path).equals(before)).toBe(true);
    expect((await imgHere(['check', '-r', 'all', path])).code).toBe(0);
  });

  describe('--dry-run', () => {
    test('is about a repair', async () => {
      expect(await imgHere(['check', '--dry-run', path])).toMatchObject({ code: 1, stdout: '' });
    });

    test('says nothing of a repair that is not needed', async () => {
      damaged(() => undefined);
      for (const output of ['human', 'json']) {
        const args = ['check', `--output=${output}`, path];
        expect(await imgHere([...args, '-r', 'all', '--dry-run'])).toEqual(await imgHere(args));
      }
    });

    test.each(Object.entries(damages))(
      'changes nothing, and says what a repair then does, with %s',
      async (_name, damage) => {
        damaged(damage);
        const before = readFileSync(path);
        const check = JSON.parse((await imgHere(['check', '--output=json', path])).stdout);
        const dry = await imgHere(['check', '-r', 'all', '--dry-run', '--output=json', path]);
        expect(readFileSync(path).equals(before)).toBe(true);
        expect(dry.code).toBe((await imgHere(['check', '-q', path])).code);
        const { 'corruptions-repairable': corruptions, 'leaks-repairable': leaks, ...report } = JSON.parse(dry.stdout);
        expect(report).toEqual(check);
        const repaired = JSON.parse((await imgHere(['check', '-r', 'all', '--output=json', path])).stdout);
        expect({ corruptions, leaks }).toEqual({
          corruptions: repaired['corruptions-fixed'],
          leaks: repaired['leaks-fixed'],
        });
      },
    );

    test('puts it into words', async () => {
      damaged(damages['counts too high'] ?? (() => undefined));
      const { stdout, stderr, code } = await imgHere(['check', '-r', 'leaks', '--dry-run', path]);
      expect(code).toBe(3);
      expect(stderr).toBe('Leaked cluster 6 refcount=5 reference=2\nWould repair cluster 6 refcount=5 reference=2\n');
      expect(stdout).toMatch(
        /^The following inconsistencies would be repaired:\n\n {4}1 leaked clusters\n {4}0 corruptions\n/,
      );
      expect(stdout).toContain('Nothing has been changed; this is the image as it is:\n\n1 leaked clusters were found');
    });
  });
});

describe.skipIf(peersFor('qemu-img').missing)('counts of 64 bits', () => {
  test('are said to the last digit', async () => {
    const path = join(tempDirForSuite(), 'wide.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', '-o', 'refcount_bits=64', path, '1M']);
    const anatomy = new Anatomy(readFileSync(path));
    anatomy.set(anatomy.block() + 3 * 8, 2n ** 63n + 12_345n);
    writeFileSync(path, anatomy.bytes);
    const line = 'cluster 3 refcount=9223372036854788153 reference=1\n';
    expect((await runPeer('qemu-img', ['check', path])).stderr).toContain(line);
    expect(await imgHere(['check', path])).toMatchObject({ code: 3, stderr: `Leaked ${line}` });
    expect(await imgHere(['check', '-r', 'all', path])).toMatchObject({
      code: 0,
      stderr: `Leaked ${line}Repairing ${line}`,
    });
    expect((await runPeer('qemu-img', ['check', path])).code).toBe(0);
  });
});
