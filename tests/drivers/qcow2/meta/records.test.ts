import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type BitmapEntry,
  decodeBitmapDirectory,
  encodeBitmapDirectory,
  validateBitmapEntry,
} from '../../../../src/drivers/qcow2/meta/bitmap-directory.ts';
import {
  ClusterKind,
  clusterKind,
  compressedEntry,
  compressedRange,
  entryHi,
  entryLo,
  hostOffset,
  isCompressed,
  isCopied,
  subclusterMask,
  withCopied,
} from '../../../../src/drivers/qcow2/meta/entries.ts';
import { decodeExtensions, ExtensionType, encodeExtensions } from '../../../../src/drivers/qcow2/meta/extensions.ts';
import {
  decodeFeatureNames,
  describeFeatures,
  encodeFeatureNames,
  FEATURE_NAMES,
} from '../../../../src/drivers/qcow2/meta/features.ts';
import { splitGuestOffset } from '../../../../src/drivers/qcow2/meta/geometry.ts';
import { decodeHeader, encodeHeader, validateHeader } from '../../../../src/drivers/qcow2/meta/header.ts';
import { Limit } from '../../../../src/drivers/qcow2/meta/limits.ts';
import {
  getRefcount,
  lowerLargeRefcount,
  refcountByteRange,
  setRefcount,
} from '../../../../src/drivers/qcow2/meta/refcount-entry.ts';
import {
  decodeSnapshotTable,
  encodeSnapshotTable,
  type SnapshotSalvage,
} from '../../../../src/drivers/qcow2/meta/snapshot-table.ts';
import { setU64, viewOf } from '../../../../src/drivers/qcow2/meta/struct.ts';
import { bitmapFixture, extendedGeometry, geometryWith, headerFixture, snapshotFixture } from '../support/records.ts';

describe('header', () => {
  it('comes back from its bytes, with fields this driver does not know', () => {
    const header = headerFixture({ headerLength: 128, unknownFields: new Uint8Array(16).fill(9) });
    expect(decodeHeader(encodeHeader(header), 'x')).toEqual(header);
    validateHeader(header, 'x');
  });

  it('has no version 3 fields in version 2', () => {
    const header = decodeHeader(encodeHeader(headerFixture({ version: 2, headerLength: 72 })), 'x');
    expect(header).toMatchObject({ incompatible: 0n, refcountOrder: 4, headerLength: 72 });
  });
});

describe('header extensions', () => {
  it('come back in write order, unknown ones last', () => {
    const bytes = (text: string) => new Uint8Array(Buffer.from(text));
    const list = [
      { type: 0x12345678, data: bytes('what is this') },
      { type: ExtensionType.FEATURE_NAMES, data: encodeFeatureNames(FEATURE_NAMES) },
      { type: ExtensionType.BACKING_FORMAT, data: bytes('raw') },
    ];
    const encoded = encodeExtensions(list);
    const found = decodeExtensions(encoded, { start: 0, end: encoded.length }, 'x');
    expect(found.map(({ type }) => type)).toEqual([
      ExtensionType.BACKING_FORMAT,
      ExtensionType.FEATURE_NAMES,
      0x12345678,
    ]);
    expect(found[2]?.data).toEqual(bytes('what is this'));
    expect(decodeFeatureNames(found[1]?.data ?? new Uint8Array())).toEqual(FEATURE_NAMES);
  });

  it('count as given last when a format is named twice, and are refused when clusters are', () => {
    const twice = (type: number, first: string, second: string) => {
      const list = [first, second].map((text) => ({ type, data: new Uint8Array(Buffer.from(text)) }));
      const encoded = encodeExtensions(list);
      return () => decodeExtensions(encoded, { start: 0, end: encoded.length }, 'x');
    };
    const formats = twice(ExtensionType.BACKING_FORMAT, 'raw', 'qcow2')();
    expect(formats.map(({ data }) => Buffer.from(data).toString())).toEqual(['qcow2']);
    expect(twice(ExtensionType.BITMAPS, 'a', 'b')).toThrow('header extension 0x23852875 appears twice');
  });

  it('name features without letting control characters through', () => {
    const names = [{ group: 0, bit: 7, name: 'evil\u001b[31m' }];
    expect(describeFeatures(0x180n, 0, names)).toEqual(["'evil?[31m' (bit 7)", 'bit 8']);
  });

  it('decode never reads past its range or loops', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          for (const { data } of decodeExtensions(bytes, { start: 0, end: 4096 }, 'x')) {
            expect(data.length).toBeLessThanOrEqual(bytes.length);
          }
        } catch (error) {
          expect(error).toHaveProperty('code');
        }
      }),
    );
  });
});

