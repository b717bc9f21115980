/** Images that were not closed cleanly: opening them for writing puts their counts right. */
import fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openNode } from '../../../src/core/block/graph/open.ts';
import type { NodeSpec } from '../../../src/core/block/graph/spec.ts';
import { Perm } from '../../../src/core/block/permissions-bits.ts';
import { peersFor, qemuImg, qemuImgCheck, qemuImgSame, qemuIo, runPeer } from '../../support/peers.ts';
import { tempDir } from '../../support/temp.ts';
import { checkFile } from './support/check-file.ts';
import { Anatomy, BIT } from './support/damage.ts';
import { newGraph } from './support/host-edge.ts';

const DIRTY = 1n;

/** Open for writing and close again; what was said meanwhile. */
async function openForWriting(path: string, spec: NodeSpec = plain(path)): Promise<string[]> {
  const warnings: string[] = [];
  const graph = newGraph((line) => warnings.push(line));
  const node = await openNode(graph, spec, { modes: { readOnly: false } });
  const parent = { kind: 'backend' as const, describe: () => 'a test' };
  const edge = graph.attach(
    { parent, node, name: 'root', role: 'filtered' },
    { perm: Perm.CONSISTENT_READ | Perm.WRITE, shared: Perm.ALL },
  );
  await graph.detach(edge);
  return warnings;
}

function plain(path: string): NodeSpec {
  return { driver: 'qcow2', file: { driver: 'file', filename: path } };
}

type Damage = (image: Anatomy) => void;

/** What a crash, or something worse, can do to the counts. */
const damages: Readonly<Record<string, Damage>> = {
  'no damage': () => undefined,
  'all counts lost': (it) => it.bytes.fill(0, it.block(), it.block() + it.geometry.clusterSize),
  'some counts lost': (it) => it.bytes.fill(0, it.block() + 8, it.block() + 64),
  'counts too high': (it) => it.bytes.fill(0xff, it.block() + 8, it.block() + 64),
  'leaks past all that is used': (it) =>
    it.bytes.fill(0x55, it.block() + it.geometry.clusterSize / 2, it.block() + it.geometry.clusterSize),
  'no block': (it) => it.set(it.header.refcountTableOffset, 0),
  'a block that is not aligned': (it) => it.patch(it.header.refcountTableOffset, (entry) => entry + 512n),
  'a block past the end': (it) => it.patch(it.header.refcountTableOffset, (entry) => entry | BIT(40)),
  'a block used as data': (it) => it.set(it.header.refcountTableOffset, it.view.getBigUint64(it.data()) & ~BIT(63)),
  'a table past the end': (it) => it.set(48, 2n ** 40n),
  'wrong copied flags': (it) => {
    it.patch(it.data(), (entry) => entry ^ BIT(63));
    it.patch(it.l1, (entry) => entry ^ BIT(63));
  },
};

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing)('repair of a dirty image', () => {
  for (const bits of [1, 16, 64]) {
    test.each(Object.entries(damages))(`with counts of ${bits} bits and %s`, async (_name, damage) => {
      const folder = tempDir();
      const path = join(folder, 'dirty.qcow2');
      const good = join(folder, 'good.qcow2');
      await qemuImg([
        'create',
        '-q',
        '-f',
        'qcow2',
        '-o',
        `cluster_size=4k,lazy_refcounts=on,refcount_bits=${bits}`,
        path,
        '8M',
      ]);
      await qemuIo(path, ['write -P 1 0 300k', 'write -P 2 3M 5k', 'write -z 4M 64k', 'discard 100k 40k']);
      if (bits > 1) {
        await qemuImg(['snapshot', '-c', 'before', path]);
        await qemuIo(path, ['write -P 3 20k 30k']);
      }
      fs.copyFileSync(path, good);
      const anatomy = new Anatomy(fs.readFileSync(path));
      damage(anatomy);
      anatomy.patch(72, (incompatible) => incompatible | DIRTY);
      fs.writeFileSync(path, anatomy.bytes);

      await openForWriting(path);
      expect(await qemuImgCheck(path)).toMatchObject({ code: 0 });
      expect((await checkFile(path)).lines).toEqual([]);
      expect(fs.readFileSync(path).readBigUint64BE(72) & DIRTY).toBe(0n);
      expect(await qemuImgSame(path, good)).toBe(true);
    });
  }

  /** An image whose counts were never written, as `pieces` were. */
  async function crashed(...pieces: string[]): Promise<string> {
    const path = join(tempDir(), 'crashed.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', '-o', 'lazy_refcounts=on', path, '1G']);
    const commands = [...pieces, 'flush', 'abort'].flatMap((command) => ['-c', command]);
    await runPeer('qemu-io', [...commands, path]);
    expect(fs.readFileSync(path).readBigUint64BE(72) & DIRTY).toBe(DIRTY);
    return path;
  }

  test('after a crash of another program, telling the same as that', async () => {
    const path = await crashed('write -P 7 0 1M', 'write -P 7 700M 1M');
    fs.copyFileSync(path, `${path}.copy`);
    const lines = await openForWriting(path);
    const peer = await runPeer('qemu-io', ['-c', 'close', `${path}.copy`]);
    expect(lines).toEqual(peer.stderr.trim().split('\n'));
    expect(lines.length).toBeGreaterThan(16);
    expect(await qemuImgCheck(path)).toMatchObject({ code: 0 });
    await qemuIo(path, ['read -P 7 0 1M', 'read -P 7 700M 1M']);
    expect(await openForWriting(path)).toEqual([]);
  });

  test('tells no end of lines', async () => {
    const path = await crashed('write -P 7 0 16M');
    const lines = await openForWriting(path);
    expect(lines).toHaveLength(101);
    expect(lines.at(-1)).toMatch(/^\d+ more such lines about '.*crashed\.qcow2' are left out$/);
    expect(await qemuImgCheck(path)).toMatchObject({ code: 0 });
  });

  test('has the old blocks overwritten where there is no room for new ones', async () => {
    const path = await crashed('write -P 7 0 1M');
    const full = [{ event: 'none', iotype: 'write', errno: 'ENOSPC', once: true }];
    const before = fs.readFileSync(path).readBigUint64BE(48);
    await openForWriting(path, {
      driver: 'qcow2',
      file: { driver: 'blkdebug', image: { driver: 'file', filename: path }, 'inject-error': full },
    });
    expect(fs.readFileSync(path).readBigUint64BE(72) & DIRTY).toBe(0n);
    expect(fs.readFileSync(path).readBigUint64BE(48)).toBe(before);
    expect(await qemuImgCheck(path)).toMatchObject({ code: 0 });
    await qemuIo(path, ['read -P 7 0 1M']);
  });

  test('refuses damage beyond the counts and changes nothing', async () => {
    const path = join(tempDir(), 'broken.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', '-o', 'lazy_refcounts=on', path, '1G']);
    await qemuIo(path, ['write -P 7 0 5M']);
    const anatomy = new Anatomy(fs.readFileSync(path));
    anatomy.patch(anatomy.data(), (entry) => entry | BIT(57));
    anatomy.patch(72, (incompatible) => incompatible | DIRTY);
    fs.writeFileSync(path, anatomy.bytes);
    await expect(openForWriting(path)).rejects.toThrow(/not closed cleanly, and 1 errors? in it/);
    expect(fs.readFileSync(path).equals(anatomy.bytes)).toBe(true);
  });
});
