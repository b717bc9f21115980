/** Headers and tables that lie (rows 1 to 3, 5 to 8 of the list of hostile inputs): one line, soon, in little memory. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { tempDirForSuite } from '../support/temp.ts';
import { type CommandName, expectRefused, tryAll } from './commands.ts';
import { type Base, type Bases, makeBases, Victim } from './images.ts';
import { ImgServer } from './img-server.ts';

const folder = tempDirForSuite();
let server: ImgServer;
let bases: Bases;
beforeAll(async () => {
  server = await ImgServer.start();
  bases = await makeBases(folder);
});
afterAll(() => server[Symbol.asyncDispose]());

interface Row {
  readonly name: string;
  /** Default: plain. */
  readonly base?: Base;
  patch(victim: Victim): unknown;
  /** All commands end with this line, but for those in `but`; without it, a correct result is fine too. */
  readonly refused?: RegExp;
  readonly but?: readonly CommandName[];
}

const HUGE = 0xffffffff;
const DEFLATED_BOMB = deflateRawSync(Buffer.alloc(100 << 20), { level: 9 });

const rows: Readonly<Record<string, readonly Row[]>> = {
  'cluster_bits (row 1)': [0, 8, 22, 31, 32, 64, 0x80000000, HUGE].map((bits) => ({
    name: String(bits),
    patch: (victim) => victim.u32(20, bits),
    refused: /cluster_bits/,
  })),
  'l1_size and size (row 2)': [
    { name: 'l1_size 0x7fffffff', patch: (v) => v.u32(36, 0x7fffffff), refused: /l1_size|L1/ },
    { name: 'l1_size 0xffffffff', patch: (v) => v.u32(36, HUGE), refused: /l1_size|L1/ },
    { name: 'l1_size 0', patch: (v) => v.u32(36, 0), refused: /l1_size|L1/ },
    { name: 'size 1 TiB with a short L1', patch: (v) => v.u64(24, 2 ** 40), refused: /l1_size|L1/ },
    { name: 'size 2^63', patch: (v) => v.u64(24, 1n << 63n), refused: /size/ },
    { name: 'size 2^64 - 1', patch: (v) => v.u64(24, -1n), refused: /size/ },
    { name: 'size 2^53', patch: (v) => v.u64(24, 1n << 53n), refused: /size/ },
    { name: 'size 0', patch: (v) => v.u64(24, 0) },
    { name: 'size 1', patch: (v) => v.u64(24, 1) },
  ],
  'where tables lie (row 2)': [
    { name: 'L1 past the end', patch: (v) => v.u64(40, 1n << 40n) },
    { name: 'L1 not aligned', patch: (v) => v.u64(40, v.l1Offset + 512), refused: /l1_table_offset|L1/ },
    { name: 'L1 at 0', patch: (v) => v.u64(40, 0), refused: /l1_table_offset|L1/ },
    { name: 'L1 at 2^63', patch: (v) => v.u64(40, 1n << 63n), refused: /l1_table_offset|L1/ },
    { name: 'L1 over the refcount table', patch: (v) => v.u64(40, v.refcountTable) },
    { name: 'refcount table past the end', patch: (v) => v.u64(48, 1n << 40n) },
    {
      name: 'refcount table not aligned',
      patch: (v) => v.u64(48, 513),
      refused: /refcount_table_offset|refcount table/,
    },
    { name: 'refcount table at 0', patch: (v) => v.u64(48, 0) },
    { name: 'refcount table at 2^64 - 65536', patch: (v) => v.u64(48, -65536n), refused: /refcount/ },
    { name: 'refcount table over L1', patch: (v) => v.u64(48, v.l1Offset) },
    { name: 'L1 entry past the end', patch: (v) => v.u64(v.l1Offset, (1n << 63n) | (1n << 50n)) },
    { name: 'L1 entry at the header', patch: (v) => v.u64(v.l1Offset, (1n << 63n) | 512n) },
    { name: 'L1 entry at L1', patch: (v) => v.u64(v.l1Offset, (1n << 63n) | BigInt(v.l1Offset)) },
    { name: 'L1 entry with reserved bits', patch: (v) => v.or(v.l1Offset, 0x7f00_0000_0000_01ffn) },
    { name: 'L1 entry at a refcount block', patch: (v) => v.u64(v.l1Offset, (1n << 63n) | BigInt(v.refcountBlock)) },
    { name: 'L2 entry past the end', patch: (v) => v.u64(v.l2Offset, (1n << 63n) | (1n << 52n)) },
    { name: 'L2 entry at the highest offset', patch: (v) => v.u64(v.l2Offset, 0x80ff_ffff_ffff_0000n) },
    { name: 'L2 entry not aligned', patch: (v) => v.or(v.l2Offset, 0x200n) },
    { name: 'L2 entry at L2', patch: (v) => v.u64(v.l2Offset, (1n << 63n) | BigInt(v.l2Offset)) },
    { name: 'refcount block past the end', patch: (v) => v.u64(v.refcountTable, 1n << 50n) },
    { name: 'refcount block not aligned', patch: (v) => v.u64(v.refcountTable, v.refcountBlock + 1024) },
    { name: 'refcount block at the table', patch: (v) => v.u64(v.refcountTable, v.refcountTable) },
    { name: 'refcount block at 0', patch: (v) => v.u64(v.refcountTable, 0) },
  ],
  'snapshots and bitmaps (row 2)': [
    { name: '65537 snapshots', patch: (v) => v.u32(60, 65537).u64(64, 65536), refused: /snapshot/ },
    { name: '2^32 - 1 snapshots', patch: (v) => v.u32(60, HUGE).u64(64, 65536), refused: /snapshot/ },
    { name: 'snapshot table past the end', patch: (v) => v.u32(60, 1).u64(64, 1n << 40n) },
    { name: 'snapshot table not aligned', patch: (v) => v.u32(60, 1).u64(64, 8), refused: /snapshot/ },
    { name: 'snapshot table at 0', patch: (v) => v.u32(60, 1).u64(64, 0) },
    { name: 'snapshot table over L1', patch: (v) => v.u32(60, 3).u64(64, v.l1Offset) },
    { name: '60000 snapshots over zeroes', patch: (v) => v.u32(60, 60000).u64(64, v.refcountTable) },
    { name: 'bitmap count 2^32 - 1', patch: (v) => v.or(88, 1n).extend(bitmaps(HUGE, 1000n, 65536n)) },
    { name: 'bitmap directory of 2^63', patch: (v) => v.or(88, 1n).extend(bitmaps(1, 1n << 63n, 65536n)) },
    { name: 'bitmap directory past the end', patch: (v) => v.or(88, 1n).extend(bitmaps(1, 4096n, 1n << 40n)) },
    { name: 'bitmap directory over L1', patch: (v) => v.or(88, 1n).extend(bitmaps(2, 64n, BigInt(v.l1Offset))) },
    { name: 'bitmap extension too short', patch: (v) => v.or(88, 1n).extend([0x23852875, Buffer.alloc(8)]) },
    { name: 'bitmap bit without extension', patch: (v) => v.or(88, 1n).extend() },
  ],
  'refcounts and header length (row 3)': [
    ...[HUGE, 0x80000000, 0x10000, 129].map((clusters) => ({
      name: `refcount_table_clusters ${clusters}`,
      patch: (v: Victim) => v.u32(56, clusters),
      refused: /refcount_table_clusters|refcount table/,
    })),
    {
      name: 'refcount_table_clusters 0',
      patch: (v) => v.u32(56, 0),
    },
    { name: 'refcount_table_clusters 100, past the end', patch: (v) => v.u32(56, 100) },
    ...[7, 8, 63, 64, HUGE].map((order) => ({
      name: `refcount_order ${order}`,
      patch: (v: Victim) => v.u32(96, order),
      refused: /refcount_order/,
    })),
    ...[0, 72, 103, 105, 111, 65536 + 8, 0x7ffffff8, 0xfffffff8, HUGE].map((length) => ({
      name: `header_length ${length}`,
      patch: (v: Victim) => v.u32(100, length),
      refused: /header_length/,
    })),
    { name: 'header_length to the end of the cluster', patch: (v) => v.u32(100, 65536) },
    ...[65536, 0x7fffffff, HUGE - 7, HUGE].map((length) => ({
      name: `extension of ${length} bytes`,
      patch: (v: Victim) => v.extend([0x12345678, Buffer.alloc(8), length]),
      refused: /extension/,
    })),
    {
      name: 'extensions without end mark',
      patch: (v) => v.bytes.fill(0x11, v.extensions, 65536),
      refused: /extension/,
    },
    { name: '8000 empty extensions', patch: (v) => v.extend(...Array.from({ length: 8000 }, () => EMPTY)) },
    { name: 'feature names of odd length', patch: (v) => v.extend([0x6803f857, Buffer.alloc(50, 1)]) },
  ],
  'data files (row 5)': [
    { name: 'bit without a name', patch: (v) => v.or(72, 4n) },
    { name: 'name without the bit', patch: (v) => v.extend([0x44415441, Buffer.from('/etc/hostname')]) },
    { name: 'raw bit without a data file', patch: (v) => v.or(88, 2n) },
    { name: 'compressed clusters', base: 'data-file', patch: (v) => v.u64(v.l2Offset, 0x4000_0000_0005_0000n) },
    {
      name: 'raw bit and compressed clusters',
      base: 'data-file',
      patch: (v) => v.or(88, 2n).u64(v.l2Offset, 0x4000_0000_0005_0000n),
    },
    {
      name: 'offset is not the guest offset',
      base: 'data-file',
      patch: (v) => v.u64(v.l2Offset, 0x8000_0000_0005_0000n),
    },
    { name: 'empty name', base: 'data-file', patch: (v) => v.extend([0x44415441, Buffer.alloc(0)]) },
    { name: 'name with NUL', base: 'data-file', patch: (v) => v.extend([0x44415441, Buffer.from('a\0b')]) },
    { name: 'itself', base: 'data-file', patch: (v) => v.extend([0x44415441, Buffer.from('victim.qcow2')]) },
  ],
  'feature bits (row 6)': [
    { name: 'incompatible bit 40', patch: (v) => v.or(72, 1n << 40n), refused: /40/ },
    { name: 'all incompatible bits', patch: (v) => v.or(72, ~0n), refused: /./ },
    {
      name: 'a bit with a name of its own',
      patch: (v) => v.or(72, 1n << 20n).extend(featureName(0, 20, 'flux capacitor')),
      refused: /flux capacitor/,
    },
    {
      name: 'a name with control characters',
      patch: (v) => v.or(72, 1n << 20n).extend(featureName(0, 20, 'a\n\x1b[2Jb')),
      refused: /20|a/,
    },
    { name: 'the corrupt bit', patch: (v) => v.or(72, 2n) },
    { name: 'the dirty bit', patch: (v) => v.or(72, 1n) },
    { name: 'all compatible bits', patch: (v) => v.or(80, ~0n) },
    { name: 'all autoclear bits', patch: (v) => v.or(88, ~0n) },
    { name: 'extended L2 entries that are none', patch: (v) => v.or(72, 16n) },
    // Version 1 and what is below is another format, so this is guessed to be raw.
    { name: 'version 0', patch: (v) => v.u32(4, 0) },
    { name: 'version 4', patch: (v) => v.u32(4, 4), refused: /version/ },
    { name: 'version 2^32 - 1', patch: (v) => v.u32(4, HUGE), refused: /version/ },
    { name: 'crypt_method 1', patch: (v) => v.u32(32, 1) },
    { name: 'crypt_method 2', patch: (v) => v.u32(32, 2) },
    { name: 'crypt_method 3', patch: (v) => v.u32(32, 3), refused: /crypt_method/ },
    { name: 'compression type 2', patch: (v) => v.or(72, 8n).u8(104, 2), refused: /compression_type/ },
    {
      name: 'compression type without its bit',
      base: 'zstd',
      patch: (v) => v.clear(72, 8n),
      refused: /compression_type/,
    },
    { name: 'compression bit without its type', patch: (v) => v.or(72, 8n), refused: /compression_type/ },
  ],
  'compressed clusters (row 7)': [
    { name: 'past the end', base: 'compressed', patch: (v) => v.u64(v.compressedEntry, 0x4000_00ff_ffff_0000n) },
    {
      name: 'at the highest offset',
      base: 'compressed',
      patch: (v) => v.u64(v.compressedEntry, 0x7fff_ffff_ffff_ffffn),
    },
    { name: 'one sector of it', base: 'compressed', patch: (v) => v.clear(v.compressedEntry, 0x3fc0_0000_0000_0000n) },
    { name: 'at 0', base: 'compressed', patch: (v) => v.u64(v.compressedEntry, 0x4000_0000_0000_0000n) },
    { name: 'over the header', base: 'compressed', patch: (v) => v.u64(v.compressedEntry, 0x7fc0_0000_0000_0000n) },
    { name: 'garbage', base: 'compressed', patch: (v) => v.bytes.fill(0xff, v.compressedData, v.compressedData + 60) },
    {
      name: 'two clusters of the same data',
      base: 'compressed',
      patch: (v) => v.u64(v.compressedEntry + 8, v.bytes.readBigUInt64BE(v.compressedEntry)),
    },
    { name: 'the copied bit', base: 'compressed', patch: (v) => v.or(v.compressedEntry, 1n << 63n) },
    { name: 'a bomb', base: 'compressed', patch: bomb },
    { name: 'zstd garbage', base: 'zstd', patch: (v) => v.bytes.fill(0xff, v.compressedData, v.compressedData + 20) },
    {
      name: 'zstd frame that claims 1 GiB',
      base: 'zstd',
      patch: (v) => zstdFrame(v, Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0x40, 1, 0, 0])),
    },
    {
      name: 'zstd window of 2 GiB',
      base: 'zstd',
      patch: (v) => zstdFrame(v, Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 1, 0, 0])),
    },
    { name: 'zstd frame without size, of repeated bytes', base: 'zstd', patch: zstdRun },
    {
      name: 'zstd skippable frames only',
      base: 'zstd',
      patch: (v) => zstdFrame(v, Buffer.from([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4])),
    },
  ],
  'subclusters (row 8)': [
    { name: 'both allocated and zero', base: 'subclusters', patch: (v) => v.u64(v.l2Offset + 8, -1n) },
    {
      name: 'one both allocated and zero',
      base: 'subclusters',
      patch: (v) => v.or(v.l2Offset + 8, 0x8000_0000_8000_0000n),
    },
    { name: 'allocated without a cluster', base: 'subclusters', patch: (v) => v.u64(v.l2Offset, 0) },
    { name: 'reserved bits of the entry', base: 'subclusters', patch: (v) => v.or(v.l2Offset, 0x3f00_0000_0000_01ffn) },
    {
      name: 'a bitmap on a compressed cluster',
      base: 'subclusters',
      patch: (v) => v.u64(v.l2Offset, 0x4000_0000_0005_0000n),
    },
    { name: 'clusters too small', base: 'subclusters', patch: (v) => v.u32(20, 13), refused: /cluster_bits/ },
    { name: 'zero flag in version 2', base: 'version2', patch: (v) => v.or(v.l2Offset, 1n) },
    { name: 'reserved bits', patch: (v) => v.or(v.l2Offset, 0x3f00_0000_0000_01fen) },
  ],
};

