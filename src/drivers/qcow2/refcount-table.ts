/**
 * The refcount table: all of it in memory.
 *
 * It can grow in memory before it has a new place: entries beyond what the place on disk holds are then kept
 * back, which is safe because nothing is allocated from the blocks they name until the growth is complete.
 * Once the new place is set with `moveTo`, the next write-out writes the whole table there and then the header.
 */
import { CorruptImage } from '../../core/errors/block-error.ts';
import { entryHi, entryLo, refcountBlockOffset, refcountTableHasReservedBits } from './meta/entries.ts';
import { Limit } from './meta/limits.ts';
import { copyOf, viewOf } from './meta/struct.ts';

export interface RefcountTablePiece {
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** The whole table at a new place: the header has to follow. */
  readonly moved: boolean;
  readonly from: number;
  /** Host offsets of the blocks whose entries had no room at the place that the table has left. */
  readonly grownFor: ReadonlySet<number>;
}

export interface RefcountTableInit {
  /** Place on disk, in bytes. */
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly clusterSize: number;
  /** The error for an entry that cannot be one. */
  readonly corrupt: (what: string) => CorruptImage;
}

const NO_OFFSETS: ReadonlySet<number> = new Set();

function hexOf(value: number): string {
  return value === 0 ? '0' : `0x${value.toString(16)}`;
}

export class RefcountTable {
  /** Place on disk, in bytes. */
  offset: number;
  #bytes: Uint8Array;
  #view: DataView;
  /** Bytes that the place on disk holds. */
  #placed: number;
  #moved = false;
  /** Bytes that the place it has left held. */
  #placedBefore = 0;
  #dirtyFrom = Number.MAX_SAFE_INTEGER;
  #dirtyTo = 0;
  readonly #clusterSize: number;

  readonly #corrupt: RefcountTableInit['corrupt'];

  constructor({ offset, bytes, clusterSize, corrupt }: RefcountTableInit) {
    this.offset = offset;
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#placed = bytes.length;
    this.#clusterSize = clusterSize;
    this.#corrupt = corrupt;
  }

  get entries(): number {
    return this.#bytes.length / 8;
  }

  get clusters(): number {
    return this.#placed / this.#clusterSize;
  }

  /** Host offset of a refcount block, 0 when there is none. Throws CorruptImage for an entry that cannot be one. */
  blockOffset(index: number): number {
    if (index >= this.entries) return 0;
    const lo = this.#view.getUint32(index * 8 + 4);
    const offset = refcountBlockOffset(this.#view.getUint32(index * 8), lo);
    if (offset === 0 && lo === 0) return 0;
    if (refcountTableHasReservedBits(lo) || offset % this.#clusterSize !== 0) {
      const place = hexOf(offset + (lo % 512));
      throw this.#corrupt(`Refblock offset ${place} unaligned (reftable index: ${hexOf(index)})`);
    }
    if (offset > Limit.MAX_HOST_OFFSET) throw this.#notCovered(offset);
    return offset;
  }

  /** Throws CorruptImage for a block whose own count no block holds; `blockEntries` is the number of counts in one. */
  assertCovered(blockEntries: number): void {
    for (let index = 0; index < this.entries; index++) {
      const offset = this.blockOffset(index);
      if (offset === 0) continue;
      const cluster = offset / this.#clusterSize;
      if (this.blockOffset(Math.floor(cluster / blockEntries)) === 0) throw this.#notCovered(offset);
    }
  }

  #notCovered(offset: number): CorruptImage {
    return this.#corrupt(`Refblock at ${hexOf(offset)} is not covered by the refcount structures`);
  }

  set(index: number, blockOffset: number): void {
    this.#view.setUint32(index * 8, entryHi(blockOffset, false));
    this.#view.setUint32(index * 8 + 4, entryLo(blockOffset));
    this.#dirtyFrom = Math.min(this.#dirtyFrom, index * 8);
    this.#dirtyTo = Math.max(this.#dirtyTo, index * 8 + 8);
  }

  /** Make room in memory for at least `entries`; returns the clusters that the table now needs on disk. */
  grow(entries: number): number {
    if (entries <= this.entries) return this.clustersNeeded;
    const wanted = Math.max(entries * 8, this.#bytes.length + this.#bytes.length / 2);
    const clusters = Math.ceil(wanted / this.#clusterSize);
    const most = Math.floor(Limit.MAX_REFCOUNT_TABLE_BYTES / this.#clusterSize);
    const size = Math.min(clusters, most) * this.#clusterSize;
    if (size < entries * 8) {
      throw new CorruptImage(`the refcount table would need ${clusters} clusters, the limit is ${most}`, {
        code: 'EFBIG',
      });
    }
    const bytes = new Uint8Array(size);
    bytes.set(this.#bytes);
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    return size / this.#clusterSize;
  }

  /** Clusters that the table as it is in memory takes. */
  get clustersNeeded(): number {
    return this.#bytes.length / this.#clusterSize;
  }

  /** Entries for which there is room on disk. */
  get placedEntries(): number {
    return this.#placed / 8;
  }

  /** The grown table goes to this offset; returns the place it leaves. */
  moveTo(offset: number): { offset: number; clusters: number } {
    const old = { offset: this.offset, clusters: this.clusters };
    this.offset = offset;
    this.#placedBefore = this.#placed;
    this.#placed = this.#bytes.length;
    this.#moved = true;
    return old;
  }

  get dirty(): boolean {
    return this.#moved || this.#dirtyFrom < Math.min(this.#dirtyTo, this.#placed);
  }

  takeDirty(): RefcountTablePiece | undefined {
    if (!this.dirty) return undefined;
    const moved = this.#moved;
    const from = moved ? 0 : this.#dirtyFrom - (this.#dirtyFrom % 512);
    const to = moved ? this.#placed : Math.min(this.#placed, Math.ceil(this.#dirtyTo / 512) * 512);
    this.#moved = false;
    const beyond = this.#dirtyTo > this.#placed;
    this.#dirtyFrom = beyond ? this.#placed : Number.MAX_SAFE_INTEGER;
    if (!beyond) this.#dirtyTo = 0;
    const grownFor = moved ? this.#offsetsFrom(this.#placedBefore / 8) : NO_OFFSETS;
    return { offset: this.offset + from, bytes: copyOf(this.#bytes, from, to), moved, from, grownFor };
  }

  #offsetsFrom(first: number): ReadonlySet<number> {
    const offsets = new Set<number>();
    for (let index = first; index < this.entries; index++) {
      const offset = this.blockOffset(index);
      if (offset !== 0) offsets.add(offset);
    }
    return offsets;
  }

  restore(piece: RefcountTablePiece): void {
    this.#moved ||= piece.moved;
    this.#dirtyFrom = Math.min(this.#dirtyFrom, piece.from);
    this.#dirtyTo = Math.max(this.#dirtyTo, piece.from + piece.bytes.length);
  }

  /** The table as it would be written. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }
}
