/** Replies in pieces of any size, and replies that lie: each is an error, and none is ever taken for data. */
import { describe, expect, test } from 'vitest';
import type { BlockError } from '../../../../src/core/errors/block-error.ts';
import type { ReplyMode } from '../../../../src/core/nbd/client/negotiation.ts';
import { ReplyParser } from '../../../../src/core/nbd/client/reply-parser.ts';
import { ChunkType, type ClientRequest, Command } from '../../../../src/core/nbd/index.ts';
import { DONE, extendedChunk, simpleReply, structuredChunk, u16, u32, u64 } from './reply-messages.ts';

const CONTEXT = 3;
const COOKIE = { high: 1, low: 0 };

function request(command: number, offset: number, length: number, pieces: readonly number[] = [length]) {
  const buffers = command === Command.READ ? pieces.map((size) => Buffer.alloc(size, 0xee)) : [];
  const made: ClientRequest = {
    command,
    flags: 0,
    offset,
    length,
    buffers,
    done: () => undefined,
    progress: undefined,
    error: undefined,
    errors: 0,
    status: undefined,
  };
  return made;
}

interface Outcome {
  readonly finished: number;
  readonly error: BlockError | undefined;
  readonly atBoundary: boolean;
}

/** Feed `bytes`, `step` at a time, to a parser that knows one request. */
function parse(mode: ReplyMode, asked: ClientRequest, bytes: Uint8Array, step = bytes.length): Outcome {
  let finished = 0;
  let last: BlockError | undefined;
  const parser = new ReplyParser(mode, CONTEXT, {
    find: (high, low) => (high === COOKIE.high && low === COOKIE.low && finished === 0 ? asked : undefined),
    finished: (_request, _low, error) => {
      finished++;
      last = error;
    },
  });
  // A chunk is only lent: what is behind it changes at once.
  const lent = Buffer.alloc(Math.max(1, step));
  for (let at = 0; at < bytes.length; at += step) {
    const part = bytes.subarray(at, at + step);
    lent.set(part);
    parser.feed(lent.subarray(0, part.length));
    lent.fill(0xdd);
  }
  return { finished, error: last, atBoundary: parser.atBoundary };
}

const pattern = (length: number, seed = 1) =>
  Buffer.from(Array.from({ length }, (_, index) => (index * 7 + seed) & 0xff));

const data = (offset: number, bytes: Uint8Array, flags = 0) => ({
  flags,
  type: ChunkType.OFFSET_DATA,
  payload: Buffer.concat([u64(offset), bytes]),
});
const hole = (offset: number, length: number, flags = 0) => ({
  flags,
  type: ChunkType.OFFSET_HOLE,
  payload: Buffer.concat([u64(offset), u32(length)]),
});
const none = { flags: DONE, type: ChunkType.NONE };
const error = (code: number, text: string, flags = DONE) => ({
  flags,
  type: ChunkType.ERROR,
  payload: Buffer.concat([u32(code), u16(Buffer.byteLength(text)), Buffer.from(text)]),
});

const STEPS = [1, 2, 3, 7, 19, 1000];

