/** Images that lie: opened, checked and read, each ends in a result or one line, soon and in little memory. */
import fs from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { openNode } from '../../../src/core/block/graph/open.ts';
import { Perm } from '../../../src/core/block/permissions-bits.ts';
import { BlockError } from '../../../src/core/errors/block-error.ts';
import { peersFor, qemuImg, qemuIo } from '../../support/peers.ts';
import { tempDirForSuite } from '../../support/temp.ts';
import { Anatomy, BIT, plainImage, subclusterImage } from './support/damage.ts';
import { newGraph } from './support/host-edge.ts';

const MiB = 1024 * 1024;
/** Of the processors, in milliseconds. */
const MAX_MS = 10_000;
const MAX_GROWTH = 256 * MiB;

/** Open, check, and read the first 4 MiB; the errors on the way. */
async function use(path: string, how: 'read' | 'write'): Promise<unknown[]> {
  const graph = newGraph();
  const errors: unknown[] = [];
  const spec = { driver: 'qcow2', file: { driver: 'file', filename: path } };
  try {
    const node = await openNode(graph, spec, { modes: { readOnly: how === 'read' }, noBacking: true });
    const parent = { kind: 'backend' as const, describe: () => 'a test' };
    const perm = Perm.CONSISTENT_READ | (how === 'write' ? Perm.WRITE : 0);
    const edge = graph.attach({ parent, node, name: 'root', role: 'filtered' }, { perm, shared: Perm.ALL });
    const attempts: (() => unknown)[] = [
      () => node.image.info?.(),
      () => node.image.check?.run({ repair: 'none', report: () => undefined }),
      ...Array.from({ length: 64 }, (_, index) => () => edge.read(index * 65536, new Uint8Array(65536))),
      ...(how === 'write' ? [() => edge.write(70000, new Uint8Array(3000).fill(1)), () => edge.flush()] : []),
    ];
    for (const attempt of attempts) {
      try {
        await attempt();
      } catch (error) {
        errors.push(error);
      }
    }
    await graph.detach(edge);
  } catch (error) {
    errors.push(error);
  }
  return errors;
}

async function expectTame(path: string, how: 'read' | 'write' = 'read'): Promise<unknown[]> {
  const before = process.memoryUsage().rss;
  const begin = process.cpuUsage();
  const errors = await use(path, how);
  // What others do with the processors does not count.
  const { user, system } = process.cpuUsage(begin);
  expect((user + system) / 1000).toBeLessThan(MAX_MS);
  expect(process.memoryUsage().rss - before).toBeLessThan(MAX_GROWTH);
  for (const error of errors) {
    expect(error).toBeInstanceOf(BlockError);
    expect((error as BlockError).message).toMatch(/^[^\n]+[^\n.]$/);
  }
  return errors;
}

type Lie = (image: Anatomy) => void;
const u32 =
  (at: number, value: number): Lie =>
  (it) =>
    it.view.setUint32(at, value);
const u64 =
  (at: number, value: bigint): Lie =>
  (it) =>
    it.set(at, value);

/** Lies for which there must be an error at open. */
const refused: Readonly<Record<string, Lie>> = {
  ...Object.fromEntries([0, 8, 22, 31, 64, 0xffffffff].map((bits) => [`cluster_bits ${bits}`, u32(20, bits)])),
  'l1_size 0x7fffffff': u32(36, 0x7fffffff),
  'l1_size too small': u32(36, 0),
  'size 2^63': u64(24, BIT(63)),
  'size 2^53': u64(24, BIT(53)),
  'l1_table_offset past the end': u64(40, BIT(45)),
  'l1_table_offset not aligned': u64(40, 513n),
  'l1_table_offset 2^63': u64(40, BIT(63)),
  'l1_table_offset 0': u64(40, 0n),
  'refcount_table_clusters 0x7fffffff': u32(56, 0x7fffffff),
  'refcount_table_clusters 0xffffffff': u32(56, 0xffffffff),
  'refcount_table_offset not aligned': u64(48, 77n),
  'refcount_order 7': u32(96, 7),
  'header_length 96': u32(100, 96),
  'header_length odd': u32(100, 105),
  'header_length huge': u32(100, 0xfffffff8),
  'extension length huge': u32(116, 0xffffffff),
  'extension past the first cluster': u32(116, 70000),
  'backing name too long': (it) => {
    it.set(8, 300);
    it.view.setUint32(16, 1024);
  },
  'backing name outside of the first cluster': (it) => {
    it.set(8, 60000);
    it.view.setUint32(16, 1000);
  },
  'unknown incompatible bits': u64(72, BIT(40) | BIT(7)),
  'data file bit without data file': u64(72, 4n),
  'compression type without its bit': (it) => it.view.setUint8(104, 1),
  'nb_snapshots huge': u32(60, 0xffffffff),
  'snapshots_offset not aligned': (it) => {
    it.view.setUint32(60, 1);
    it.set(64, 513n);
  },
  'snapshots_offset past the end': (it) => {
    it.view.setUint32(60, 1);
    it.set(64, BIT(50));
  },
  'version 4': u32(4, 4),
};

