/** Bits in words of 32, the lowest bit first; their bytes are the same on every machine. */

const LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

export class Words {
  readonly #words: Uint32Array;

  constructor(words: number) {
    this.#words = new Uint32Array(words);
  }

  has(index: number): boolean {
    return ((this.#words[index >>> 5] ?? 0) & (1 << (index & 31))) !== 0;
  }

  /** Give the bits [first, end) that value; how many had another. */
  put(first: number, end: number, value: boolean): number {
    const words = this.#words;
    let changed = 0;
    for (let at = first; at < end; ) {
      const index = at >>> 5;
      const stop = Math.min(end, (index + 1) * 32);
      const mask = maskOf(at & 31, stop - at);
      const before = words[index] ?? 0;
      const next = value ? before | mask : before & ~mask;
      changed += popCount(before ^ next);
      words[index] = next;
      at = stop;
    }
    return changed;
  }

  /** The first bit at or after `from`, before `end`, with that value; -1 when there is none. */
  next(from: number, end: number, value: boolean): number {
    const words = this.#words;
    const flip = value ? 0 : -1;
    let index = from >>> 5;
    const last = (end - 1) >>> 5;
    let word = ((words[index] ?? 0) ^ flip) & (-1 << (from & 31));
    while (word === 0) {
      if (++index > last) return -1;
      word = (words[index] ?? 0) ^ flip;
    }
    const found = index * 32 + 31 - Math.clz32(word & -word);
    return found < end ? found : -1;
  }

  /** Set what is set in `other`; how many were not. */
  unite(other: Words): number {
    const mine = this.#words;
    const theirs = other.#words;
    let changed = 0;
    for (let index = 0; index < mine.length; index++) {
      const before = mine[index] ?? 0;
      const next = before | (theirs[index] ?? 0);
      changed += popCount(before ^ next);
      mine[index] = next;
    }
    return changed;
  }

  /** Bits that are set. */
  count(): number {
    let sum = 0;
    for (const word of this.#words) sum += popCount(word);
    return sum;
  }

  /** The same bits with more words, or fewer. */
  resized(words: number): Words {
    if (words === this.#words.length) return this;
    const other = new Words(words);
    other.#words.set(this.#words.subarray(0, words));
    return other;
  }

  copyOut(firstByte: number, target: Uint8Array): void {
    target.set(this.#bytes().subarray(firstByte, firstByte + target.length));
  }

  copyIn(firstByte: number, source: Uint8Array): void {
    const bytes = this.#bytes();
    bytes.set(source, firstByte);
    if (!LITTLE_ENDIAN) new Uint8Array(this.#words.buffer).set(Buffer.from(bytes).swap32());
  }

  /** In the order of little-endian machines: a view there, a copy elsewhere. */
  #bytes(): Uint8Array {
    const bytes = new Uint8Array(this.#words.buffer);
    return LITTLE_ENDIAN ? bytes : Buffer.from(bytes).swap32();
  }
}

/** The lowest `bits` (at most 31) set. */
export function lastWordMask(bits: number): number {
  return (1 << bits) - 1;
}

function maskOf(from: number, count: number): number {
  return (count === 32 ? -1 : lastWordMask(count)) << from;
}

function popCount(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
