import fc from 'fast-check';
import { expect, test } from 'vitest';
import { asciiText, putDecimal, putText, textAt } from '../../../src/core/trace/ascii.ts';

function decimal(value: number): string {
  const out = new DataView(new ArrayBuffer(32));
  const end = putDecimal(out, 3, value);
  return Buffer.from(out.buffer, 3, end - 3).toString('latin1');
}

test('numbers up to 2^53 are put down in decimal, without leading zeroes', () => {
  const edges = Array.from({ length: 17 }, (_, power) => [10 ** power - 1, 10 ** power, 10 ** power + 1]).flat();
  const near = fc.constantFrom(...edges.filter((value) => value <= Number.MAX_SAFE_INTEGER));
  fc.assert(
    fc.property(fc.oneof(near, fc.maxSafeNat(), fc.nat()), (value) => {
      expect(decimal(value)).toBe(String(value));
    }),
    { numRuns: 2000 },
  );
});

test('text is put down and read back at any byte, one piece behind the other', () => {
  const ascii = fc.string({ unit: fc.constantFrom(...'{"node":}#'), maxLength: 20 });
  fc.assert(
    fc.property(fc.array(ascii, { maxLength: 5 }), (pieces) => {
      const out = new DataView(new ArrayBuffer(128));
      let at = 1;
      for (const piece of pieces) at = putText(out, at, asciiText(piece));
      const again = new DataView(new ArrayBuffer(128));
      putText(again, 0, textAt(out, 1, at - 1));
      expect(Buffer.from(again.buffer, 0, at - 1).toString('latin1')).toBe(pieces.join(''));
    }),
  );
});