/** Lies that may be found at once, on reading, or by the check only. */
const tamed: Readonly<Record<string, Lie>> = {
  'l1 over the header': u64(40, 0x10000n),
  'refcount table over the L1 table': (it) => it.set(48, it.l1),
  'all L2 pointers alike': (it) => {
    for (let index = 0; index < it.header.l1Size; index++) it.set(it.l1 + index * 8, BIT(63) | BigInt(it.l2()));
  },
  'L2 tables that are the header': (it) => it.bytes.fill(0x80, it.l1, it.l1 + 8),
  'every entry somewhere else': (it) => {
    const table = it.l2();
    for (let at = table; at < table + it.geometry.clusterSize; at += 8)
      it.set(at, (BigInt(at) * 0x9e3779b97f4a7c15n) & ((1n << 64n) - 1n));
  },
  'refcount blocks scattered': (it) => {
    const start = it.header.refcountTableOffset;
    for (let at = start; at < start + it.geometry.clusterSize; at += 8)
      it.set(at, (BigInt(at) * 0x10001000n) & ~0x1ffn);
  },
  'one refcount block for all': (it) => {
    const start = it.header.refcountTableOffset;
    for (let at = start; at < start + it.geometry.clusterSize; at += 8) it.set(at, it.block());
  },
  'compressed cluster past the end': (it) => it.patch(it.compressed(), (entry) => entry | BIT(40)),
  'compressed cluster in the header': (it) => it.patch(it.compressed(), () => BIT(62)),
  'compressed cluster of all sectors': (it) => it.patch(it.compressed(), (entry) => entry | (BIT(62) - BIT(57))),
  'compressed noise': (it) => it.bytes.fill(0xff, Number(it.view.getBigUint64(it.compressed()) & 0xffffffn)),
  'corrupt and dirty': u64(72, 3n),
};

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing)('a hostile image', () => {
  const folder = tempDirForSuite();
  const path = join(folder, 'hostile.qcow2');
  let plain = Buffer.alloc(0);
  let large = Buffer.alloc(0);

  beforeAll(async () => {
    plain = fs.readFileSync(await plainImage(folder));
    const name = join(folder, 'large.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', name, '10G']);
    await qemuIo(name, ['write -P 5 0 200k', 'write -c -P 6 1M 64k', 'write -P 5 3G 100k']);
    large = fs.readFileSync(name);
  });

  function lie(bytes: Buffer, change: Lie): void {
    const anatomy = new Anatomy(Buffer.from(bytes));
    change(anatomy);
    fs.writeFileSync(path, anatomy.bytes);
  }

  test.each(Object.entries(refused))('with %s is refused', async (_name, change) => {
    lie(large, change);
    expect((await expectTame(path)).length).toBeGreaterThan(0);
  });

  test.each(Object.entries(tamed))('with %s is tame', async (_name, change) => {
    lie(large, change);
    await expectTame(path);
    lie(large, change);
    await expectTame(path, 'write');
  });

  test('in a file of 15 TiB of holes is checked at once', async () => {
    lie(large, (it) => {
      const table = it.l2();
      for (let at = table; at < table + it.geometry.clusterSize; at += 8)
        it.set(at, BIT(63) | (BigInt(at - table) << 23n));
    });
    const size = 15 * 2 ** 40;
    fs.truncateSync(path, fs.statSync(path).size);
    try {
      fs.truncateSync(path, size);
    } catch {
      return; // this filesystem has no such files
    }
    await expectTame(path);
    fs.truncateSync(path, 0);
  });

  test('with subclusters both allocated and zero is refused on reading', async () => {
    const bytes = fs.readFileSync(await subclusterImage(folder));
    lie(bytes, (it) => it.patch(it.data() + 8, (bits) => bits | 0xffffffff00000000n));
    expect((await expectTame(path)).length).toBeGreaterThan(0);
  });

  test('cut off anywhere is tame', async () => {
    const { geometry, header } = new Anatomy(plain);
    const lengths = Array.from({ length: header.headerLength + 8 }, (_, length) => length);
    for (let at = geometry.clusterSize; at < plain.length; at += geometry.clusterSize)
      lengths.push(at, at - 1, at + 513);
    const begin = performance.now();
    for (const length of lengths) {
      if (performance.now() - begin > 15_000) break;
      fs.writeFileSync(path, plain.subarray(0, length));
      const errors = await expectTame(path);
      if (length < header.headerLength) expect(errors.length).toBeGreaterThan(0);
    }
  });

  test('with any bit of its header flipped is tame', async () => {
    for (let bit = 64; bit < 112 * 8; bit++) {
      lie(plain, (it) => {
        it.bytes[bit >> 3] = (it.bytes[bit >> 3] ?? 0) ^ (0x80 >> (bit & 7));
      });
      await expectTame(path);
    }
  });
});
