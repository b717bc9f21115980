/** The tables of a new image, written from its layout in large pieces. */
import type { Edge } from '../../core/block/graph/edge.ts';
import { alignUp } from '../../core/bytes/ranges.ts';
import type { NewImage } from './create-options.ts';
import type { Layout } from './layout.ts';
import { ALL_SUBCLUSTERS, entryHi, entryLo } from './meta/entries.ts';
import { clustersFor } from './meta/geometry.ts';
import { setRefcount } from './meta/refcount-entry.ts';
import { viewOf } from './meta/struct.ts';

/** Bytes of a piece, about. */
const PIECE = 2 * 1024 * 1024;

/** Nothing that is written later may need new space on the host, not even for metadata. */
export function reservesSpace({ preallocation }: NewImage): boolean {
  return preallocation === 'falloc' || preallocation === 'full';
}

export interface TableWriterInit {
  readonly file: Edge;
  readonly image: NewImage;
  readonly layout: Layout;
  /** Length of the disk in bytes. */
  readonly size: number;
}

export class TableWriter {
  readonly #file: Edge;
  readonly #image: NewImage;
  readonly #layout: Layout;
  readonly #clusterSize: number;
  readonly #guestClusters: number;

  constructor(init: TableWriterInit) {
    this.#file = init.file;
    this.#image = init.image;
    this.#layout = init.layout;
    this.#clusterSize = init.image.geometry.clusterSize;
    this.#guestClusters = clustersFor(init.image.geometry, init.size);
  }

  /** Refcount table and blocks: every cluster of the layout is used once. */
  async refcounts(): Promise<void> {
    const { refcountTableAt, refcountBlocks, refcountBlocksAt, refcountTableClusters, total } = this.#layout;
    const table = new Uint8Array(refcountTableClusters * this.#clusterSize);
    this.#fillOffsets(table, { first: refcountBlocksAt, count: refcountBlocks, copied: false });
    await this.#file.write(refcountTableAt * this.#clusterSize, table);

    const { refcountBlockEntries, refcountOrder } = this.#image.geometry;
    const ones = new Uint8Array(this.#clusterSize);
    const view = viewOf(ones);
    for (let index = 0; index < refcountBlockEntries; index++) setRefcount(view, index, refcountOrder, 1);
    const full = Math.floor(total / refcountBlockEntries);
    await this.#inPieces(refcountBlocksAt, full, (piece) => {
      for (let at = 0; at < piece.length; at += ones.length) piece.set(ones, at);
    });
    if (full === refcountBlocks) return;
    for (let index = total % refcountBlockEntries; index < refcountBlockEntries; index++) {
      setRefcount(view, index, refcountOrder, 0);
    }
    await this.#file.write((refcountBlocksAt + full) * this.#clusterSize, ones);
  }

  /** Only the entries: where nothing follows, the file ends with them. Whole clusters where space is to be taken at once. */
  async l1Table(): Promise<void> {
    const { l1At, l1Entries, l2At, l2Tables } = this.#layout;
    if (l1Entries === 0) return;
    const unit = reservesSpace(this.#image) ? this.#clusterSize : 1;
    const table = new Uint8Array(alignUp(l1Entries * 8, unit));
    this.#fillOffsets(table, { first: l2At, count: l2Tables, copied: true });
    await this.#file.write(l1At * this.#clusterSize, table);
  }

  /** Entries for all clusters of the disk, where the layout has them. `progress` may throw to end the work. */
  async l2Tables(progress: (done: number, total: number) => void): Promise<void> {
    const { dataAt, l2At, l2Tables } = this.#layout;
    const base = this.#image.dataFile === undefined ? dataAt : 0;
    await this.#inPieces(l2At, l2Tables, (piece, first) => {
      const from = first * this.#image.geometry.l2Entries;
      this.#fillL2(piece, from, (base + from) * this.#clusterSize);
      progress(first, l2Tables);
    });
  }

  /** Entries of consecutive clusters, from the start of a table. */
  #fillOffsets(table: Uint8Array, entries: { first: number; count: number; copied: boolean }): void {
    const view = viewOf(table);
    for (let index = 0; index < entries.count; index++) {
      const offset = (entries.first + index) * this.#clusterSize;
      view.setUint32(index * 8, entryHi(offset, entries.copied));
      view.setUint32(index * 8 + 4, entryLo(offset));
    }
  }

  /**
   * Entries of consecutive guest clusters from number `from` on, for host clusters from `offset` on. Subclusters
   * stay unallocated, so that a backing file shows through, except where the data file counts as it is.
   */
  #fillL2(piece: Uint8Array, from: number, offset: number): void {
    const { geometry, dataFileRaw } = this.#image;
    const { clusterSize, l2EntrySize, extendedL2 } = geometry;
    const view = viewOf(piece);
    const end = Math.min(piece.length, (this.#guestClusters - from) * l2EntrySize);
    let host = offset;
    // What was never written decrypts to noise: the guest is to see zeroes.
    const zero = this.#image.encryption !== undefined && geometry.version >= 3;
    for (let at = 0; at < end; at += l2EntrySize) {
      view.setUint32(at, entryHi(host, true));
      view.setUint32(at + 4, entryLo(host, zero && !extendedL2));
      if (extendedL2 && dataFileRaw) view.setUint32(at + 12, ALL_SUBCLUSTERS);
      host += clusterSize;
    }
    piece.fill(0, end);
  }

  /** Write `count` clusters from number `start` on; `fill` gets each piece and the number of its first cluster. */
  async #inPieces(start: number, count: number, fill: (piece: Uint8Array, first: number) => void): Promise<void> {
    const perPiece = Math.max(1, Math.floor(PIECE / this.#clusterSize));
    const buffer = new Uint8Array(Math.min(count, perPiece) * this.#clusterSize);
    for (let first = 0; first < count; first += perPiece) {
      const piece = buffer.subarray(0, Math.min(perPiece, count - first) * this.#clusterSize);
      fill(piece, first);
      await this.#file.write((start + first) * this.#clusterSize, piece);
    }
  }
}
