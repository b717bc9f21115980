/** quorum: votes over content and errors, repair, first-in-line reading. */
import { describe, expect, test } from 'vitest';
import { Flag } from '../../../src/core/block/driver.ts';
import { displayName } from '../../../src/core/block/graph/file-name.ts';
import { specFromFileName, specFromOptions } from '../../../src/core/block/graph/spec.ts';
import { BlockError } from '../../../src/core/errors/block-error.ts';
import { driversWith, openDisk, readDisk } from '../../support/disk.ts';
import { MemoryDisk, type MemoryOperation, type MemorySettings, memoryEntry } from '../../support/memory-driver.ts';

const K = 1024;
const SIZE = 64 * K;

interface Setup {
  readonly options?: Record<string, unknown>;
  readonly children?: number;
  readonly align?: number;
  /** Granularity of zeroing in bytes. */
  readonly unit?: number;
  /** What a child has beside read, write and flush. */
  readonly has?: (child: number) => MemorySettings['has'];
  /** Does the operation fail on this child. */
  readonly fails?: (child: number, operation: MemoryOperation) => string | undefined;
}

async function open({ options = {}, children = 3, align, unit, has, fails }: Setup = {}) {
  const disks = Array.from(
    { length: children },
    (_, child) =>
      new MemoryDisk({
        size: SIZE,
        limits: { requestAlignment: align ?? 1, ...(unit === undefined ? {} : { zeroAlignment: unit }) },
        ...(has ? { has: has(child) ?? [] } : {}),
        on(operation) {
          const code = fails?.(child, operation);
          if (code !== undefined) throw new BlockError(`child ${child} fails`, { code: code as 'EIO' });
        },
      }),
  );
  const warnings: string[] = [];
  const entry = memoryEntry(new Map(disks.map((disk, child) => [String(child), disk])));
  const disk = await openDisk(
    {
      driver: 'quorum',
      'node-name': 'q',
      'vote-threshold': 2,
      children: disks.map((_, child) => ({ driver: 'memory', disk: String(child), 'node-name': `c${child}` })),
      ...options,
    },
    { writable: true, extraDrivers: [entry], warn: (message) => warnings.push(message) },
  );
  return { disk, disks, warnings, entry };
}

