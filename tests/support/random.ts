/** Randomness that can be repeated: everything drawn follows from a seed, which tests put in their names. */

/** A small generator (xorshift with multiplication); good enough to pick cases, not for secrets. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = (Math.imul(seed | 0, 0x9e3779b1) ^ 0x6a09e667) >>> 0;
    for (let round = 0; round < 4; round++) this.word();
  }

  /** 32 random bits. */
  word(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let value = this.#state;
    value = Math.imul(value ^ (value >>> 15), value | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return (value ^ (value >>> 14)) >>> 0;
  }

  /** A whole number from 0 up to and without `limit`. */
  below(limit: number): number {
    return Math.floor(((this.word() * 2 ** 21 + (this.word() >>> 11)) / 2 ** 53) * limit);
  }

  /** A whole number from `low` up to and with `high`. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** A whole number from 0 up to and with `high`; all magnitudes are about equally likely. */
  magnitude(high: number): number {
    return Math.min(high, this.below(2 ** this.between(0, Math.ceil(Math.log2(high + 1)))));
  }

  chance(probability: number): boolean {
    return this.word() < probability * 2 ** 32;
  }

  pick<T>(list: readonly T[]): T {
    const item = list[this.below(list.length)];
    if (item === undefined) throw new Error('nothing to pick from');
    return item;
  }

  /** A copy in random order. */
  shuffled<T>(list: readonly T[]): T[] {
    return list
      .map((item) => ({ item, key: this.word() }))
      .sort((a, b) => a.key - b.key)
      .map(({ item }) => item);
  }

  bytes(length: number): Buffer {
    const buffer = Buffer.allocUnsafe(length);
    let at = 0;
    for (; at + 4 <= length; at += 4) buffer.writeUInt32LE(this.word(), at);
    for (; at < length; at++) buffer[at] = this.word() & 0xff;
    return buffer;
  }
}

/**
 * Seeds for `count` runs of a random test. They are 1, 2, 3 … unless BLOCKYARD_SEED says where to start;
 * BLOCKYARD_ROUNDS multiplies their number, for long runs.
 */
export function seeds(count: number): number[] {
  const first = Number(process.env.BLOCKYARD_SEED ?? 1);
  const rounds = process.env.BLOCKYARD_SEED === undefined ? Number(process.env.BLOCKYARD_ROUNDS ?? 1) * count : 1;
  return Array.from({ length: Math.max(1, Math.round(rounds)) }, (_, index) => first + index);
}
