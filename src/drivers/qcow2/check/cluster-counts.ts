/**
 * How often each cluster of a file is referenced: pages of small counters, made where the first reference falls.
 *
 * Memory follows what is referenced, not the length that a file claims to have. Pages that hold next to nothing
 * are bounded, so that a few scattered references cannot make it large.
 */
import { isZero } from '../../../core/bytes/zero.ts';
import { BlockError } from '../../../core/errors/block-error.ts';

const PAGE_BITS = 14;
/** Clusters per page. */
export const PAGE = 2 ** PAGE_BITS;
/** Below this a shift tells the page, which is faster than a division. */
const SHIFTABLE = 2 ** 31;
/** Memory in bytes that pages may take beyond what their counters in use account for. */
const SLACK = 64 * 1024 * 1024;
/** Counts stay there, however many references there are. */
export const HIGHEST_COUNT = 0xffffffff;
/** From this many clusters on, a run is filled as a whole where nothing has been counted yet. */
const LONG_RUN = 16;

const ONES = Buffer.alloc(PAGE, 1);

/** Bytes as long as all counts are below 256, which nearly all are for ever. */
export type CountPage = Uint8Array | Uint32Array;

export class ClusterCounts {
  readonly #pages = new Map<number, CountPage>();
  #lastIndex = -1;
  #last: CountPage = new Uint8Array(0);
  #bytes = 0;
  #used = 0;

  /** Some cluster was counted more than once. */
  shared = false;

  /** Add `times` (which may be negative) to the count of a cluster; returns the new count. */
  add(cluster: number, times: number): number {
    const index = pageIndex(cluster);
    const page = index === this.#lastIndex ? this.#last : this.#open(index);
    const at = cluster - index * PAGE;
    const before = page[at] ?? 0;
    const count = Math.min(before + times, HIGHEST_COUNT);
    if (before === 0) this.#used++;
    if (count > 1) this.shared = true;
    if (count > 255 && page instanceof Uint8Array) this.#widen(index, page)[at] = count;
    else page[at] = count;
    return count;
  }

  /** Add `times` (at least 1) to the count of each of `length` clusters from `first` on; returns the largest new count. */
  addRun(first: number, length: number, times = 1): number {
    let largest = 0;
    for (let cluster = first; cluster < first + length; ) {
      const index = pageIndex(cluster);
      const page = index === this.#lastIndex ? this.#last : this.#open(index);
      const from = cluster - index * PAGE;
      const to = Math.min(PAGE, from + first + length - cluster);
      cluster += to - from;
      largest = Math.max(largest, this.#addWithin(index, page, from, to, times));
    }
    if (largest > 1) this.shared = true;
    return largest;
  }

  /** The same for counters [from, to) of a page. */
  #addWithin(index: number, page: CountPage, from: number, to: number, times: number): number {
    if (to - from >= LONG_RUN && times < 256 && page instanceof Uint8Array && isZero(page, from, to)) {
      page.fill(times, from, to);
      this.#used += to - from;
      return times;
    }
    let largest = 0;
    let fresh = 0;
    for (let at = from; at < to; at++) {
      const before = page[at] ?? 0;
      const count = before + times;
      if (count > 255) {
        this.#used += fresh;
        for (; at < to; at++) largest = Math.max(largest, this.add(index * PAGE + at, times));
        return largest;
      }
      if (before === 0) fresh++;
      if (count > largest) largest = count;
      page[at] = count;
    }
    this.#used += fresh;
    return largest;
  }

  /** `alone`: all counts of the run are 1; otherwise none is. */
  isRun(first: number, length: number, alone: boolean): boolean {
    for (let cluster = first; cluster < first + length; ) {
      const index = pageIndex(cluster);
      const page = index === this.#lastIndex ? this.#last : this.#pages.get(index);
      const from = cluster - index * PAGE;
      const to = Math.min(PAGE, from + first + length - cluster);
      cluster += to - from;
      if (page === undefined) {
        if (alone) return false;
        continue;
      }
      if (alone && page instanceof Uint8Array && to - from >= LONG_RUN) {
        if (ONES.compare(page, from, to, 0, to - from) !== 0) return false;
        continue;
      }
      for (let at = from; at < to; at++) if ((page[at] === 1) !== alone) return false;
    }
    return true;
  }

  get(cluster: number): number {
    const index = pageIndex(cluster);
    const page = index === this.#lastIndex ? this.#last : this.#pages.get(index);
    return page?.[cluster - index * PAGE] ?? 0;
  }

  set(cluster: number, count: number): void {
    this.add(cluster, Math.min(count, HIGHEST_COUNT) - this.get(cluster));
  }

  page(index: number): CountPage | undefined {
    return this.#pages.get(index);
  }

  /** Indices of the pages that exist, ascending. */
  pageIndices(): number[] {
    return [...this.#pages.keys()].sort((a, b) => a - b);
  }

  #open(index: number): CountPage {
    const page = this.#pages.get(index) ?? this.#make(index);
    this.#lastIndex = index;
    this.#last = page;
    return page;
  }

  #make(index: number): CountPage {
    const page = new Uint8Array(PAGE);
    this.#account(page.byteLength);
    this.#pages.set(index, page);
    return page;
  }

  #widen(index: number, page: Uint8Array): Uint32Array {
    const wide = Uint32Array.from(page);
    this.#account(wide.byteLength - page.byteLength);
    this.#pages.set(index, wide);
    this.#last = wide;
    this.#lastIndex = index;
    return wide;
  }

  #account(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes <= SLACK + this.#used * 8) return;
    throw new BlockError(
      `the ${this.#used} clusters in use are scattered so widely that counting their references takes over ${SLACK} bytes of memory`,
      { code: 'EFBIG' },
    );
  }
}

function pageIndex(cluster: number): number {
  return cluster < SHIFTABLE ? cluster >>> PAGE_BITS : Math.floor(cluster / PAGE);
}
