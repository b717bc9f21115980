/** Which granules of a disk are dirty. Offsets and lengths are bytes. */
import { nodeCrypto } from '../bytes/node-crypto.ts';
import type { Range } from '../bytes/ranges.ts';
import { alignUp } from '../bytes/ranges.ts';
import { BlockError } from '../errors/block-error.ts';
import { SparseBits } from './sparse-bits.ts';

export const MIN_GRANULARITY = 512;
export const MAX_GRANULARITY = 2 ** 31;
/** Where a disk has no clusters to go by. */
export const DEFAULT_GRANULARITY = 65536;
const MIN_DEFAULT_GRANULARITY = 4096;
/** Bytes hashed at a time. */
const HASH_PIECE = 65536;

/** A stretch of one state. */
export interface DirtyExtent extends Range {
  readonly dirty: boolean;
}

/** The granularity of a bitmap for which none was asked for, by the cluster size of its image in bytes. */
export function defaultGranularity(clusterSize: number | undefined): number {
  if (!clusterSize) return DEFAULT_GRANULARITY;
  return Math.min(DEFAULT_GRANULARITY, Math.max(MIN_DEFAULT_GRANULARITY, clusterSize));
}

export function assertGranularity(granularity: number): void {
  const powerOfTwo = Number.isInteger(Math.log2(granularity));
  if (powerOfTwo && granularity >= MIN_GRANULARITY && granularity <= MAX_GRANULARITY) return;
  throw new BlockError(
    `granularity ${granularity} is not a power of two between ${MIN_GRANULARITY} and ${MAX_GRANULARITY} bytes`,
  );
}

export class DirtyBitmap {
  readonly granularity: number;
  #size: number;
  readonly #bits: SparseBits;

  /** All clean. Throws EINVAL for a granularity that is none. */
  constructor(size: number, granularity: number) {
    assertGranularity(granularity);
    this.granularity = granularity;
    this.#size = size;
    this.#bits = new SparseBits(Math.ceil(size / granularity));
  }

  /** Bytes of the disk. */
  get size(): number {
    return this.#size;
  }

  /** Bytes in dirty granules; the last one counts as a whole. */
  get count(): number {
    return this.#bits.count * this.granularity;
  }

  get isClean(): boolean {
    return this.#bits.count === 0;
  }

  isDirty(offset: number): boolean {
    return this.#bits.has(Math.floor(offset / this.granularity));
  }

  /** Mark every granule that the range touches; what lies past the end of the disk is left out. */
  set(offset: number, length: number): void {
    const end = Math.min(offset + length, this.#size);
    if (end <= offset) return;
    this.#bits.put(Math.floor(offset / this.granularity), Math.ceil(end / this.granularity), true);
  }

  /** Clear the granules that lie wholly in the range: a change of the rest of the others is not forgotten. */
  clear(offset: number, length: number): void {
    const end = offset + length;
    const last = end >= this.#size ? this.#bits.length : Math.floor(end / this.granularity);
    this.#bits.put(Math.ceil(offset / this.granularity), last, false);
  }

  setAll(): void {
    this.#bits.put(0, this.#bits.length, true);
  }

  clearAll(): void {
    this.#bits.put(0, this.#bits.length, false);
  }

  /** The first dirty byte at or after `offset` and before `end`; -1 when there is none. */
  nextDirty(offset: number, end = this.#size): number {
    return this.#next(offset, end, true);
  }

  /** The first clean byte at or after `offset` and before `end`; -1 when there is none. */
  nextClean(offset: number, end = this.#size): number {
    return this.#next(offset, end, false);
  }

  #next(offset: number, end: number, dirty: boolean): number {
    const { granularity } = this;
    const stop = Math.min(end, this.#size);
    const found = this.#bits.next(Math.floor(offset / granularity), Math.ceil(stop / granularity), dirty);
    if (found < 0) return -1;
    const at = Math.max(offset, found * granularity);
    return at < stop ? at : -1;
  }

  /** The next dirty stretch at or after `offset` and before `end`, at most `maxLength` long; undefined: none. */
  nextDirtyRange(offset: number, end = this.#size, maxLength = Number.POSITIVE_INFINITY): Range | undefined {
    const start = this.nextDirty(offset, end);
    if (start < 0) return undefined;
    const limit = Math.min(end, this.#size, start + maxLength);
    const clean = this.nextClean(start, limit);
    return { offset: start, length: (clean < 0 ? limit : clean) - start };
  }

  /** The state at `offset` and for how many bytes, up to `length`, it holds; the disk must go that far. */
  extentAt(offset: number, length: number): { readonly length: number; readonly dirty: boolean } {
    const dirty = this.isDirty(offset);
    const change = this.#next(offset, offset + length, !dirty);
    const end = change < 0 ? Math.min(offset + length, this.#size) : change;
    return { length: end - offset, dirty };
  }

  /** The states of a range in order, neighbours being different. */
  *extents(offset = 0, length = this.#size - offset): Generator<DirtyExtent> {
    const end = Math.min(offset + length, this.#size);
    for (let at = offset; at < end; ) {
      const extent = this.extentAt(at, end - at);
      yield { offset: at, ...extent };
      at += extent.length;
    }
  }

  /** Mark what is dirty in `other`, whatever its granularity. */
  merge(other: DirtyBitmap): void {
    if (other === this) return;
    if (other.granularity === this.granularity && other.#bits.length === this.#bits.length) {
      this.#bits.unite(other.#bits);
      return;
    }
    let range = other.nextDirtyRange(0);
    while (range) {
      this.set(range.offset, range.length);
      range = other.nextDirtyRange(range.offset + range.length);
    }
  }

  /** The disk has another length: new space is clean. */
  resize(size: number): void {
    this.#size = size;
    this.#bits.resize(Math.ceil(size / this.granularity));
  }

  clone(): DirtyBitmap {
    const copy = new DirtyBitmap(this.#size, this.granularity);
    copy.merge(this);
    return copy;
  }

  /** Bytes of the bits as they are stored: a bit for each granule, the lowest of a byte first. */
  get storedBytes(): number {
    return Math.ceil(this.#bits.length / 8);
  }

  /** Fill `bytes` with stored bytes from number `first` on; zeroes where there are none. */
  readStored(first: number, bytes: Uint8Array): void {
    this.#bits.read(first, bytes);
  }

  /** Take over stored bytes from number `first` on. */
  writeStored(first: number, bytes: Uint8Array): void {
    this.#bits.write(first, bytes);
  }

  /** Give the granules that `length` stored bytes from `first` on stand for one state. */
  putStored(first: number, length: number, dirty: boolean): void {
    this.#bits.put(first * 8, Math.min(this.#bits.length, (first + length) * 8), dirty);
  }

  /** All of `length` stored bytes from `first` on are of that state, as far as there are granules. */
  isUniform(first: number, length: number, dirty: boolean): boolean {
    return this.#bits.next(first * 8, Math.min(this.#bits.length, (first + length) * 8), !dirty) < 0;
  }

  /** SHA-256, in hexadecimal, of the bits in words of 64, at least one: what QEMU's debug command tells of its own. */
  sha256(): string {
    const hash = nodeCrypto().createHash('sha256');
    const total = Math.max(8, alignUp(this.storedBytes, 8));
    for (let at = 0; at < total; at += HASH_PIECE) {
      const piece = Buffer.alloc(Math.min(HASH_PIECE, total - at));
      this.readStored(at, piece);
      hash.update(piece);
    }
    return hash.digest('hex');
  }
}