describe('replies in pieces', () => {
  test.each(STEPS)('of %d bytes: a simple reply with data', (step) => {
    const bytes = pattern(300);
    const asked = request(Command.READ, 4096, 300, [100, 1, 199]);
    const outcome = parse('simple', asked, simpleReply(COOKIE, 0, bytes), step);
    expect(outcome).toEqual({ finished: 1, error: undefined, atBoundary: true });
    expect(Buffer.concat(asked.buffers).equals(bytes)).toBe(true);
  });

  test.each(STEPS)('of %d bytes: data and holes in any order', (step) => {
    const bytes = pattern(400);
    bytes.fill(0, 100, 250);
    const chunks = [data(1250, bytes.subarray(250, 300)), hole(1100, 150), data(1000, bytes.subarray(0, 100))];
    const last = data(1300, bytes.subarray(300), DONE);
    for (const pieces of [[400], [150, 100, 150]]) {
      const structured = request(Command.READ, 1000, 400, pieces);
      const reply = Buffer.concat([...chunks, last].map((chunk) => structuredChunk(COOKIE, chunk)));
      expect(parse('structured', structured, reply, step)).toMatchObject({ finished: 1, error: undefined });
      expect(Buffer.concat(structured.buffers).equals(bytes)).toBe(true);
      const extended = request(Command.READ, 1000, 400, pieces);
      const wide = Buffer.concat(
        [...chunks, data(1300, bytes.subarray(300)), none].map((chunk) => extendedChunk(COOKIE, 1000, chunk)),
      );
      expect(parse('extended', extended, wide, step)).toMatchObject({ finished: 1, error: undefined });
      expect(Buffer.concat(extended.buffers).equals(bytes)).toBe(true);
    }
  });

  test.each(STEPS)('of %d bytes: all of the data in one chunk', (step) => {
    const bytes = pattern(300);
    const far = 2 ** 33 + 512;
    for (const mode of ['structured', 'extended'] as const) {
      const asked = request(Command.READ, far, 300, [100, 200]);
      const chunk = data(far, bytes, DONE);
      const reply = mode === 'structured' ? structuredChunk(COOKIE, chunk) : extendedChunk(COOKIE, far, chunk);
      expect(parse(mode, asked, reply, step)).toEqual({ finished: 1, error: undefined, atBoundary: true });
      expect(Buffer.concat(asked.buffers).equals(bytes)).toBe(true);
    }
  });

  test.each(STEPS)('of %d bytes: block status, narrow and wide', (step) => {
    const narrow = request(Command.BLOCK_STATUS, 0, 1 << 20);
    const payload = Buffer.concat([u32(CONTEXT), u32(65_536), u32(3), u32(1 << 20), u32(0)]);
    const chunk = { flags: DONE, type: ChunkType.BLOCK_STATUS, payload };
    expect(parse('structured', narrow, structuredChunk(COOKIE, chunk), step).error).toBeUndefined();
    expect(narrow.status).toEqual({ extended: false, descriptors: Uint8Array.from(payload.subarray(4)) });
    const wide = request(Command.BLOCK_STATUS, 0, 1 << 20);
    const long = Buffer.concat([u32(CONTEXT), u32(1), u64(2 ** 40), u64(1)]);
    const wideChunk = { flags: DONE, type: ChunkType.BLOCK_STATUS_EXT, payload: long };
    expect(parse('extended', wide, extendedChunk(COOKIE, 0, wideChunk), step).error).toBeUndefined();
    expect(wide.status).toEqual({ extended: true, descriptors: Uint8Array.from(long.subarray(8)) });
  });

  test.each(STEPS)('of %d bytes: an error with text, and what follows it', (step) => {
    const asked = request(Command.READ, 0, 100);
    const reply = [error(5, 'bad\nsector', 0), data(0, pattern(50)), none].map((chunk) =>
      structuredChunk(COOKIE, chunk),
    );
    const outcome = parse('structured', asked, Buffer.concat(reply), step);
    expect(outcome.finished).toBe(1);
    expect(outcome.error).toMatchObject({ code: 'EIO', message: 'Input/output error (the server says: bad sector)' });
  });
});

test('errors of the wire become our codes', () => {
  for (const [number, code] of [
    [1, 'EPERM'],
    [5, 'EIO'],
    [12, 'ENOMEM'],
    [22, 'EINVAL'],
    [28, 'ENOSPC'],
    [75, 'EINVAL'],
    [95, 'ENOTSUP'],
    [108, 'ESHUTDOWN'],
    [12_345, 'EINVAL'],
  ] as const) {
    expect(parse('simple', request(Command.WRITE, 0, 4), simpleReply(COOKIE, number)).error?.code).toBe(code);
  }
});

