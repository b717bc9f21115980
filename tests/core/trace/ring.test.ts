/** The ring between requests and the writer of a trace. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ADDED, RECORD_WORDS, RING_WORDS, RUN_WORDS, ringMemory, TAKEN } from '../../../src/core/trace/ring-memory.ts';
import { RingReader } from '../../../src/core/trace/ring-reader.ts';
import { type Issued, now, type Request, RingWriter } from '../../../src/core/trace/ring-writer.ts';

const plain: Request = { kind: 0, offset: 0, length: 512, number: 0, depth: 1, node: 0 };

interface Taken extends Request {
  readonly errno: number;
}

/** Take `count` records, or all that there are. */
function take(reader: RingReader, count = Infinity): Taken[] {
  const taken: Taken[] = [];
  while (taken.length < count && reader.seek()) {
    const some = Math.min(reader.left, count - taken.length);
    const { kind, length, errno, depth, node, number } = reader;
    for (let index = 0; index < some; index++) {
      if (reader.end(index) < reader.start(index)) throw new Error(`record ${number + index} ends before it begins`);
      taken.push({ kind, length, errno, depth, node, number: number + index, offset: reader.offset(index) });
    }
    reader.take(some);
  }
  return taken;
}

function issued(fields: Partial<Request>): Issued {
  return { ...plain, ...fields, start: now() };
}

/** Both ends, at a place `words` before the end of the ring, which has gone round `times`. */
function ringBefore(words: number, times = 1): { writer: RingWriter; reader: RingReader } {
  const memory = ringMemory();
  // Both ends count words modulo 2^32.
  const at = new Int32Array(memory.control);
  at[ADDED] = at[TAKEN] = times * RING_WORDS - words;
  return { writer: new RingWriter(memory), reader: new RingReader(memory) };
}

const record = fc.record({
  kind: fc.constantFrom(0, 1, 257),
  offset: fc.nat({ max: 2 ** 50 }),
  length: fc.constantFrom(0, 512, 2 ** 40),
  depth: fc.constantFrom(1, 70_000),
  node: fc.constantFrom(0, 3),
  errno: fc.constantFrom(0, 5),
  times: fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 1, max: 12 }) }, fc.integer({ min: 1, max: 800 })),
  gap: fc.constantFrom(0, 0, 1),
});
const step = fc.oneof(
  { weight: 5, arbitrary: record },
  { weight: 2, arbitrary: fc.constant('publish' as const) },
  { weight: 2, arbitrary: fc.nat(1500) },
);

/** The last ones before the counts of words get negative, and before they are 0 again. */
const turns = fc.constantFrom(1, 2 ** 31 / RING_WORDS, 2 ** 32 / RING_WORDS);

test('what is put in comes out, in runs of any length, also over the end of the ring', () => {
  fc.assert(
    fc.property(fc.nat(200), turns, fc.array(step, { minLength: 1, maxLength: 25 }), (words, times, steps) => {
      const { writer, reader } = ringBefore(words, times);
      const put: Taken[] = [];
      const got: Taken[] = [];
      let number = 0;
      for (const each of steps) {
        if (each === 'publish') expect(writer.publish()).toBe(true);
        else if (typeof each === 'number') got.push(...take(reader, each));
        else {
          const { errno, times, gap, ...fields } = each;
          number += gap;
          for (let index = 0; index < times; index++) {
            const one = { ...fields, offset: fields.offset + index, number: number++ };
            expect(writer.add(issued(one), errno)).toBe(true);
            put.push({ ...one, errno });
          }
        }
      }
      expect(writer.publish()).toBe(true);
      got.push(...take(reader));
      expect(got).toEqual(put);
      expect(writer.recorded).toBe(put.length);
    }),
    { numRuns: 40 },
  );
});

