/**
 * Bits in chunks of 65536. A chunk that is all zeroes or all ones takes no memory, and two summaries with a bit for
 * each chunk (some bit is set; all are set) lead past them: finding the next one or zero among 2^31 bits looks at a
 * thousand words of a summary and at most one chunk, and the number of ones is known at any time.
 */
import { lastWordMask, Words } from './words.ts';

const CHUNK_SHIFT = 16;
const CHUNK = 1 << CHUNK_SHIFT;
const CHUNK_WORDS = CHUNK / 32;
const CHUNK_BYTES = CHUNK / 8;

interface Chunk {
  readonly words: Words;
  count: number;
}

export class SparseBits {
  #length: number;
  #count = 0;
  /** Chunks with both zeroes and ones. */
  readonly #mixed = new Map<number, Chunk>();
  /** A bit for each chunk: it has ones; it has no zeroes. */
  #some: Words;
  #full: Words;

  constructor(length: number) {
    this.#length = length;
    this.#some = new Words(summaryWords(length));
    this.#full = new Words(summaryWords(length));
  }

  get length(): number {
    return this.#length;
  }

  /** Bits that are set. */
  get count(): number {
    return this.#count;
  }

  has(index: number): boolean {
    const chunk = chunkOf(index);
    if (this.#full.has(chunk)) return true;
    return this.#mixed.get(chunk)?.words.has(index - chunk * CHUNK) ?? false;
  }

  /** Give the bits [first, end) that value. */
  put(first: number, end: number, value: boolean): void {
    if (first >= end) return;
    if (first === 0 && end === this.#length) {
      this.#putAll(value);
      return;
    }
    const last = chunkOf(end - 1);
    for (let chunk = chunkOf(first); chunk <= last; chunk++) {
      const base = chunk * CHUNK;
      const from = Math.max(first - base, 0);
      const to = Math.min(end - base, this.#capacity(chunk));
      if (to - from === this.#capacity(chunk)) this.#makeUniform(chunk, value);
      else this.#putInChunk(chunk, from, to, value);
    }
  }

  #putAll(value: boolean): void {
    this.#mixed.clear();
    const chunks = chunksFor(this.#length);
    for (const summary of [this.#some, this.#full]) summary.put(0, chunks, value);
    this.#count = value ? this.#length : 0;
  }

  #putInChunk(index: number, from: number, to: number, value: boolean): void {
    if (value ? this.#full.has(index) : !this.#some.has(index)) return;
    const chunk = this.#mix(index);
    const changed = chunk.words.put(from, to, value);
    this.#recount(index, chunk, chunk.count + (value ? changed : -changed));
  }

  /** The chunk as words of its own. */
  #mix(index: number): Chunk {
    const there = this.#mixed.get(index);
    if (there) return there;
    const words = new Words(CHUNK_WORDS);
    const full = this.#full.has(index);
    if (full) words.put(0, this.#capacity(index), true);
    const chunk = { words, count: full ? this.#capacity(index) : 0 };
    this.#mixed.set(index, chunk);
    this.#full.put(index, index + 1, false);
    this.#some.put(index, index + 1, true);
    return chunk;
  }

  /** Take note of the number of ones in a chunk; all or none of them let it go. */
  #recount(index: number, chunk: Chunk, count: number): void {
    this.#count += count - chunk.count;
    chunk.count = count;
    if (count > 0 && count < this.#capacity(index)) return;
    this.#mixed.delete(index);
    this.#some.put(index, index + 1, count > 0);
    this.#full.put(index, index + 1, count > 0);
  }

  #makeUniform(index: number, value: boolean): void {
    this.#count += (value ? this.#capacity(index) : 0) - this.#countOf(index);
    this.#mixed.delete(index);
    this.#some.put(index, index + 1, value);
    this.#full.put(index, index + 1, value);
  }

  #countOf(index: number): number {
    if (this.#full.has(index)) return this.#capacity(index);
    return this.#mixed.get(index)?.count ?? 0;
  }

  #capacity(index: number): number {
    return Math.min(CHUNK, this.#length - index * CHUNK);
  }

  /** The first bit at or after `from`, before `end`, with that value; -1 when there is none. */
  next(from: number, end: number, value: boolean): number {
    if (from >= end) return -1;
    const chunks = chunksFor(end);
    // Chunks in which there may be such a bit: those with a one, or those that are not full.
    const summary = value ? this.#some : this.#full;
    let at = from;
    for (;;) {
      const chunk = summary.next(chunkOf(at), chunks, value);
      if (chunk < 0) return -1;
      const base = chunk * CHUNK;
      const start = Math.max(at, base);
      const mixed = this.#mixed.get(chunk);
      const found = mixed ? mixed.words.next(start - base, this.#capacity(chunk), value) : start - base;
      if (found >= 0) return base + found < end ? base + found : -1;
      at = base + CHUNK;
      if (at >= end) return -1;
    }
  }

  /** Set what is set in `other`, of the same length. */
  unite(other: SparseBits): void {
    const chunks = chunksFor(this.#length);
    for (let at = other.#some.next(0, chunks, true); at >= 0; at = other.#some.next(at + 1, chunks, true)) {
      const theirs = other.#mixed.get(at);
      if (!theirs) this.#makeUniform(at, true);
      else if (!this.#full.has(at)) {
        const chunk = this.#mix(at);
        this.#recount(at, chunk, chunk.count + chunk.words.unite(theirs.words));
      }
    }
  }

  /** Another length: bits past it are gone, new ones are zero. */
  resize(length: number): void {
    const before = this.#length;
    if (length === before) return;
    const border = chunkOf(Math.min(length, before));
    if (length < before) this.put(length, before, false);
    // The chunk at the border may be full no more, or full only now.
    const ones = this.#countOf(border);
    const chunk = ones > 0 ? this.#mix(border) : undefined;
    this.#length = length;
    this.#some = this.#some.resized(summaryWords(length));
    this.#full = this.#full.resized(summaryWords(length));
    if (chunk) this.#recount(border, chunk, ones);
  }

  /** Fill `bytes` with the bits from `firstByte * 8` on, the lowest bit of a byte first; zeroes past the end. */
  read(firstByte: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const position = firstByte + at;
      const chunk = Math.floor(position / CHUNK_BYTES);
      const within = position % CHUNK_BYTES;
      const piece = bytes.subarray(at, at + CHUNK_BYTES - within);
      const mixed = this.#mixed.get(chunk);
      if (mixed) mixed.words.copyOut(within, piece);
      else this.#readUniform(chunk, within, piece);
      at += piece.length;
    }
  }

  #readUniform(chunk: number, within: number, piece: Uint8Array): void {
    const full = chunk < chunksFor(this.#length) && this.#full.has(chunk);
    const bits = full ? this.#capacity(chunk) - within * 8 : 0;
    const whole = Math.max(0, Math.min(piece.length, Math.floor(bits / 8)));
    piece.fill(0xff, 0, whole).fill(0, whole);
    if (whole < piece.length && bits > whole * 8) piece[whole] = lastWordMask(bits - whole * 8);
  }

  /** Take over bits from `firstByte * 8` on; what lies past the end is ignored. */
  write(firstByte: number, bytes: Uint8Array): void {
    const end = Math.min(firstByte + bytes.length, Math.ceil(this.#length / 8));
    for (let position = firstByte; position < end; ) {
      const chunk = Math.floor(position / CHUNK_BYTES);
      const within = position % CHUNK_BYTES;
      const next = Math.min(end, (chunk + 1) * CHUNK_BYTES);
      const mixed = this.#mix(chunk);
      mixed.words.copyIn(within, bytes.subarray(position - firstByte, next - firstByte));
      mixed.words.put(this.#capacity(chunk), CHUNK, false);
      this.#recount(chunk, mixed, mixed.words.count());
      position = next;
    }
  }
}

function chunkOf(index: number): number {
  return Math.floor(index / CHUNK);
}

function chunksFor(length: number): number {
  return Math.ceil(length / CHUNK);
}

function summaryWords(length: number): number {
  return Math.ceil(chunksFor(length) / 32);
}
