import { describe, expect, test } from 'vitest';
import { ByteReader, ConnectionLost } from '../../../src/core/nbd/index.ts';

class Source {
  paused = false;
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
}

const MESSAGE = Buffer.from('a stream of bytes, in pieces');

describe('ByteReader', () => {
  test('hands out the same pieces however the stream is split', async () => {
    for (let split = 0; split <= MESSAGE.length; split++) {
      const reader = new ByteReader(new Source());
      const wanted = [1, 10, 0, 7, 10];
      const got = (async () => {
        const pieces: string[] = [];
        for (const length of wanted)
          pieces.push(Buffer.from(await reader.readExactly(length, 'a piece', 100)).toString());
        return pieces;
      })();
      reader.push(MESSAGE.subarray(0, split));
      await Promise.resolve();
      reader.push(MESSAGE.subarray(split));
      expect(await got).toEqual(['a', ' stream of', '', ' bytes,', ' in pieces']);
    }
  });

  test('takes a byte at a time, into memory of the caller too', async () => {
    const reader = new ByteReader(new Source());
    const target = Buffer.alloc(10);
    const done = (async () => {
      const first = Buffer.from(await reader.readExactly(5, 'a piece', 5)).toString();
      await reader.readInto(target, 'more');
      return first + target.toString() + Buffer.from(await reader.readExactly(13, 'the rest', 13)).toString();
    })();
    for (const byte of MESSAGE) {
      reader.push(Buffer.from([byte]));
      await Promise.resolve();
    }
    expect(await done).toBe(MESSAGE.toString());
  });

  test('gives what is there without a promise', () => {
    const reader = new ByteReader(new Source());
    reader.push(Buffer.from('abc'));
    reader.push(Buffer.from('def'));
    expect(reader.take(7)).toBeUndefined();
    expect(Buffer.from(reader.take(4) ?? []).toString()).toBe('abcd');
    expect(Buffer.from(reader.takeSome(9) ?? []).toString()).toBe('ef');
    expect(reader.buffered).toBe(0);
  });

  test('refuses what is longer than the limit before reading any of it', () => {
    const reader = new ByteReader(new Source());
    expect(() => reader.readExactly(11, 'a name', 10)).toThrow('a name of 11 bytes is longer than the limit of 10');
  });

  test('has what arrives taken at once, until that is enough or the stream ends', async () => {
    const reader = new ByteReader(new Source());
    const taken: string[] = [];
    const take = (): boolean => {
      for (let piece = reader.take(4); piece; piece = reader.take(4)) taken.push(Buffer.from(piece).toString());
      return taken.length >= 3;
    };
    const enough = reader.whenever(4, 'a word', take);
    reader.push(Buffer.from('onetwo'));
    expect(taken).toEqual(['onet']);
    reader.push(Buffer.from('threefour'));
    expect(taken).toEqual(['onet', 'woth', 'reef']);
    await enough;
    const more = reader.whenever(4, 'a word', () => false);
    reader.end();
    await expect(more).rejects.toThrow('within a word: 3 of 4 bytes had arrived');
  });

  test('hands out what arrived in the pieces it arrived in', () => {
    const reader = new ByteReader(new Source());
    reader.push(Buffer.from('abc'));
    expect(reader.takePieces(5)).toBeUndefined();
    reader.push(Buffer.from('defg'));
    expect(reader.takePieces(5)?.map((piece) => Buffer.from(piece).toString())).toEqual(['abc', 'de']);
    expect(reader.buffered).toBe(2);
    expect(reader.takePieces(0)).toEqual([]);
  });

  test('says where the stream ended', async () => {
    const reader = new ByteReader(new Source());
    reader.push(Buffer.from('ab'));
    const within = Promise.resolve(reader.readExactly(4, 'a header', 4)).catch((error: unknown) => error);
    reader.end();
    expect(await within).toMatchObject({
      message: 'the connection was closed within a header: 2 of 4 bytes had arrived',
      clean: false,
    });
    const empty = new ByteReader(new Source());
    empty.end();
    const before = await Promise.resolve(empty.readExactly(4, 'a header', 4)).catch((error: unknown) => error);
    expect(before).toBeInstanceOf(ConnectionLost);
    expect(before).toMatchObject({ clean: true });
  });

  test('does not pause for what was waited for, until more comes that nobody takes', async () => {
    const source = new Source();
    const reader = new ByteReader(source, 8);
    const there = reader.available(16, 'a message');
    reader.push(Buffer.alloc(20));
    expect(source.paused).toBe(false);
    await there;
    reader.push(Buffer.alloc(1));
    expect(source.paused).toBe(true);
  });

  test('does not leave a source paused when who takes what arrives waits for more', async () => {
    const source = new Source();
    const reader = new ByteReader(source, 8);
    const rest: (Promise<void> | void)[] = [];
    const taking = reader.whenever(4, 'a header', () => {
      reader.take(4);
      rest.push(reader.available(64, 'a payload'));
      return true;
    });
    reader.push(Buffer.alloc(40));
    await taking;
    expect(source.paused).toBe(false);
    reader.push(Buffer.alloc(28));
    await Promise.all(rest);
    expect(reader.takePieces(64)?.map(({ length }) => length)).toEqual([36, 28]);
  });

  test('pauses a source that floods, and resumes it when somebody waits for more', async () => {
    const source = new Source();
    const reader = new ByteReader(source, 8);
    reader.push(Buffer.alloc(9));
    expect(source.paused).toBe(true);
    const long = reader.readExactly(20, 'a long piece', 20);
    expect(source.paused).toBe(false);
    reader.push(Buffer.alloc(11));
    expect((await long).length).toBe(20);
    reader.push(Buffer.alloc(9));
    expect(source.paused).toBe(true);
    reader.take(5);
    expect(source.paused).toBe(false);
  });
});
