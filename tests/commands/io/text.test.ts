import { describe, expect, test } from 'vitest';
import { hexDump, sizeText, timeText, transferFields, transferText } from '../../../src/commands/io/text.ts';

test.each([
  [0, '0 bytes'],
  [40, '40 bytes'],
  [0.954291, '0.954291 bytes'],
  [0.000_123, '0 bytes'],
  [1023, '1023 bytes'],
  [1024, '1 KiB'],
  [4608, '4.500 KiB'],
  [1_048_576 + 65_536, '1.062 MiB'], // a tie: 1.0625 goes to the even digit
  [1_048_576 + 3 * 65_536, '1.188 MiB'], // 1.1875
  [4 * 1_048_576 - 196_608, '3.812 MiB'], // 3.8125
  [1_048_575, '1023.999 KiB'],
  [2 ** 40, '1 TiB'],
  [5 * 2 ** 60, '5 EiB'],
])('sizeText(%d) is %s', (bytes, text) => expect(sizeText(bytes)).toBe(text));

test.each([
  [0, false, '00.00 sec'],
  [0.126, false, '00.13 sec'],
  [1.51, false, '0:00:01.51'],
  [3725.5, false, '1:02:05.50'],
  [0, true, '0:00:00.00'],
])('timeText(%d, %s) is %s', (seconds, withHours, text) => expect(timeText(seconds, withHours)).toBe(text));

describe('a transfer', () => {
  const transfer = { verb: 'read', offset: 512, length: 4096, done: 4096, seconds: 0.5 };

  test('is two lines for people', () => {
    expect(transferText(transfer)).toBe(
      'read 4096/4096 bytes at offset 512\n4 KiB, 1 ops; 00.50 sec (8 KiB/sec and 2.0000 ops/sec)\n',
    );
  });

  test('is one line for programs', () => {
    expect(transferFields(transfer)).toBe('4096,1,0:00:00.50,8192.000,2.000\n');
  });
});

test('hexDump shows sixteen bytes a line, letters and digits beside them', () => {
  let text = '';
  hexDump(Buffer.from('Hello, world! 0123'), 0x1_0000_0000, (piece) => {
    text += piece;
  });
  expect(text).toBe(
    '100000000:  48 65 6c 6c 6f 2c 20 77 6f 72 6c 64 21 20 30 31  Hello..world..01\n100000010:  32 33  23\n',
  );
});
