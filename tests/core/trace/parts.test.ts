/** The parts of a replay: content, what is known of a disk, maps of offsets, latencies. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fillContent } from '../../../src/core/trace/content.ts';
import { Histogram } from '../../../src/core/trace/histogram.ts';
import { KnownContent } from '../../../src/core/trace/known-content.ts';
import { OffsetMap } from '../../../src/core/trace/offset-map.ts';
import { request } from './sample-trace.ts';

describe('content', () => {
  const content = (number: number, offset: number, length: number, seed = 0): Buffer => {
    const buf = Buffer.alloc(length);
    fillContent(buf, { seed, number }, offset);
    return buf;
  };

  test('is the same at an offset, wherever the request begins', () => {
    const whole = content(7, 0, 4096);
    fc.assert(
      fc.property(fc.nat(4000), fc.nat(96), (offset, length) => {
        expect(content(7, offset, length)).toEqual(whole.subarray(offset, offset + length));
      }),
      { numRuns: 200 },
    );
  });

  test('fits the formula of the documentation', () => {
    const mix = (value: number): number => {
      let x = value >>> 0;
      x = Math.imul(x ^ (x >>> 16), 0x7feb352d) >>> 0;
      x = Math.imul(x ^ (x >>> 15), 0x846ca68b) >>> 0;
      return (x ^ (x >>> 16)) >>> 0;
    };
    const b = mix(Math.imul(3, 0x9e3779b1) ^ Math.imul(5, 0x85ebca6b));
    expect(content(3, 4000, 4, 5).readUInt32LE()).toBe(mix(b + Math.imul(1000, 0x165667b1)));
  });

  test('differs by seed, number and offset, also beyond 2^32 words', () => {
    const all = [
      content(1, 0, 64),
      content(2, 0, 64),
      content(1, 64, 64),
      content(1, 2 ** 34, 64),
      content(1, 0, 64, 1),
    ];
    expect(new Set(all.map((buf) => buf.toString('hex'))).size).toBe(all.length);
  });
});

test('what is known of a disk is as if kept byte by byte', () => {
  const step = fc.record({ start: fc.nat(200), length: fc.nat(60), writer: fc.option(fc.nat(5), { nil: undefined }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.nat(200), fc.nat(60), (steps, from, length) => {
      const known = new KnownContent();
      const bytes = new Array<number | undefined>(300).fill(undefined);
      for (const { start, length: size, writer } of steps) {
        known.set(start, start + size, writer);
        bytes.fill(writer, start, start + size);
      }
      const found = new Array<number | undefined>(300).fill(undefined);
      for (const range of known.within(from, from + length)) found.fill(range.writer, range.start, range.end);
      expect(found.slice(from, from + length)).toEqual(bytes.slice(from, from + length));
    }),
    { numRuns: 300 },
  );
});

test('much that is known of a disk is forgotten at once', () => {
  const known = new KnownContent();
  for (let index = 0; index < 100_000; index++) {
    const start = ((index * 7919) % 100_003) * 8192;
    known.set(start, start + 4096, index);
  }
  known.set(0, 100_003 * 8192, undefined);
  expect(known.ranges).toBe(0);
});

describe('maps of offsets', () => {
  const place = (rule: string[], offset: number, length = 512, size = 4096) =>
    OffsetMap.parse(rule, '--map-offset').place(request({ op: 'write', offset, length }), size);

  test('move, wrap, choose', () => {
    expect(place([], 1024)).toBe(1024);
    expect(place(['+1k'], 1024)).toBe(2048);
    expect(place(['-1k'], 1024)).toBe(0);
    expect(place(['modulo'], 4096 * 5 + 512)).toBe(512);
    expect(place(['modulo'], 4096 * 5 + 4000)).toBe(4096 - 512);
    expect(place(['0:1k:2k', '8k:1k:0'], 512)).toBe(2560);
    expect(place(['0:1k:2k', '8k:1k:0'], 8192)).toBe(0);
    expect(place(['0:1k:2k', '8k:1k:0'], 4096)).toBeUndefined();
  });

  test.each([
    [[], 4096, 'record 0, a write of 512 bytes at 4096 lies outside the disk of 4096 bytes'],
    [['+4k'], 512, 'record 0, a write of 512 bytes at 512, moved to 4608, lies outside the disk of 4096 bytes'],
    [['-4k'], 512, 'moved to -3584'],
    [['0:1k:2k'], 768, 'lies only in part in 0:1024'],
  ])('%j refuse %d', (rule, offset, message) => expect(() => place(rule, offset)).toThrow(message));

  test.each([[['7']], [['1:2']], [['a:b:c']], [['1:0:2']], [['+1', '+2']], [['+x']]])('%j is none', (rule) =>
    expect(() => place(rule, 0)).toThrow('--map-offset'),
  );
});

test('latencies of any size are known to within two percent', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 2 ** 50 }), { minLength: 1, maxLength: 300 }), (values) => {
      const histogram = new Histogram();
      for (const value of values) histogram.add(value);
      const sorted = values.toSorted((a, b) => a - b);
      for (const part of [0.5, 0.9, 0.99, 1]) {
        const exact = sorted[Math.ceil(part * sorted.length) - 1] ?? 0;
        expect(Math.abs(histogram.quantile(part) - exact)).toBeLessThanOrEqual(Math.max(1, exact * 0.016));
      }
      expect(histogram.max).toBe(sorted.at(-1));
    }),
  );
});