describe('replies that lie', () => {
  const read = () => request(Command.READ, 1000, 100);
  const status = () => request(Command.BLOCK_STATUS, 0, 4096);
  const write = () => request(Command.WRITE, 0, 100);
  const chunks = (...list: Parameters<typeof structuredChunk>[1][]) =>
    Buffer.concat(list.map((chunk) => structuredChunk(COOKIE, chunk)));
  const statusChunk = (...words: number[]) => ({
    flags: DONE,
    type: ChunkType.BLOCK_STATUS,
    payload: Buffer.concat(words.map(u32)),
  });
  const cases: readonly (readonly [string, ReplyMode, () => ClientRequest, Buffer])[] = [
    ['a wrong magic', 'structured', read, Buffer.alloc(64, 0x5a)],
    ['an old magic', 'simple', read, Buffer.concat([u32(0x96744668), Buffer.alloc(12)])],
    ['a structured reply where simple ones were agreed on', 'simple', read, chunks(none)],
    ['an extended reply where structured ones were agreed on', 'structured', read, extendedChunk(COOKIE, 1000, none)],
    ['a simple reply where extended ones were agreed on', 'extended', write, simpleReply(COOKIE, 0)],
    ['a simple reply to a structured read', 'structured', read, simpleReply(COOKIE, 0, pattern(100))],
    ['a simple error to a structured read', 'structured', read, simpleReply(COOKIE, 5)],
    ['a simple reply to block status', 'structured', status, simpleReply(COOKIE, 0)],
    [
      'a simple reply after a chunk',
      'structured',
      write,
      Buffer.concat([chunks(error(5, '', 0)), simpleReply(COOKIE, 0)]),
    ],
    ['a cookie that is not known', 'simple', read, simpleReply({ high: 1, low: 7 }, 0, pattern(100))],
    ['a cookie of the past', 'simple', read, simpleReply({ high: 0, low: 0 }, 0, pattern(100))],
    ['a second reply', 'simple', write, Buffer.concat([simpleReply(COOKIE, 0), simpleReply(COOKIE, 0)])],
    ['data before the request', 'structured', read, chunks(data(999, pattern(100), DONE))],
    ['data beyond the request', 'structured', read, chunks(data(1001, pattern(100), DONE))],
    ['more data than asked for', 'structured', read, chunks(data(1000, pattern(101), DONE))],
    [
      'data at 2^63',
      'structured',
      read,
      chunks({ type: ChunkType.OFFSET_DATA, payload: Buffer.concat([u64(1n << 63n), pattern(9)]) }),
    ],
    ['a chunk of 4 GiB', 'structured', read, chunks({ type: ChunkType.OFFSET_DATA, length: 0xffff_ffff })],
    [
      'a chunk of 2^64 - 1 bytes',
      'extended',
      read,
      extendedChunk(COOKIE, 1000, { type: ChunkType.OFFSET_DATA, length: (1n << 64n) - 1n }),
    ],
    ['a chunk with an offset alone', 'structured', read, chunks({ type: ChunkType.OFFSET_DATA, payload: u64(1000) })],
    ['overlapping data', 'structured', read, chunks(data(1000, pattern(60)), data(1050, pattern(50), DONE))],
    ['data inside of other data', 'structured', read, chunks(data(1000, pattern(100)), data(1050, pattern(5), DONE))],
    ['data around other data', 'structured', read, chunks(data(1050, pattern(5)), data(1040, pattern(50), DONE))],
    ['a hole over data', 'structured', read, chunks(data(1000, pattern(60)), hole(1000, 100, DONE))],
    ['the same chunk twice', 'structured', read, chunks(data(1000, pattern(60)), data(1000, pattern(60), DONE))],
    ['a hole of no bytes', 'structured', read, chunks(hole(1000, 0))],
    ['a hole that is too long', 'structured', read, chunks(hole(1000, 0xffff_ffff))],
    [
      'a hole of the wrong length',
      'structured',
      read,
      chunks({ type: ChunkType.OFFSET_HOLE, payload: Buffer.alloc(11) }),
    ],
    ['an end before all has come', 'structured', read, chunks(data(1000, pattern(99)), none)],
    ['an end with a gap', 'structured', read, chunks(data(1000, pattern(40)), data(1060, pattern(40), DONE))],
    ['an end before anything has come', 'structured', read, chunks(none)],
    ['an empty chunk that is not the last', 'structured', read, chunks({ type: ChunkType.NONE })],
    ['an empty chunk with content', 'structured', read, chunks({ flags: DONE, type: ChunkType.NONE, payload: u32(1) })],
    ['data in reply to a write', 'structured', write, chunks(data(0, pattern(10), DONE))],
    ['status in reply to a read', 'structured', read, chunks(statusChunk(CONTEXT, 100, 0))],
    ['an unknown chunk', 'structured', read, chunks({ flags: DONE, type: 99 })],
    ['a reply for another offset', 'extended', read, extendedChunk(COOKIE, 1001, none)],
    ['status of another context', 'structured', status, chunks(statusChunk(CONTEXT + 1, 4096, 0))],
    ['status of no extents', 'structured', status, chunks(statusChunk(CONTEXT))],
    ['status of half an extent', 'structured', status, chunks(statusChunk(CONTEXT, 4096))],
    ['status of 4 GiB', 'structured', status, chunks({ type: ChunkType.BLOCK_STATUS, length: 0xffff_fff4 })],
    [
      'status twice',
      'structured',
      status,
      chunks({ ...statusChunk(CONTEXT, 4096, 0), flags: 0 }, statusChunk(CONTEXT, 4096, 0)),
    ],
    ['status that never comes', 'structured', status, chunks(none)],
    [
      '64-bit status unasked for',
      'structured',
      status,
      chunks({ flags: DONE, type: ChunkType.BLOCK_STATUS_EXT, payload: Buffer.alloc(24) }),
    ],
    [
      'a wrong count of extents',
      'extended',
      status,
      extendedChunk(COOKIE, 0, {
        flags: DONE,
        type: ChunkType.BLOCK_STATUS_EXT,
        payload: Buffer.concat([u32(CONTEXT), u32(9), u64(5), u64(0)]),
      }),
    ],
    ['an error that is too short', 'structured', read, chunks({ flags: DONE, type: ChunkType.ERROR, payload: u32(5) })],
    [
      'an error with more text than it has',
      'structured',
      read,
      chunks({ flags: DONE, type: ChunkType.ERROR, payload: Buffer.concat([u32(5), u16(9), Buffer.from('short')]) }),
    ],
    ['an error of 1 MiB', 'structured', read, chunks({ flags: DONE, type: ChunkType.ERROR, length: 1 << 20 })],
    [
      'an error at an offset outside',
      'structured',
      read,
      chunks({ flags: DONE, type: ChunkType.ERROR_OFFSET, payload: Buffer.concat([u32(5), u16(0), u64(5000)]) }),
    ],
    [
      'errors without end',
      'structured',
      read,
      Buffer.concat(Array.from({ length: 2000 }, () => chunks(error(5, '', 0)))),
    ],
  ];

  test.each(cases)('%s', (_name, mode, make, bytes) => {
    for (const step of [bytes.length, 1]) {
      let outcome: Outcome | undefined;
      expect(() => {
        outcome = parse(mode, make(), bytes, step);
      }).toThrow(/^the server breaks the NBD protocol: /);
      expect(outcome).toBeUndefined();
    }
  });

  test('a simple reply whose numbers are those of a chunk', () => {
    // The error number reads like flags and type, the cookie like a length.
    const low = 4 + 8;
    const asked = request(Command.READ, 0, 4);
    const parser = new ReplyParser('structured', CONTEXT, {
      find: (_high, cookie) => (cookie === low ? asked : undefined),
      finished: () => undefined,
    });
    const reply = simpleReply({ high: 1, low }, 0x1_0001, Buffer.concat([u64(0), pattern(4)]));
    expect(() => parser.feed(reply)).toThrow('a simple reply where a structured one is demanded');
  });

  test('data scattered over too many places', () => {
    const asked = request(Command.READ, 0, 1 << 20);
    const scattered = Array.from({ length: 10_000 }, (_, index) => chunks(data(index * 100, pattern(1))));
    expect(() => parse('structured', asked, Buffer.concat(scattered))).toThrow(/stretches/);
  });
});
