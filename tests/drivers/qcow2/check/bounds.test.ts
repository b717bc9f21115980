/** Numbers of an image that would have a check or a repair count without end: each ends soon, in an error or a result. */
import fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { CheckResult } from '../../../../src/core/block/driver.ts';
import { checkImage } from '../../../../src/drivers/qcow2/check/index.ts';
import { encodeBitmapDirectory } from '../../../../src/drivers/qcow2/meta/bitmap-directory.ts';
import {
  ExtensionType,
  encodeBitmapsExtension,
  encodeCryptoExtension,
  encodeExtensions,
} from '../../../../src/drivers/qcow2/meta/extensions.ts';
import { Autoclear } from '../../../../src/drivers/qcow2/meta/features.ts';
import { Crypt, encodeHeader, type Header } from '../../../../src/drivers/qcow2/meta/header.ts';
import { encodeSnapshotTable } from '../../../../src/drivers/qcow2/meta/snapshot-table.ts';
import { repairImage } from '../../../../src/drivers/qcow2/repair/index.ts';
import { tempDir } from '../../../support/temp.ts';
import { openChecked } from '../support/check-file.ts';
import { bitmapFixture, headerFixture, snapshotFixture } from '../support/records.ts';

const MiB = 1024 * 1024;
const CLUSTER = 512;

/** A file with that header, and with what else is put into it; empty otherwise. */
function imageOf(change: Partial<Header>, size: number, parts: ReadonlyMap<number, Uint8Array>): string {
  const path = join(tempDir(), 'long.qcow2');
  const header = headerFixture({
    clusterBits: 9,
    size: CLUSTER,
    l1Size: 1,
    l1TableOffset: 0x600,
    refcountTableOffset: 0x200,
    ...change,
  });
  const fd = fs.openSync(path, 'w');
  fs.ftruncateSync(fd, size);
  for (const [offset, bytes] of [[0, encodeHeader(header)] as const, ...parts])
    fs.writeSync(fd, bytes, 0, bytes.length, offset);
  fs.closeSync(fd);
  return path;
}

function entries(count: number, value: (index: number) => bigint): Uint8Array {
  const bytes = Buffer.alloc(count * 8);
  for (let index = 0; index < count; index++) bytes.writeBigUInt64BE(value(index), index * 8);
  return bytes;
}

interface Ended {
  readonly result?: CheckResult;
  readonly lines: readonly string[];
  readonly error?: string;
}

async function ended(path: string, how: 'check' | 'repair'): Promise<Ended> {
  const { image, release } = await openChecked(path, how === 'check' ? 'read' : 'write');
  const lines: string[] = [];
  const report = (line: string): void => void (lines.length < 1000 && lines.push(line));
  try {
    const result =
      how === 'check' ? await checkImage(image, { report }) : await repairImage(image, { report, repair: 'all' });
    return { result, lines };
  } catch (error) {
    return { lines, error: String(error) };
  } finally {
    await release();
  }
}

