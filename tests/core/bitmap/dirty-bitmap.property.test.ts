/** Random changes of a bitmap against a plain set of granules: every question gets the answer of the set. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DirtyBitmap } from '../../../src/core/bitmap/index.ts';

const GRANULARITY = 512;
/** A few chunks of 65536 granules, and a part of one. */
const sizes = fc.oneof(
  fc.integer({ min: 0, max: 300 }),
  fc.integer({ min: 65_000, max: 66_000 }),
  fc.integer({ min: 131_000, max: 200_000 }),
);

const steps = fc.record({
  kind: fc.constantFrom('set', 'set', 'clear', 'setAll', 'clearAll', 'resize', 'merge', 'store'),
  from: fc.oneof(fc.double({ min: 0, max: 1, noNaN: true }), fc.constantFrom(0, 1)),
  length: fc.oneof(fc.double({ min: 0, max: 1, noNaN: true }), fc.constant(0.0001), fc.constant(0.4)),
  other: fc.integer({ min: 9, max: 16 }),
});
type Step = typeof steps extends fc.Arbitrary<infer T> ? T : never;

/** The plain model: one byte for each granule. */
class Model {
  granules: Uint8Array;
  constructor(granules: number) {
    this.granules = new Uint8Array(granules);
  }
  put(first: number, end: number, value: number): void {
    this.granules.fill(value, Math.max(0, first), Math.max(first, 0, end));
  }
}

function apply(step: Step, bitmap: DirtyBitmap, model: Model): void {
  const granules = model.granules.length;
  // In sectors and a half, so that ranges cut granules.
  const offset = Math.floor(step.from * granules * 2) * (GRANULARITY / 2);
  const length = Math.ceil(step.length * granules * 2) * (GRANULARITY / 2);
  const [first, end] = [offset / GRANULARITY, (offset + length) / GRANULARITY];
  if (step.kind === 'set') {
    bitmap.set(offset, length);
    if (length > 0) model.put(Math.floor(first), Math.ceil(end), 1);
  } else if (step.kind === 'clear') {
    bitmap.clear(offset, length);
    model.put(Math.ceil(first), Math.floor(end), 0);
  } else if (step.kind === 'setAll') {
    bitmap.setAll();
    model.granules.fill(1);
  } else if (step.kind === 'clearAll') {
    bitmap.clearAll();
    model.granules.fill(0);
  } else if (step.kind === 'resize') {
    const next = Math.floor(step.length * 140_000);
    bitmap.resize(next * GRANULARITY);
    const kept = model.granules.subarray(0, next);
    model.granules = new Uint8Array(next);
    model.granules.set(kept);
  } else if (step.kind === 'merge') {
    const other = new DirtyBitmap(bitmap.size, 2 ** step.other);
    other.set(offset, length);
    bitmap.merge(other);
    const unit = other.granularity / GRANULARITY;
    if (length > 0 && offset < bitmap.size) {
      const last = Math.ceil(Math.min(end, granules) / unit) * unit;
      model.put(Math.floor(first / unit) * unit, last, 1);
    }
  } else {
    const bytes = Buffer.alloc(bitmap.storedBytes + 3, 0xee);
    bitmap.readStored(0, bytes);
    bitmap.clearAll();
    // In two pieces, with rubbish behind the end.
    const cut = Math.floor(step.from * bitmap.storedBytes);
    if (bytes.length > bitmap.storedBytes) bytes.fill(0xff, bitmap.storedBytes);
    bitmap.writeStored(cut, bytes.subarray(cut));
    bitmap.writeStored(0, bytes.subarray(0, cut));
  }
}

function agree(bitmap: DirtyBitmap, model: Model): void {
  const { granules } = model;
  let count = 0;
  for (const granule of granules) count += granule;
  expect(bitmap.count).toBe(count * GRANULARITY);
  expect(bitmap.isClean).toBe(count === 0);
  const runs: [number, number, boolean][] = [];
  for (let at = 0; at < granules.length; ) {
    const next = granules.indexOf(granules[at] ? 0 : 1, at);
    const end = next < 0 ? granules.length : next;
    runs.push([at * GRANULARITY, (end - at) * GRANULARITY, granules[at] === 1]);
    at = end;
  }
  expect([...bitmap.extents()].map((extent) => [extent.offset, extent.length, extent.dirty])).toEqual(runs);
  const words = Buffer.alloc(Math.max(8, Math.ceil(granules.length / 64) * 8));
  granules.forEach((granule, index) => {
    if (granule) words[index >> 3] = (words[index >> 3] ?? 0) | (1 << (index & 7));
  });
  expect(bitmap.sha256()).toBe(createHash('sha256').update(words).digest('hex'));
  const middle = Math.floor(granules.length / 2);
  const dirty = granules.indexOf(1, middle);
  expect(bitmap.nextDirty(middle * GRANULARITY)).toBe(dirty < 0 ? -1 : dirty * GRANULARITY);
  const clean = granules.indexOf(0, middle);
  expect(bitmap.nextClean(middle * GRANULARITY)).toBe(clean < 0 ? -1 : clean * GRANULARITY);
}

test('a bitmap answers as a set of granules does', () => {
  fc.assert(
    fc.property(sizes, fc.array(steps, { maxLength: 12 }), (size, list) => {
      const bitmap = new DirtyBitmap(size * GRANULARITY, GRANULARITY);
      const model = new Model(size);
      for (const step of list) {
        apply(step, bitmap, model);
        agree(bitmap, model);
      }
    }),
    { numRuns: 60 },
  );
});