describe('a run', () => {
  test.each([1, RUN_WORDS - 1, RUN_WORDS, RUN_WORDS + 1, RUN_WORDS + RECORD_WORDS + 2])(
    'may begin %d words before the end of the ring',
    (words) => {
      const { writer, reader } = ringBefore(words);
      const numbers = Array.from({ length: 20 }, (_, index) => index);
      for (const number of numbers) writer.add(issued({ number }), 0);
      writer.publish();
      expect(reader.seek()).toBe(true);
      expect(reader.left).toBe(20);
      expect(take(reader).map(({ number }) => number)).toEqual(numbers);
    },
  );

  test.each(['kind', 'length', 'depth', 'node', 'errno', 'number'])('ends with a change of %s alone', (field) => {
    const { writer, reader } = ringBefore(RING_WORDS);
    const alike = { ...plain, errno: 0 };
    const all = [0, 1, 2].map((number) => ({ ...alike, number }));
    all.push({ ...alike, number: 3, [field]: 7 });
    for (const { errno, ...one } of all) writer.add(issued(one), errno);
    writer.publish();
    expect(take(reader)).toEqual(all);
  });

  test('ends with what is published, and another goes on with its numbers', () => {
    const { writer, reader } = ringBefore(RING_WORDS);
    for (let number = 0; number < 10; number++) {
      writer.add(issued({ number }), 0);
      if (number === 3) writer.publish();
    }
    expect(reader.seek()).toBe(true);
    expect(reader.left).toBe(4);
    expect(take(reader)).toHaveLength(4);
    expect(reader.seek()).toBe(false);
    expect(writer.recorded).toBe(10);
    writer.publish();
    expect(take(reader).map(({ number }) => number)).toEqual([4, 5, 6, 7, 8, 9]);
  });
});

test('no more is published than the ring holds, to the word', () => {
  const { writer, reader } = ringBefore(5);
  const pair = RUN_WORDS + 2 * RECORD_WORDS;
  let pairs = 0;
  for (; ; pairs++) {
    for (const number of [0, 1]) writer.add(issued({ number: 2 * pairs + number }), 0);
    if (!writer.publish()) break;
  }
  expect(pairs).toBe(Math.floor(RING_WORDS / pair));
  const numbers = take(reader).map(({ number }) => number);
  expect(numbers).toEqual(Array.from({ length: 2 * pairs }, (_, index) => index));
  expect(writer.publish()).toBe(true);
  expect(take(reader).map(({ number }) => number)).toEqual([2 * pairs, 2 * pairs + 1]);
});

test('a full ring refuses, changes nothing, and goes on when there is room', () => {
  const { writer, reader } = ringBefore(RING_WORDS);
  const put: number[] = [];
  for (let number = 0; writer.add(issued({ number, length: number % 7 }), 0); number++) put.push(number);
  // Runs of one record each, less what is put together and waits.
  expect(put.length).toBeGreaterThanOrEqual(RING_WORDS / (RUN_WORDS + RECORD_WORDS));
  expect(writer.publish()).toBe(false);
  const more = { number: put.length, length: put.length % 7 };
  expect(writer.add(issued(more), 0)).toBe(false);
  writer.begin();
  expect(writer.ended(0, 0, more.length, more.number, 1, 0)).toBe(false);
  expect(writer.left()).toBeGreaterThan(0n);
  expect(writer.recorded).toBe(put.length);
  const got = take(reader, 5000);
  expect(writer.add(issued(more), 0)).toBe(true);
  expect(writer.publish()).toBe(true);
  got.push(...take(reader));
  expect(got.map(({ number }) => number)).toEqual([...put, more.number]);
});

test('requests within requests have their own times, however deep', () => {
  const { writer, reader } = ringBefore(RING_WORDS);
  for (let depth = 0; depth < 40; depth++) writer.begin();
  for (let number = 39; number >= 0; number--) expect(writer.ended(0, 0, 512, number, number + 1, 0)).toBe(true);
  writer.publish();
  const times: [number, number][] = [];
  while (reader.seek()) {
    times[reader.number] = [reader.start(0), reader.end(0)];
    reader.take(1);
  }
  expect(times).toHaveLength(40);
  for (const [index, [start, end]] of times.entries()) {
    const [outerStart, outerEnd] = times[index - 1] ?? [0, Infinity];
    expect(start).toBeGreaterThanOrEqual(outerStart);
    expect(end).toBeLessThanOrEqual(outerEnd);
  }
});

test('somebody is told once when the ring is a quarter full', () => {
  const memory = ringMemory();
  const told: number[] = [];
  const writer = new RingWriter(memory, () => void told.push(writer.recorded));
  const reader = new RingReader(memory);
  for (let number = 0; number < 60_000; number++) {
    writer.add(issued({ number, length: number % 2 }), 0);
    if (number === 40_000) take(reader);
    if (number % 10_000 === 0) take(reader, 100);
  }
  expect(told).toHaveLength(1);
  expect(told[0]).toBeGreaterThan(RING_WORDS / 4 / (RUN_WORDS + RECORD_WORDS) - 1);
  expect(told[0]).toBeLessThan(RING_WORDS / 4 / (RUN_WORDS + RECORD_WORDS) + 500);
});
