/**
 * ASCII text put down in words of eight bytes, and decimal numbers in words of four, which takes a fraction of the stores.
 * A last word may have bytes too many: what is put down next overwrites them, and a buffer needs room for seven more. The
 * words of a text are doubles, since they take no number on the heap: with seven bits to a byte none of them is a NaN,
 * whose bits might not be kept.
 */

export interface Text {
  readonly words: Float64Array;
  /** Bytes. */
  readonly length: number;
}

export function asciiText(ascii: string): Text {
  const { length } = ascii;
  const padded = Buffer.alloc(Math.ceil(length / 8) * 8);
  padded.write(ascii, 'latin1');
  return { words: Float64Array.from({ length: padded.length / 8 }, (_, at) => padded.readDoubleLE(at * 8)), length };
}

/** What stands at byte `at` of `from`. */
export function textAt(from: DataView, at: number, length: number): Text {
  const words = new Float64Array(Math.ceil(length / 8));
  for (let word = 0; word < words.length; word++) words[word] = from.getFloat64(at + word * 8, true);
  return { words, length };
}

/** Put `text` down at byte `at` of `out`; where it ends. */
export function putText(out: DataView, at: number, { words, length }: Text): number {
  for (let word = 0; word << 3 < length; word++) out.setFloat64(at + (word << 3), words[word] ?? 0, true);
  return at + length;
}

/** Words of 0 to 9999 in four digits, and in as many as they have. */
const PADDED = new Uint32Array(10_000);
const PLAIN = new Uint32Array(10_000);

for (let value = 0; value < 10_000; value++) {
  let word = 0;
  for (let place = 24, rest = value; place >= 0; place -= 8, rest = Math.floor(rest / 10)) {
    word |= (48 + (rest % 10)) << place;
  }
  PADDED[value] = word;
  PLAIN[value] = word >>> (value < 10 ? 24 : value < 100 ? 16 : value < 1000 ? 8 : 0);
}

/** Put a whole number from 0 to 2^53 down at byte `at`, in decimal; where it ends. */
export function putDecimal(out: DataView, at: number, value: number): number {
  if (value < 1e8) return putShort(out, at, value | 0);
  const high = Math.floor(value / 1e8);
  const next = high < 1e8 ? putShort(out, at, high | 0) : putDecimal(out, at, high);
  const low = (value - high * 1e8) | 0;
  const middle = (low / 10_000) | 0;
  out.setUint32(next, PADDED[middle] ?? 0, true);
  out.setUint32(next + 4, PADDED[low - middle * 10_000] ?? 0, true);
  return next + 8;
}

/** A whole number below 10^8. */
function putShort(out: DataView, at: number, value: number): number {
  if (value < 10_000) return putFirst(out, at, value);
  const high = (value / 10_000) | 0;
  const next = putFirst(out, at, high);
  out.setUint32(next, PADDED[value - high * 10_000] ?? 0, true);
  return next + 4;
}

/** A whole number below 10^4. */
function putFirst(out: DataView, at: number, value: number): number {
  out.setUint32(at, PLAIN[value] ?? 0, true);
  if (value < 100) return at + (value < 10 ? 1 : 2);
  return at + (value < 1000 ? 3 : 4);
}
