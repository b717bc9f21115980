/** The active L1 table: all of it in memory, changed sectors written by `write-out.ts`. */
import { hostOffset, isCopied } from './meta/entries.ts';
import { copyOf, viewOf } from './meta/struct.ts';

export interface L1Piece {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly from: number;
}

export class L1Table {
  /** Host offset. */
  offset: number;
  #bytes: Uint8Array;
  #view: DataView;
  #dirtyFrom = Number.MAX_SAFE_INTEGER;
  #dirtyTo = 0;
  readonly #writeUnit: number;

  constructor(offset: number, bytes: Uint8Array, writeUnit: number) {
    this.offset = offset;
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#writeUnit = writeUnit;
  }

  get entries(): number {
    return this.#bytes.length / 8;
  }

  /** The table as it would be written. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  hi(index: number): number {
    return this.#view.getUint32(index * 8);
  }

  lo(index: number): number {
    return this.#view.getUint32(index * 8 + 4);
  }

  /** Host offset of the L2 table, 0 when there is none. */
  l2Offset(index: number): number {
    return hostOffset(this.hi(index), this.lo(index));
  }

  isCopied(index: number): boolean {
    return isCopied(this.hi(index));
  }

  set(index: number, hi: number, lo: number): void {
    this.#view.setUint32(index * 8, hi);
    this.#view.setUint32(index * 8 + 4, lo);
    this.#dirtyFrom = Math.min(this.#dirtyFrom, index * 8);
    this.#dirtyTo = Math.max(this.#dirtyTo, index * 8 + 8);
  }

  /** First index from `index` on, below `end`, whose entry is not zero; `end` when all are. */
  nextUsed(index: number, end: number): number {
    const view = this.#view;
    for (let at = index; at < end; at++) {
      if (view.getUint32(at * 8) !== 0 || view.getUint32(at * 8 + 4) !== 0) return at;
    }
    return end;
  }

  get dirty(): boolean {
    return this.#dirtyFrom < this.#dirtyTo;
  }

  takeDirty(): L1Piece | undefined {
    if (!this.dirty) return undefined;
    const unit = this.#writeUnit;
    const from = this.#dirtyFrom - (this.#dirtyFrom % unit);
    const to = Math.min(this.#bytes.length, Math.ceil(this.#dirtyTo / unit) * unit);
    this.#dirtyFrom = Number.MAX_SAFE_INTEGER;
    this.#dirtyTo = 0;
    return { offset: this.offset + from, from, bytes: copyOf(this.#bytes, from, to) };
  }

  /** A piece could not be written. */
  restore(piece: L1Piece): void {
    this.#dirtyFrom = Math.min(this.#dirtyFrom, piece.from);
    this.#dirtyTo = Math.max(this.#dirtyTo, piece.from + piece.bytes.length);
  }

  /** Another table takes the place of this one, as it is on disk at `offset`. */
  replaceBy(offset: number, bytes: Uint8Array): void {
    this.offset = offset;
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#dirtyFrom = Number.MAX_SAFE_INTEGER;
    this.#dirtyTo = 0;
  }

  /** The table now lies elsewhere, with `entries` entries; new ones are zero. What is dirty stays so. */
  moveTo(offset: number, entries: number): void {
    const bytes = new Uint8Array(entries * 8);
    bytes.set(this.#bytes.subarray(0, bytes.length));
    this.offset = offset;
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
  }
}
