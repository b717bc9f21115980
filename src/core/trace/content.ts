/**
 * The content of replayed writes. A trace has none, so it is made of a seed, the number of the write among
 * those of its trace, and the offset. Every four bytes at a multiple of four are a number of their own, little-endian, so that the
 * content at an offset does not depend on where its request begins.
 */
const isLittleEndian = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

/** Which content: the seed of the replay, 32 bits, and the number of the write in its trace, from 0. */
export interface ContentKey {
  readonly seed: number;
  readonly number: number;
}

/** Fill `buf` with what `key` writes at `offset`. */
export function fillContent(buf: Uint8Array, key: ContentKey, offset: number): void {
  const base = baseOf(key);
  const head = Math.min(buf.length, (4 - (offset % 4)) % 4);
  fillBytes(buf.subarray(0, head), base, offset);
  const words = Math.floor((buf.length - head) / 4);
  const at = buf.byteOffset + head;
  if (at % 4 === 0 && isLittleEndian) fillWords(new Uint32Array(buf.buffer, at, words), base, (offset + head) / 4);
  else fillBytes(buf.subarray(head, head + words * 4), base, offset + head);
  fillBytes(buf.subarray(head + words * 4), base, offset + head + words * 4);
}

function baseOf({ seed, number }: ContentKey): number {
  const high = Math.floor(number / 2 ** 32);
  return mix(Math.imul(number | 0, 0x9e3779b1) ^ Math.imul(seed | 0, 0x85ebca6b) ^ high);
}

function fillWords(out: Uint32Array, base: number, first: number): void {
  for (let index = 0; index < out.length; index++) out[index] = wordAt(base, first + index);
}

function fillBytes(out: Uint8Array, base: number, offset: number): void {
  for (let index = 0; index < out.length; index++) {
    const at = offset + index;
    out[index] = wordAt(base, Math.floor(at / 4)) >>> (8 * (at % 4));
  }
}

/** `index` counts words from the start of the disk. */
function wordAt(base: number, index: number): number {
  const high = index >= 2 ** 32 ? Math.imul(Math.floor(index / 2 ** 32), 0x27d4eb2f) : 0;
  return mix(base + Math.imul(index | 0, 0x165667b1) + high);
}

/** Spreads every bit of `value` over all. */
function mix(value: number): number {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b | 0);
  return x ^ (x >>> 16);
}