describe('quorum', () => {
  test('writes to all children and reads what enough of them have', async () => {
    const { disk, disks, warnings } = await open();
    await disk.write(0, Buffer.alloc(4 * K, 1));
    await disk.zero(K, K);
    await disk.flush();
    expect(disks.every(({ data, counts }) => data[0] === 1 && data[K] === 0 && counts.flush === 1)).toBe(true);
    disks[0]?.data.fill(9, 100, 200);
    expect((await readDisk(disk, 0, 512)).every((byte) => byte === 1)).toBe(true);
    expect(warnings).toEqual([
      "quorum 'q': child 'c0' is bad, reading 512 bytes at 0: its content differs from that of the others",
    ]);
    expect(disks[0]?.data[100]).toBe(9);
    await disk.close();
  });

  test('takes the last version of several with the same number of votes, and puts that in place of the others', async () => {
    const { disk, disks } = await open({ options: { 'vote-threshold': 1, 'rewrite-corrupted': true } });
    for (const [child, memory] of disks.entries()) memory.data[7] = child + 1;
    expect((await readDisk(disk, 0, 512))[7]).toBe(3);
    expect(disks.map(({ data }) => data[7])).toEqual([3, 3, 3]);
    await disk.close();
  });

  test('fails when too few agree', async () => {
    const { disk, disks } = await open();
    for (const [child, memory] of disks.entries()) memory.data[7] = child + 1;
    await expect(readDisk(disk, 0, 512)).rejects.toThrow(
      "quorum 'q': reading 512 bytes at 0: only 1 children agree, and 2 have to",
    );
    expect((await readDisk(disk, 512, 512))[0]).toBe(0);
    await disk.close();
  });

  test('puts right what was outvoted', async () => {
    const { disk, disks } = await open({ options: { 'rewrite-corrupted': true } });
    await disk.write(0, Buffer.alloc(K, 1));
    for (const child of [0, 2]) {
      disks[child]?.data.fill(9, 100, 200);
      expect((await readDisk(disk, 0, K)).every((byte) => byte === 1)).toBe(true);
      expect(disks[child]?.data[150]).toBe(1);
    }
    await disk.close();
  });

  test('repairs by reads beside unaligned writes, where blocks are large', async () => {
    const { disk, disks } = await open({ options: { 'rewrite-corrupted': true }, align: 4 * K });
    await disk.write(0, Buffer.alloc(8 * K, 1));
    disks[2]?.data.fill(9, 100, 200);
    await Promise.all([
      disk.write(K, Buffer.alloc(10, 2)),
      readDisk(disk, 0, 4 * K),
      disk.write(3 * K, Buffer.alloc(K, 3)),
    ]);
    await readDisk(disk, 0, 4 * K);
    for (const { data } of disks)
      expect([data[0], data[150], data[K], data[K + 10], data[3 * K]]).toEqual([1, 1, 2, 1, 3]);
    await disk.close();
  });

  test.each([
    ['none can', () => [], 'ENOTSUP'],
    ['all can', () => ['zero'] as const, 'ok'],
    ['one cannot', (child: number) => (child === 1 ? [] : (['zero'] as const)), 'ok'],
  ] as const)('keeps its children alike when %s have zeroes but by writing', async (_, has, result) => {
    const { disk, disks, warnings } = await open({ options: { 'vote-threshold': 1 }, has });
    await disk.write(0, Buffer.alloc(4 * K, 1));
    const found = await Promise.resolve(disk.zero(K, K, Flag.NO_FALLBACK)).then(
      () => 'ok',
      ({ code }: BlockError) => code,
    );
    expect(found).toBe(result);
    const byte = result === 'ok' ? 0 : 1;
    expect(disks.map(({ data }) => [data[K - 1], data[K], data[2 * K - 1]])).toEqual(Array(3).fill([1, byte, byte]));
    expect(warnings).toEqual([]);
    await disk.close();
  });

  test('does not begin to zero parts of units without writing, which some children might do', async () => {
    const { disk, disks } = await open({ unit: 4 * K });
    await disk.write(0, Buffer.alloc(16 * K, 1));
    await expect(disk.zero(K, 8 * K, Flag.NO_FALLBACK)).rejects.toMatchObject({ code: 'ENOTSUP' });
    expect(disks.every(({ counts }) => counts.zero === 0)).toBe(true);
    await disk.zero(4 * K, 8 * K, Flag.NO_FALLBACK);
    expect(disks.every(({ data }) => data[4 * K - 1] === 1 && data[4 * K] === 0 && data[12 * K] === 1)).toBe(true);
    await disk.close();
  });

  test('says ten times of a child that it is bad, and reports it each time', async () => {
    const { disk, disks, warnings } = await open();
    disks[2]?.data.fill(9);
    for (let n = 0; n < 12; n++) await readDisk(disk, n * 512, 512);
    expect(warnings).toHaveLength(10);
    expect(warnings.at(-1)).toMatch(/child 'c2' is bad, reading 512 bytes at 4608: .*; no more is said of this child$/);
    await disk.close();
  });

  test('gives all children the new length or none', async () => {
    let broken = false;
    const { disk, disks, entry } = await open({
      fails: (child, operation) => (broken && child === 1 && operation === 'truncate' ? 'ENOSPC' : undefined),
    });
    await disk.truncate(2 * SIZE);
    expect([disk.size, ...disks.map(({ size }) => size)]).toEqual([2 * SIZE, 2 * SIZE, 2 * SIZE, 2 * SIZE]);
    broken = true;
    await expect(disk.truncate(3 * SIZE)).rejects.toMatchObject({ code: 'ENOSPC' });
    expect([disk.size, ...disks.map(({ size }) => size)]).toEqual([2 * SIZE, 2 * SIZE, 2 * SIZE, 2 * SIZE]);
    const name = displayName(disk.image);
    await disk.close();
    await (await openDisk(specFromFileName(driversWith([entry]), name), { extraDrivers: [entry] })).close();
  });

  test('carries on while enough children work, then gives the error of most', async () => {
    let broken: Record<number, string> = {};
    const { disk, warnings } = await open({
      fails: (child, operation) => (operation === 'write' || operation === 'read' ? broken[child] : undefined),
    });
    broken = { 1: 'ENOSPC' };
    await disk.write(0, Buffer.alloc(512, 1));
    expect((await readDisk(disk, 0, 512))[0]).toBe(1);
    expect(warnings).toEqual([
      "quorum 'q': child 'c1' is bad, writing 512 bytes at 0: child 1 fails",
      "quorum 'q': child 'c1' is bad, reading 512 bytes at 0: child 1 fails",
    ]);
    broken = { 0: 'EIO', 1: 'ENOSPC', 2: 'ENOSPC' };
    await expect(async () => disk.write(0, Buffer.alloc(512))).rejects.toMatchObject({ code: 'ENOSPC' });
    broken = {};
    await disk.close();
  });

  test('reads the first child that can be read, without a vote', async () => {
    const { disk, disks } = await open({
      options: { 'read-pattern': 'fifo' },
      fails: (child, operation) => (child === 0 && operation === 'read' ? 'EIO' : undefined),
    });
    await disk.write(0, Buffer.alloc(512, 1));
    disks[1]?.data.fill(5);
    expect((await readDisk(disk, 0, 512))[0]).toBe(5);
    expect(disks[2]?.counts.read).toBe(0);
    await disk.close();
  });

  test('of two that must not differ names the first byte that does', async () => {
    const { disk, disks } = await open({ options: { blkverify: true }, children: 2 });
    if (disks[1]) disks[1].data[777] = 1;
    await expect(readDisk(disk, 512, 512)).rejects.toThrow("quorum 'q': contents differ at offset 777");
    await disk.close();
  });

  test('says of a range that it is zero when all children do', async () => {
    const { disk, disks } = await open();
    expect(await disk.chainStatus(0, SIZE)).toMatchObject({ length: SIZE, zero: true, data: false });
    disks[2]?.blocks.add(8);
    expect(await disk.chainStatus(0, SIZE)).toMatchObject({ length: 4 * K, zero: true });
    expect(await disk.chainStatus(4 * K, SIZE)).toMatchObject({ length: 512, zero: false, data: true });
    await disk.close();
  });

  test('has a name that opens it again', async () => {
    const { disk, entry } = await open();
    const name = displayName(disk.image);
    await disk.close();
    expect(name).toBe(
      'json:{"driver": "quorum", "vote-threshold": 2, "children": [{"driver": "memory", "disk": "0"}, ' +
        '{"driver": "memory", "disk": "1"}, {"driver": "memory", "disk": "2"}]}',
    );
    const again = await openDisk(specFromFileName(driversWith([entry]), name), { extraDrivers: [entry] });
    expect(again.size).toBe(SIZE);
    await again.close();
  });

  const two = 'children.0.driver=null-co,children.1.driver=null-co';
  test.each([
    [`vote-threshold=3,${two}`, 'vote-threshold 3 is more than there are children (2)'],
    [`vote-threshold=0,${two}`, "option 'vote-threshold' of driver 'quorum' must be at least 1, not 0"],
    [two, "driver 'quorum' needs the option 'vote-threshold'"],
    ['vote-threshold=1', "driver 'quorum' needs the option 'children'"],
    [`vote-threshold=1,blkverify=on,${two}`, 'blkverify=on needs two children and vote-threshold=2, not 2 and 1'],
    [`vote-threshold=2,blkverify=on,read-pattern=fifo,${two}`, 'blkverify=on needs read-pattern=quorum'],
    [`vote-threshold=2,rewrite-corrupted=on,read-pattern=fifo,${two}`, 'cannot be combined with read-pattern=fifo'],
    [`vote-threshold=1,${two},children.1.size=1M`, 'must be of one size, not 1073741824 and 1048576 bytes'],
  ])('refuses %s', async (text, message) => {
    await expect(openDisk(specFromOptions(`driver=quorum,${text}`))).rejects.toThrow(message);
  });
});