describe('table entries', () => {
  it('hold host offsets up to 2^53', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 44 - 1 }), fc.boolean(), (sectors, copied) => {
        const offset = sectors * 512;
        const hi = entryHi(offset, copied);
        expect(hostOffset(hi, entryLo(offset, true))).toBe(offset);
        expect(isCopied(hi)).toBe(copied);
        expect(isCopied(withCopied(hi, !copied))).toBe(!copied);
      }),
    );
  });

  it('describe compressed clusters at each cluster size', () => {
    fc.assert(
      fc.property(fc.integer({ min: 9, max: 21 }), fc.nat(), fc.integer({ min: 1, max: 2 ** 21 }), (bits, at, size) => {
        const geometry = geometryWith({ clusterBits: bits });
        const offset = 1 + at * 1031;
        const length = Math.min(size, geometry.clusterSize - 1);
        const { hi, lo } = compressedEntry(geometry, offset, length);
        expect(isCompressed(hi)).toBe(true);
        const range = compressedRange(geometry, hi, lo);
        expect(range.offset).toBe(offset);
        expect(range.length).toBeGreaterThanOrEqual(length);
        expect((range.offset + range.length) % 512).toBe(0);
        expect(range.length - length).toBeLessThan(512);
      }),
    );
  });

  it('tell kinds apart', () => {
    const plain = geometryWith({});
    expect(clusterKind(plain, 0, 0, false)).toBe(ClusterKind.UNALLOCATED);
    expect(clusterKind(plain, 0, 1, false)).toBe(ClusterKind.ZERO_PLAIN);
    expect(clusterKind(plain, 0x80000000, 0x10001, false)).toBe(ClusterKind.ZERO_ALLOC);
    expect(clusterKind(plain, 0x80000000, 0x10000, false)).toBe(ClusterKind.NORMAL);
    expect(clusterKind(plain, 0x40000000, 0x10000, false)).toBe(ClusterKind.COMPRESSED);
    expect(clusterKind(plain, 0x80000000, 0, true)).toBe(ClusterKind.NORMAL);
    expect(clusterKind(plain, 0x80000000, 0, false)).toBe(ClusterKind.UNALLOCATED);
    expect(clusterKind(extendedGeometry, 0, 1, false)).toBe(ClusterKind.UNALLOCATED);
  });

  it('mask subclusters', () => {
    expect(subclusterMask(0, 32)).toBe(0xffffffff);
    expect(subclusterMask(31, 32)).toBe(0x80000000);
    expect(subclusterMask(0, 1)).toBe(1);
    expect(subclusterMask(4, 4)).toBe(0);
  });

  it('are found by guest offset', () => {
    const geometry = geometryWith({ clusterBits: 16 });
    expect(splitGuestOffset(geometry, 512 * 1024 * 1024 * 3 + 65536 * 5 + 7)).toEqual({
      l1Index: 3,
      l2Index: 5,
      inCluster: 7,
    });
  });
});

describe('refcount entries', () => {
  it.each([0, 1, 2, 3, 4, 5, 6])('of order %i do not disturb each other', (order) => {
    const view = viewOf(new Uint8Array(512));
    const count = 4096 / 2 ** order;
    const max = order === 6 ? Number.MAX_SAFE_INTEGER : 2 ** (2 ** order) - 1;
    const model = new Array<number>(count).fill(0);
    for (let n = 0; n < 2000; n++) {
      const index = (n * 7919) % count;
      const value = n % 3 === 0 ? max : Math.min(max, n);
      setRefcount(view, index, order, value);
      model[index] = value;
    }
    expect(model.map((_, index) => getRefcount(view, index, order))).toEqual(model);
  });

  it('of 64 bits above 2^53 are lowered bit by bit', () => {
    const view = viewOf(new Uint8Array(512));
    view.setBigUint64(8, 2n ** 64n - 1n);
    expect(getRefcount(view, 1, 6)).toBeGreaterThan(Number.MAX_SAFE_INTEGER);
    lowerLargeRefcount(view, 1, 2);
    expect(view.getBigUint64(8)).toBe(2n ** 64n - 3n);
  });

  it('know their bytes', () => {
    expect(refcountByteRange(3, 2, 0)).toEqual({ from: 0, to: 1 });
    expect(refcountByteRange(7, 2, 0)).toEqual({ from: 0, to: 2 });
    expect(refcountByteRange(3, 2, 4)).toEqual({ from: 6, to: 10 });
  });
});