describe.each(['check', 'repair'] as const)('%s ends', (how) => {
  test('with L1 tables of snapshots that lie on one another', async () => {
    const table = encodeSnapshotTable(
      Array.from({ length: 20_000 }, (_, index) =>
        snapshotFixture({ id: String(index), l1TableOffset: MiB * 8 + index * CLUSTER, l1Size: 4 * MiB }),
      ),
    );
    const path = imageOf({ nbSnapshots: 20_000, snapshotsOffset: 0x800 }, 80 * MiB, new Map([[0x800, table]]));
    expect(await ended(path, how)).toMatchObject({
      error: expect.stringMatching(/L1 tables of its snapshots lie on one another/),
    });
  });

  test('with L1 tables of snapshots past the end of the file', async () => {
    const count = 20_000;
    const table = encodeSnapshotTable(
      Array.from({ length: count }, (_, index) =>
        snapshotFixture({ id: String(index), l1TableOffset: 64 * MiB + index * CLUSTER, l1Size: 4 * MiB }),
      ),
    );
    const path = imageOf({ nbSnapshots: count, snapshotsOffset: 0x800 }, 32 * MiB, new Map([[0x800, table]]));
    const { result, error } = await ended(path, how);
    if (how === 'check') expect(result?.corruptions).toBeGreaterThanOrEqual(count);
    else expect(error).toMatch(/more references than can be remembered point past the end/);
  });

  test('with many snapshots beside a large L1 table', async () => {
    // Every L2 table of the disk is a hole; each snapshot has one table more.
    const count = 10_000;
    const tables = MiB / 4;
    const l1At = 2 * MiB + count * CLUSTER;
    const snapshots = Array.from({ length: count }, (_, index) =>
      snapshotFixture({ id: String(index), l1TableOffset: 2 * MiB + index * CLUSTER, l1Size: 1 }),
    );
    const firstTable = 64 * MiB;
    const path = imageOf(
      { nbSnapshots: count, snapshotsOffset: 0x800, l1TableOffset: l1At, l1Size: tables },
      firstTable + (tables + count) * CLUSTER,
      new Map([
        [0x800, encodeSnapshotTable(snapshots)],
        [
          2 * MiB,
          Buffer.concat(
            snapshots.map((_, index) =>
              Buffer.concat([
                entries(1, () => BigInt(firstTable + (tables + index) * CLUSTER)),
                Buffer.alloc(CLUSTER - 8),
              ]),
            ),
          ),
        ],
        [l1At, entries(tables, (index) => BigInt(firstTable + index * CLUSTER) | (1n << 63n))],
      ]),
    );
    const { result } = await ended(path, how);
    if (how === 'check') expect(result?.corruptions).toBeGreaterThan(tables + count);
    else expect(result).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0 });
  });

  test('with tables off the cluster boundaries, full of nonsense', async () => {
    const clusterBits = 21;
    const size = 64 * MiB;
    const path = imageOf(
      { clusterBits, l1Size: 400_000, l1TableOffset: 4 * MiB, refcountTableOffset: 2 * MiB },
      size,
      new Map([[4 * MiB, entries(400_000, (index) => BigInt(40 * MiB + 512 * (1 + (index % 40_000))))]]),
    );
    expect((await ended(path, how)).result).toMatchObject({ corruptions: expect.any(Number) });
  });

  test('with tables of bitmaps that lie on one another', async () => {
    const count = 20_000;
    const directory = encodeBitmapDirectory(
      Array.from({ length: count }, (_, index) =>
        bitmapFixture({ name: String(index), tableOffset: 16 * MiB + index * CLUSTER, tableSize: MiB }),
      ),
    );
    const extension = { count, directorySize: directory.length, directoryOffset: MiB };
    const extensions = encodeExtensions([{ type: ExtensionType.BITMAPS, data: encodeBitmapsExtension(extension) }]);
    const parts = new Map([
      [headerFixture({}).headerLength, extensions],
      [MiB, directory],
    ]);
    const { result, lines } = await ended(imageOf({ autoclear: Autoclear.BITMAPS }, 64 * MiB, parts), how);
    expect(lines).toContainEqual(expect.stringMatching(/tables of the bitmaps lie on one another/));
    expect(result?.checkErrors).toBe(1);
  });

  test('with an encryption header as long as a number can be', async () => {
    const data = encodeCryptoExtension({ offset: CLUSTER * 8, length: Number.MAX_SAFE_INTEGER });
    const extensions = encodeExtensions([{ type: ExtensionType.CRYPTO, data }]);
    const path = imageOf({ cryptMethod: Crypt.LUKS }, MiB, new Map([[headerFixture({}).headerLength, extensions]]));
    expect((await ended(path, how)).lines).toContainEqual(
      expect.stringMatching(/encryption header has 9007199254740991 bytes/),
    );
  });
});
