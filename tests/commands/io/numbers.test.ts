import { describe, expect, test } from 'vitest';
import { parseInteger, parseNumber, parsePattern } from '../../../src/commands/io/numbers.ts';

describe('parseNumber', () => {
  test.each([
    ['0', 0],
    ['512', 512],
    ['64k', 65_536],
    ['64K', 65_536],
    ['1M', 1_048_576],
    ['2g', 2_147_483_648],
    ['1.5k', 1536],
    ['3b', 3],
    ['0x200', 512],
    ['010', 10],
    ['1T', 2 ** 40],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
    ['9223372036854775807', 2 ** 63],
    ['7E', 7 * 2 ** 60],
  ])('reads %s', (text, value) => expect(parseNumber(text)).toBe(value));

  test.each(['', ' ', 'k', 'x', '-1', '1kk', '1.5', '12q', '0x', '1 k', '--1', '1e3'])('refuses %j', (text) => {
    expect(parseNumber(text)).toBe('syntax');
  });

  test.each(['9223372036854775808', '99999999999999999999', '8E', '99999999999G'])('finds %s too large', (text) => {
    expect(parseNumber(text)).toBe('range');
  });
});

test.each([
  ['0', 0],
  ['255', 255],
  ['0xff', 255],
  ['010', 8],
  ['256', undefined],
  ['-1', undefined],
  ['0x', undefined],
  ['09', undefined],
  ['', undefined],
  ['7k', undefined],
])('parsePattern(%j) is %s', (text, value) => expect(parsePattern(text)).toBe(value));

test('parseInteger takes signs', () => {
  expect([parseInteger('-5'), parseInteger('+5'), parseInteger('5x')]).toEqual([-5, 5, undefined]);
});
