import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  alignIn,
  alignOut,
  clip,
  endOf,
  fixedText,
  forEachRun,
  formatSize,
  HUGE_SIZE,
  isZero,
  merge,
  type nextRun,
  overlaps,
  parseSize,
  raw,
  readSize,
  safeNumber,
  shortSize,
  size64,
  split,
  struct,
  subtract,
  u8,
  u16,
  u32,
  u64,
} from '../../../src/core/bytes/index.ts';

describe('readSize', () => {
  const good: [string, number][] = [
    ['0', 0],
    ['1.', 1],
    ['1.0', 1],
    ['010', 10],
    [' 5k', 5120],
    ['+5', 5],
    ['5b', 5],
    ['1.5k', 1536],
    ['1.50001K', 1536],
    ['1.5G', 1610612736],
    ['0x10', 16],
    ['0X1f', 31],
    ['0x10k', 16384],
    ['7P', 7 * 1024 ** 5],
    ['9007199254740991', 9007199254740991],
    ['1.99999999999999999999k', 2047],
  ];
  it.each(good)('%j is %d', (text, value) => expect(readSize(text)).toEqual({ ok: true, value }));
  it.each(['', 'k', '.5k', '1.5', '1.5b', '5k ', '5kb', '5KiB', '0x', '0x1.8k', '1e3', 'inf', 'nan', '1..5k', '1_0'])(
    '%j is no size',
    (text) => expect(readSize(text)).toEqual({ ok: false, reason: 'syntax' }),
  );
  it.each(['-5', '1E', '8E', '9007199254740992', '99999999999999999999999999999'])('%j is out of range', (text) =>
    expect(readSize(text)).toEqual({ ok: false, reason: 'range' }),
  );
  it('goes beyond safe integers where told to, with what a number holds exactly', () => {
    expect(readSize('7E', HUGE_SIZE)).toEqual({ ok: true, value: 7 * 2 ** 60 });
    for (const text of ['8E', '9007199254740993']) {
      expect(readSize(text, HUGE_SIZE)).toEqual({ ok: false, reason: 'range' });
    }
  });
  it('reads back what shortSize writes', () =>
    fc.assert(
      fc.property(fc.maxSafeNat(), (n) => {
        expect(readSize(shortSize(n))).toEqual({ ok: true, value: n });
      }),
    ));
});

describe('parseSize', () => {
  it('names what it wanted and what it got', () => {
    expect(() => parseSize('abc', 'image size')).toThrow(
      "image size expects a number of bytes such as 65536, 64k or 1.5G, not 'abc'",
    );
    expect(() => parseSize('8E', 'image size')).toThrow(
      "image size '8E' is out of range, it must be 0 to 9007199254740991 bytes",
    );
  });
});

describe('safeNumber', () => {
  it('refuses what a number cannot hold exactly', () => {
    expect(safeNumber(2n ** 53n - 1n, 'l1_table_offset')).toBe(Number.MAX_SAFE_INTEGER);
    expect(() => safeNumber(2n ** 53n, 'l1_table_offset')).toThrow('l1_table_offset is 9007199254740992');
  });
});

describe('formatSize', () => {
  // Values that the installed qemu-img printed.
  const known: [number, string][] = [
    [0, '0 B'],
    [512, '512 B'],
    [1000, '0.977 KiB'],
    [1024, '1 KiB'],
    [1536, '1.5 KiB'],
    [200704, '196 KiB'],
    [1152, '1.12 KiB'],
    [459264, '448 KiB'],
    [1023744, '1e+03 KiB'],
    [1047552, '0.999 MiB'],
    [1048064, '1 MiB'],
    [10238976, '9.76 MiB'],
    [123457024, '118 MiB'],
    [1023410176, '976 MiB'],
    [1072693248, '0.999 GiB'],
    [1610612736, '1.5 GiB'],
    [107374182400, '100 GiB'],
    [1073741824000, '0.977 TiB'],
  ];
  it.each(known)('%d is %s', (bytes, text) => expect(formatSize(bytes)).toBe(text));
});

describe('ranges', () => {
  const range = fc.record({ offset: fc.nat(5000), length: fc.nat(5000) });
  const covered = (list: readonly { offset: number; length: number }[]): Set<number> => {
    const set = new Set<number>();
    for (const item of list) for (let at = item.offset; at < endOf(item); at++) set.add(at);
    return set;
  };
  it('clip keeps what both cover', () =>
    fc.assert(
      fc.property(range, range, (a, b) => {
        const both = clip(a, b);
        expect(both.length > 0).toBe(overlaps(a, b) && a.length > 0 && b.length > 0);
        const inB = covered([b]);
        expect(covered([both])).toEqual(new Set([...covered([a])].filter((at) => inB.has(at))));
      }),
      { numRuns: 30 },
    ));
  it('alignOut covers, alignIn is covered, beyond 2^32 too', () => {
    expect(alignOut({ offset: 2 ** 40 + 1, length: 1 }, 512)).toEqual({ offset: 2 ** 40, length: 512 });
    expect(alignIn({ offset: 2 ** 40 + 1, length: 1024 }, 512)).toEqual({ offset: 2 ** 40 + 512, length: 512 });
    expect(alignIn({ offset: 1, length: 5 }, 512).length).toBe(0);
  });
  it('split does not cross units and loses nothing', () =>
    fc.assert(
      fc.property(range, fc.integer({ min: 1, max: 700 }), (whole, unit) => {
        const parts = [...split(whole, unit)];
        for (const part of parts) expect(Math.floor(part.offset / unit)).toBe(Math.floor((endOf(part) - 1) / unit));
        expect(merge(parts)).toEqual(whole.length === 0 ? [] : [whole]);
      }),
    ));
  it('merge and subtract agree with sets', () =>
    fc.assert(
      fc.property(range, fc.array(fc.record({ offset: fc.nat(800), length: fc.nat(300) })), (whole, holes) => {
        expect(covered(merge(holes))).toEqual(covered(holes));
        const gone = covered(holes);
        expect(covered(subtract(whole, holes))).toEqual(new Set([...covered([whole])].filter((at) => !gone.has(at))));
      }),
      { numRuns: 30 },
    ));
});

