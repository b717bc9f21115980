/**
 * How often each cluster of a file is referenced: pages of small counters, made where the first reference falls.
 *
 * Memory follows what is referenced, not the length that a file claims to have. Pages that hold next to nothing
 * are bounded, so that a few scattered references cannot make it large.
 */
import { BlockError } from '../../../core/errors/block-error.ts';

/** Clusters per page; a power of two. */
export const PAGE = 16384;
/** Memory in bytes that pages may take beyond what their counters in use account for. */
const SLACK = 64 * 1024 * 1024;

/** Bytes as long as all counts are below 256, which nearly all are for ever. */
export type CountPage = Uint8Array | Uint32Array;

export class ClusterCounts {
  readonly #pages = new Map<number, CountPage>();
  #lastIndex = -1;
  #last: CountPage = new Uint8Array(0);
  #bytes = 0;
  #used = 0;

  /** Add `times` (which may be negative) to the count of a cluster; returns the new count. */
  add(cluster: number, times: number): number {
    const index = Math.floor(cluster / PAGE);
    const page = index === this.#lastIndex ? this.#last : this.#open(index);
    const at = cluster - index * PAGE;
    const before = page[at] ?? 0;
    const count = before + times;
    if (before === 0) this.#used++;
    if (count > 255 && page instanceof Uint8Array) this.#widen(index, page)[at] = count;
    else page[at] = count;
    return count;
  }

  get(cluster: number): number {
    const index = Math.floor(cluster / PAGE);
    const page = index === this.#lastIndex ? this.#last : this.#pages.get(index);
    return page?.[cluster - index * PAGE] ?? 0;
  }

  set(cluster: number, count: number): void {
    const capped = Math.min(count, 0xffffffff);
    this.add(cluster, capped - this.get(cluster));
  }

  page(index: number): CountPage | undefined {
    return this.#pages.get(index);
  }

  /** Indices of the pages that exist, ascending. */
  pageIndices(): number[] {
    return [...this.#pages.keys()].sort((a, b) => a - b);
  }

  /** Clusters with a count above 0, ascending. */
  *clusters(): Generator<number> {
    for (const index of this.pageIndices()) {
      const page = this.#pages.get(index) ?? [];
      for (let at = 0; at < page.length; at++) if (page[at] !== 0) yield index * PAGE + at;
    }
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
