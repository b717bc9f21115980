import { describe, expect, test } from 'vitest';
import { BadLine, LineSplitter, MAX_LINE } from '../../../src/commands/io/lines.ts';

/** Lines of `text`, pushed in pieces of `size` bytes; what is wrong in brackets. */
function split(text: string | Buffer, size: number): string[] {
  const lines = new LineSplitter();
  const found: string[] = [];
  const take = (): void => {
    for (let line = lines.next(); line !== undefined; line = lines.next()) {
      found.push(line instanceof BadLine ? `<${line.reason}>` : line);
    }
  };
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) {
    lines.push(bytes.subarray(at, at + size));
    take();
  }
  lines.end();
  take();
  return found;
}

describe('LineSplitter', () => {
  const text = 'read 0 1\n\n length \nnaïve\nlast';

  test.each([1, 2, 3, 7, 1000])('gives the same lines in pieces of %d bytes', (size) => {
    expect(split(text, size)).toEqual(['read 0 1', '', ' length ', 'naïve', 'last']);
  });

  test('takes a final newline for the end of the last line', () => expect(split('a\n', 2)).toEqual(['a']));
  test('gives nothing for nothing', () => expect(split('', 1)).toEqual([]));

  test.each([1, 4, 100])('names a line with a NUL and goes on, in pieces of %d bytes', (size) => {
    expect(split('a\nb\0c\nd\n', size)).toEqual(['a', '<line 2 holds a NUL byte>', 'd']);
  });

  test.each([4096, 65_536])('names a line that is too long and goes on, in pieces of %d bytes', (size) => {
    const long = Buffer.alloc(MAX_LINE + 1, 'x');
    const whole = Buffer.concat([Buffer.from('a\n'), long, Buffer.from('\nb\n'), long]);
    const bad = (number: number) => `<line ${number} is longer than ${MAX_LINE} bytes>`;
    const found = split(whole, size).map((line) => line.slice(0, 50));
    expect(found).toEqual(['a', bad(2), 'b', bad(4)]);
  });

  test('lets a line of just the limit pass', () => {
    expect(split(`${'x'.repeat(MAX_LINE)}\n`, 65_536)[0]).toHaveLength(MAX_LINE);
  });
});
