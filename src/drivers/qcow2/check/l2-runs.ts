/** Entries of L2 tables taken many at a time: clusters that lie one after the other in the file are one run. */
import type { Geometry } from '../meta/geometry.ts';

/** Bits 56–62: a compressed cluster, or reserved. */
const HI_NOT_PLAIN = 0x7f000000;
const HI_OFFSET = 0x00ffffff;
/** Bit 0 of an entry: it reads as zeroes, which says nothing of where it lies. */
const LO_ZERO = 1;
const TWO_32 = 2 ** 32;
/** An upper half that no plain entry has. */
const NO_RUN = HI_NOT_PLAIN;

export class ClusterRuns {
  /** How many there are. */
  count = 0;
  /** The first cluster of each, and how many clusters it has. */
  readonly first: Float64Array;
  readonly length: Int32Array;
  readonly #geometry: Geometry;
  readonly #copied: Uint8Array;
  readonly #limit: number;

  /** Clusters from `limit` on are not taken. */
  constructor(geometry: Geometry, limit: number) {
    this.#geometry = geometry;
    this.#limit = limit;
    this.first = new Float64Array(geometry.l2Entries);
    this.length = new Int32Array(geometry.l2Entries);
    this.#copied = new Uint8Array(geometry.l2Entries);
  }

  /** The entries of a run have the copied flag. */
  isCopied(run: number): boolean {
    return this.#copied[run] === 1;
  }

  /**
   * Take the entries from `at` on that are empty, or of one data cluster (maybe one that reads as zeroes) with nothing
   * wrong in the entry itself. Returns where they end; runs taken before are forgotten. The loop sees every entry of an
   * image: it works on two 32-bit halves in place, and calls nothing.
   */
  collect(view: DataView, at: number, end: number): number {
    const { clusterSize, extendedL2, l2EntrySize } = this.#geometry;
    const { first, length } = this;
    const copied = this.#copied;
    const limit = this.#limit;
    const lowBits = (clusterSize - 1) & ~LO_ZERO;
    let run = -1;
    let hiOfRun: number = NO_RUN;
    let loNext = 0;
    let clusters = 0;
    /** Where the run must end: at the end of the file, or where the upper half of the offset changes. */
    let most = 0;
    for (; at < end; at += l2EntrySize) {
      const hi = view.getInt32(at);
      const lo = view.getInt32(at + 4);
      if (extendedL2 && (view.getInt32(at + 8) & view.getInt32(at + 12)) !== 0) break;
      if (hi === hiOfRun && lo === loNext && clusters < most) {
        clusters++;
        loNext = (lo + clusterSize) | 0;
        continue;
      }
      if ((hi | (lo & ~LO_ZERO)) === 0) {
        if (extendedL2 && view.getInt32(at + 12) !== 0) break;
        continue;
      }
      if ((hi & HI_NOT_PLAIN) !== 0 || (lo & lowBits) !== 0) break;
      const offset = (hi & HI_OFFSET) * TWO_32 + ((lo & ~LO_ZERO) >>> 0);
      const cluster = offset / clusterSize;
      if (offset === 0 || cluster >= limit) break;
      if (run >= 0) length[run] = clusters;
      run++;
      first[run] = cluster;
      copied[run] = hi < 0 ? 1 : 0;
      hiOfRun = hi;
      loNext = (lo + clusterSize) | 0;
      clusters = 1;
      most = Math.min(limit - cluster, (TWO_32 - (lo >>> 0)) / clusterSize);
    }
    if (run >= 0) length[run] = clusters;
    this.count = run + 1;
    return at;
  }
}