describe('snapshot table', () => {
  it('comes back, with extra data this driver does not know', () => {
    const snapshots = [
      snapshotFixture({}),
      snapshotFixture({ id: '2', name: 'naïve', extra: new Uint8Array(40).fill(3) }),
    ];
    const table = decodeSnapshotTable(encodeSnapshotTable(snapshots), 2, 'x');
    if (!('snapshots' in table)) throw new Error('cut off');
    expect(table.snapshots.map(({ id, name, diskSize, icount }) => ({ id, name, diskSize, icount }))).toEqual([
      { id: '1', name: 'one', diskSize: 4096, icount: undefined },
      { id: '2', name: 'naïve', diskSize: 4096, icount: undefined },
    ]);
    expect(table.snapshots[1]?.extra.subarray(24)).toEqual(new Uint8Array(16).fill(3));
  });

  it('asks for more bytes when cut off, and refuses too much extra data', () => {
    const bytes = encodeSnapshotTable([snapshotFixture({})]);
    for (let length = 0; length < bytes.length - 8; length++) {
      expect(decodeSnapshotTable(bytes.subarray(0, length), 1, 'x')).toHaveProperty('moreNeeded');
    }
    viewOf(bytes).setUint32(36, 1025);
    expect(() => decodeSnapshotTable(bytes, 1, 'x')).toThrow('1025 bytes of extra data, the limit is 1024');
  });

  it('takes names up to the first NUL, and writes back what comes after it', () => {
    const bytes = encodeSnapshotTable([snapshotFixture({ id: '1\u0000x', name: '\u0000rest' })]);
    const table = decodeSnapshotTable(bytes, 1, 'x');
    if (!('snapshots' in table)) throw new Error('cut off');
    expect(table.snapshots[0]).toMatchObject({ id: '1', name: '' });
    expect(Buffer.from(encodeSnapshotTable(table.snapshots)).equals(bytes)).toBe(true);
  });

  it('salvages as many entries as its limit allows once their extra data is cut', () => {
    const name = 'n'.repeat(65535);
    const entry = (extra: number) =>
      encodeSnapshotTable([snapshotFixture({ name, id: 'i'.repeat(65535), extra: new Uint8Array(extra) })]);
    const size = entry(1024).length;
    const fitting = Math.floor(Limit.MAX_SNAPSHOT_TABLE_BYTES / size);
    const whole = Array.from({ length: fitting }, (_, index) => entry(index === 1 ? 200_000 : 1024));
    const bytes = Buffer.concat([...whole, entry(1024)]);
    expect(() => decodeSnapshotTable(bytes, fitting + 1, 'x')).toThrow('entry 1 has 200000 bytes');
    const salvage: SnapshotSalvage = { cut: [], overhanging: 0 };
    const table = decodeSnapshotTable(bytes, fitting + 1, 'x', salvage);
    if (!('snapshots' in table)) throw new Error('cut off');
    expect(salvage).toEqual({ cut: [{ index: 1, extraLength: 200_000 }], overhanging: 1 });
    expect(table.snapshots).toHaveLength(fitting);
    expect(table.byteLength).toBe(bytes.length - size);
    expect(encodeSnapshotTable(table.snapshots).length).toBe(fitting * size);
  });
});

describe('bitmap directory', () => {
  it('comes back', () => {
    const entries: BitmapEntry[] = [
      bitmapFixture({}),
      bitmapFixture({ name: 'second', flags: 2, extra: new Uint8Array(5) }),
    ];
    const bytes = encodeBitmapDirectory(entries);
    const found = decodeBitmapDirectory(bytes, 2, 'x');
    expect(found).toMatchObject(entries.map((entry) => ({ ...entry })));
    for (const entry of found) expect(viewOf(bytes).getUint32(entry.flagsAt)).toBe(entry.flags);
  });

  it.each([
    [{ name: '' }, 'the name is empty'],
    [{ granularityBits: 8 }, 'granularity_bits is 8'],
    [{ granularityBits: 32 }, 'granularity_bits is 32'],
    [{ type: 2 }, 'type is 2'],
    [{ flags: 8 }, 'flags are 8'],
    [{ tableOffset: 512 }, 'the table is at 512'],
  ])('refuses %j', (change, message) => {
    expect(() => validateBitmapEntry(bitmapFixture(change), 65536, 'x')).toThrow(message);
  });

  it('must hold what the header says', () => {
    const bytes = encodeBitmapDirectory([bitmapFixture({})]);
    expect(() => decodeBitmapDirectory(bytes, 2, 'x')).toThrow('holds 1 entries, the header says 2');
    expect(() => decodeBitmapDirectory(bytes.subarray(0, 20), 1, 'x')).toThrow('cut off');
    setU64(viewOf(bytes), 16, 0xffffffffffff);
    expect(() => decodeBitmapDirectory(bytes, 1, 'x')).toThrow("past the directory's");
  });
});