const EMPTY: readonly [number, Buffer] = [0x11111111, Buffer.alloc(0)];

describe.each(Object.entries(rows))('%s', (group, list) => {
  test.each(list.map((row) => [row.name, row] as const))('%s', async (_name, row) => {
    const victim = new Victim(bases[row.base ?? 'plain']);
    row.patch(victim);
    const name = `${group}, ${row.name}`;
    writeFileSync(join(folder, 'data.raw'), Buffer.alloc(1 << 20));
    const outcomes = await tryAll({ server, folder, image: victim.bytes, name });
    if (row.refused !== undefined) expectRefused(name, outcomes, row.refused, row.but);
  });
});

function bitmaps(count: number, size: bigint, offset: bigint): readonly [number, Buffer] {
  const data = Buffer.alloc(24);
  data.writeUInt32BE(count, 0);
  data.writeBigUInt64BE(size, 8);
  data.writeBigUInt64BE(offset, 16);
  return [0x23852875, data];
}

function featureName(kind: number, bit: number, name: string): readonly [number, Buffer] {
  const data = Buffer.alloc(48);
  data[0] = kind;
  data[1] = bit;
  data.write(name, 2);
  return [0x6803f857, data];
}

/** 100 MiB of zeroes in as many sectors as an entry can name; the stream goes on behind them. */
function bomb(victim: Victim): void {
  const end = Math.ceil(victim.bytes.length / 65536) * 65536;
  appendCompressed(victim, end, DEFLATED_BOMB);
}

function zstdFrame(victim: Victim, frame: Buffer): void {
  frame.copy(victim.bytes, victim.compressedData);
}

/** Blocks of one byte repeated 128 KiB times each, many of them. */
function zstdRun(victim: Victim): void {
  const blocks = Array.from({ length: 1000 }, () => Buffer.from([0x02, 0x00, 0x10, 0x41]));
  const frame = Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58]), ...blocks]);
  appendCompressed(victim, Math.ceil(victim.bytes.length / 65536) * 65536, frame);
}

function appendCompressed(victim: Victim, offset: number, data: Buffer): void {
  const { compressedEntry } = victim;
  const sectors = BigInt(Math.min(255, Math.ceil(data.length / 512) - 1));
  const grown = Buffer.alloc(offset + data.length + 512);
  victim.bytes.copy(grown);
  data.copy(grown, offset);
  victim.replace(grown);
  victim.u64(compressedEntry, (1n << 62n) | (sectors << 54n) | BigInt(offset));
}
