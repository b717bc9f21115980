/** `img check -r all` killed at any moment: the image reads as before, and the next repair puts it right. */
import fs from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { Anatomy, BIT } from '../drivers/qcow2/support/damage.ts';
import { img } from '../support/cli.ts';
import { killedAt } from '../support/killed.ts';
import { peersFor, qemuImg, qemuImgCheck, qemuIo, runPeer } from '../support/peers.ts';
import { Random } from '../support/random.ts';
import { tempDirForSuite } from '../support/temp.ts';

const ROUNDS = 12 * Number(process.env.BLOCKYARD_ROUNDS ?? 1);

type Damage = (it: Anatomy) => void;

const block = (it: Anatomy, index: number, value: number): Buffer =>
  it.bytes.fill(value, it.block(index), it.block(index) + it.geometry.clusterSize);

/** Each has a repair of another kind to do. */
const damages: Readonly<Record<string, Damage>> = {
  'counts lost': (it) => {
    for (let index = 0; index < 4; index++) block(it, index, 0);
  },
  'no refcount blocks': (it) => it.bytes.fill(0, it.header.refcountTableOffset, it.header.refcountTableOffset + 64),
  'counts too high': (it) => {
    for (let index = 1; index < 4; index++) block(it, index, 2);
  },
  'entries and flags': (it) => {
    it.patch(it.l1, (entry) => entry ^ BIT(63));
    for (let index = 0; index < 4; index++) it.patch(it.l2(index), (entry) => entry ^ BIT(57));
    for (let index = 4; index < 8; index++) it.patch(it.l2(index), (entry) => entry ^ BIT(63));
  },
};

describe.skipIf(peersFor('qemu-img', 'qemu-io', 'strace').missing)('img check -r all', () => {
  const folder = tempDirForSuite();
  const victim = join(folder, 'victim.qcow2');
  const raw = join(folder, 'content.raw');
  let image: Buffer = Buffer.alloc(0);

  beforeAll(async () => {
    const path = join(folder, 'image.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', '-o', 'cluster_size=1k', path, '4M']);
    await qemuIo(path, ['write -P 1 0 2M', 'write -P 2 3M 64k', 'write -c -P 5 3584k 8k']);
    await qemuImg(['snapshot', '-c', 'one', path]);
    await qemuIo(path, ['write -P 3 20k 30k', 'write -z 320k 16k']);
    await qemuImg(['convert', '-O', 'raw', path, raw]);
    image = fs.readFileSync(path);
  });

  function damage(random: Random): string {
    const [name, change] = random.pick(Object.entries(damages));
    const anatomy = new Anatomy(Buffer.from(image));
    change(anatomy);
    fs.writeFileSync(victim, anatomy.bytes);
    return name;
  }

  test(
    `killed at ${ROUNDS} moments leaves the image readable and repairable`,
    async () => {
      const random = new Random(ROUNDS);
      let broken = 0;
      for (let round = 0; round < ROUNDS; round++) {
        const name = damage(random);
        const change = random.between(1, 12);
        if (await killedAt(change, ['img', 'check', '-r', 'all', victim])) broken++;
        const what = `round ${round}: ${name}, killed at change ${change}`;
        expect((await runPeer('qemu-img', ['compare', '-U', victim, raw])).code, what).toBe(0);
        const { code, stderr } = await img(['check', '-q', '-r', 'all', victim]);
        expect(code, `${what}: ${stderr}`).toBe(0);
        expect((await qemuImgCheck(victim)).code, what).toBe(0);
        expect((await runPeer('qemu-img', ['compare', victim, raw])).code, what).toBe(0);
      }
      expect(broken).toBeGreaterThan(0);
    },
    ROUNDS * 20_000,
  );
});