describe('isZero', () => {
  it('finds a single byte anywhere, in a plain Uint8Array too', () =>
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200_000 }), fc.nat(), (length, where) => {
        const buf = new Uint8Array(length);
        expect(isZero(buf)).toBe(true);
        buf[where % length] = 1;
        expect(isZero(buf)).toBe(false);
        expect(isZero(buf, 0, where % length)).toBe(true);
      }),
      { numRuns: 50 },
    ));
  it('holds for nothing at all', () => expect(isZero(new Uint8Array(0))).toBe(true));
});

describe('nextRun', () => {
  const runs = (buf: Uint8Array, options: Parameters<typeof nextRun>[2]): [number, number, boolean][] => {
    const list: [number, number, boolean][] = [];
    forEachRun(buf, options, (...run) => list.push(run));
    return list;
  };
  it('reports whole blocks of zeroes only', () => {
    const buf = new Uint8Array(4 * 4096).fill(7);
    buf.fill(0, 4096, 3 * 4096 - 1);
    expect(runs(buf, { offset: 0, granularity: 4096 })).toEqual([
      [0, 4096, false],
      [4096, 4096, true],
      [8192, 8192, false],
    ]);
  });
  it('aligns to the disk, not to the buffer', () => {
    const buf = new Uint8Array(8192).fill(7);
    buf.fill(0, 1024, 1024 + 4096);
    expect(runs(buf, { offset: 3072, granularity: 4096 })).toEqual([
      [0, 1024, false],
      [1024, 4096, true],
      [5120, 3072, false],
    ]);
  });
  it('takes short zeroes within data as data', () => {
    const buf = new Uint8Array(16 * 512).fill(7);
    buf.fill(0, 512, 1024);
    buf.fill(0, 2048, 4096);
    expect(runs(buf, { offset: 0, granularity: 512, minZero: 2048 })).toEqual([
      [0, 2048, false],
      [2048, 2048, true],
      [4096, 4096, false],
    ]);
  });
  it('agrees with a byte-wise model', () =>
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 90_000 })), { minLength: 1, maxLength: 8 }),
        fc.nat(5000),
        fc.constantFrom(512, 4096, 65536, 131072),
        (pieces, offset, granularity) => {
          const buf = Buffer.concat(pieces.map(([zero, length]) => Buffer.alloc(length, zero ? 0 : 0x5a)));
          const kind = new Uint8Array(buf.length);
          for (const block of split({ offset, length: buf.length }, granularity)) {
            const start = block.offset - offset;
            const data = buf.subarray(start, start + block.length).some((byte) => byte !== 0);
            kind.fill(data ? 1 : 0, start, start + block.length);
          }
          const found = new Uint8Array(buf.length);
          let last: boolean | undefined;
          for (const [start, length, zero] of runs(buf, { offset, granularity })) {
            expect(zero).not.toBe(last);
            last = zero;
            found.fill(zero ? 0 : 1, start, start + length);
          }
          expect(Buffer.compare(found, kind)).toBe(0);
        },
      ),
      { numRuns: 40 },
    ));
});

describe('struct', () => {
  const RECORD = struct('sample header', 'big', 32, {
    magic: u32(0),
    version: u16(4),
    order: u8(6),
    reserved: raw(7, 1),
    size: size64(8),
    features: u64(16),
    name: fixedText(24, 8),
  });
  it('encodes what it decodes', () => {
    const values = {
      magic: 0x514649fb,
      version: 3,
      order: 4,
      reserved: new Uint8Array(1),
      size: 2 ** 40 + 5,
      features: 2n ** 63n + 1n,
      name: 'zlib',
    };
    const bytes = RECORD.encode(values);
    expect(Buffer.from(bytes).toString('hex')).toBe(
      '514649fb000304000000010000000005800000000000000' + '17a6c696200000000',
    );
    expect(RECORD.decode(bytes)).toEqual(values);
  });
  it('decodes within a larger buffer and changes single fields', () => {
    const bytes = Buffer.alloc(50, 0xff);
    RECORD.encode({ version: 2, size: 7 }, bytes, 10);
    bytes.fill(0, 10 + RECORD.offsets.name, 42);
    expect(RECORD.decode(bytes, 10)).toMatchObject({ magic: 0xffffffff, version: 2, size: 7, name: '' });
  });
  it('names the field that is too large, and the record that is too short', () => {
    expect(() => RECORD.decode(new Uint8Array(32).fill(0xff))).toThrow('sample header: size is 18446744073709551615');
    expect(() => RECORD.decode(new Uint8Array(31))).toThrow('sample header needs 32 bytes, but only 31 are there');
  });
  it('refuses a table with gaps', () => {
    expect(() => struct('bad', 'little', 8, { a: u32(0), b: u16(6) })).toThrow('field b is at 6, but 4 comes next');
    expect(() => struct('bad', 'little', 8, { a: u32(0) })).toThrow('fields fill 4 of 8 bytes');
  });
});
