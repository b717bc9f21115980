/** The counts on disk against the references found: lost references are leaks, counts too low are errors. */
import { isZero } from '../../../core/bytes/zero.ts';
import { viewOf } from '../meta/struct.ts';
import { type CountPage, PAGE } from './cluster-counts.ts';
import { readTables } from './read-ahead.ts';
import { countAt, type RefcountTableCopy } from './refcount-blocks.ts';
import type { CheckState } from './state.ts';

/** Clusters [first, end). */
export interface ClusterSpan {
  readonly first: number;
  readonly end: number;
}

/**
 * Compare all clusters of the file. Afterwards the counts in `state` are those on disk, as far as clusters are
 * referenced at all; with `keep` they stay the references found. Returns the spans whose counts cannot be had.
 */
export async function compareCounts(
  state: CheckState,
  table: RefcountTableCopy,
  { keep = false } = {},
): Promise<ClusterSpan[]> {
  const { clusterSize, refcountBlockEntries } = state.geometry;
  const comparison = new Comparison(state, keep);
  const blocks = Math.min(table.offsets.length, Math.ceil(state.clusters / refcountBlockEntries));
  const spanOf = (index: number) => ({ first: index * refcountBlockEntries, end: (index + 1) * refcountBlockEntries });
  let index = 0;
  /** Deal with what has no block that can be read, up to the next index that has one. */
  const skip = (): void => {
    for (; index < blocks && !isReadable(table.offsets[index], clusterSize); index++) {
      const offset = table.offsets[index] ?? 0;
      if (offset === 0) comparison.without(spanOf(index));
      else comparison.unreadable(spanOf(index), offset);
    }
  };
  const readable = table.offsets.subarray(0, blocks).filter((offset) => isReadable(offset, clusterSize));
  await readTables(state.image.file, readable, clusterSize, (run) => {
    for (let at = 0; at < run.offsets.length; at++) {
      skip();
      const bytes = new Uint8Array(run.view.buffer, run.view.byteOffset + at * clusterSize, clusterSize);
      comparison.block(spanOf(index++), bytes);
    }
    return state.breathe();
  });
  skip();
  comparison.without({ first: blocks * refcountBlockEntries, end: state.clusters });
  state.result.imageEndOffset = (comparison.highest + 1) * clusterSize;
  return comparison.unknown;
}

/** Clusters [first, end), and where their counts begin in a block and in a page. */
interface Chunk extends ClusterSpan {
  readonly inBlock: number;
  readonly inPage: number;
}

function isReadable(offset: number | undefined, clusterSize: number): boolean {
  return offset !== undefined && offset !== 0 && offset % clusterSize === 0;
}

class Comparison {
  readonly unknown: ClusterSpan[] = [];
  /** The last cluster that is counted or referenced. */
  highest = 0;
  readonly #state: CheckState;
  readonly #keep: boolean;
  readonly #pages: readonly number[];
  #nextPage = 0;

  constructor(state: CheckState, keep: boolean) {
    this.#state = state;
    this.#keep = keep;
    this.#pages = state.counts.pageIndices();
  }

  /** Clusters whose counts are in a block. */
  block(span: ClusterSpan, bytes: Uint8Array): void {
    const order = this.#state.geometry.refcountOrder;
    const end = Math.min(span.end, this.#state.clusters);
    for (let from = span.first; from < end; ) {
      const pageIndex = Math.floor(from / PAGE);
      const to = Math.min(end, (pageIndex + 1) * PAGE);
      const page = this.#state.counts.page(pageIndex);
      const chunk = { first: from, end: to, inBlock: from - span.first, inPage: from - pageIndex * PAGE };
      if (page instanceof Uint8Array && order === 4) this.#chunkOf16(chunk, bytes, page);
      else if (page || !allZero(bytes, from - span.first, to - span.first, order)) this.#chunk(chunk, bytes, page);
      from = to;
    }
  }

  #chunk(chunk: Chunk, bytes: Uint8Array, page: CountPage | undefined): void {
    const order = this.#state.geometry.refcountOrder;
    const view = viewOf(bytes);
    for (let at = 0; at < chunk.end - chunk.first; at++) {
      const stored = countAt(view, chunk.inBlock + at, order);
      const found = page?.[chunk.inPage + at] ?? 0;
      if (stored !== found) this.#mismatch(chunk.first + at, stored, found);
      else if (stored !== 0) this.highest = chunk.first + at;
    }
  }

  /** The usual kind of count, byte by byte: this is where a check of a large image spends its time. */
  #chunkOf16(chunk: Chunk, bytes: Uint8Array, page: Uint8Array): void {
    const { first, inPage, inBlock } = chunk;
    const length = chunk.end - first;
    let last = -1;
    for (let at = 0; at < length; at++) {
      const found = page[inPage + at] ?? 0;
      const high = bytes[(inBlock + at) * 2] ?? 0;
      const low = bytes[(inBlock + at) * 2 + 1] ?? 0;
      if (low !== found || high !== 0) this.#mismatch(first + at, high * 256 + low, found);
      else if (found !== 0) last = at;
    }
    if (last >= 0) this.highest = Math.max(this.highest, first + last);
  }

  /** Clusters without a block: their counts are 0. Only pages of references need to be looked at. */
  without(span: ClusterSpan): void {
    const end = Math.min(span.end, this.#state.clusters);
    while ((this.#pages[this.#nextPage] ?? Number.POSITIVE_INFINITY) * PAGE + PAGE <= span.first) this.#nextPage++;
    for (let at = this.#nextPage; at < this.#pages.length; at++) {
      const start = (this.#pages[at] ?? 0) * PAGE;
      if (start >= end) break;
      const page = this.#state.counts.page(start / PAGE);
      for (let cluster = Math.max(start, span.first); cluster < Math.min(end, start + PAGE); cluster++) {
        const found = page?.[cluster - start] ?? 0;
        if (found !== 0) this.#mismatch(cluster, 0, found);
      }
    }
  }

  unreadable(span: ClusterSpan, offset: number): void {
    const end = Math.min(span.end, this.#state.clusters);
    this.#state.fail(
      `refcounts of clusters ${span.first} to ${end - 1} cannot be had: their block is at ${offset}, off the cluster boundaries`,
      end - span.first,
    );
    this.unknown.push({ first: span.first, end });
  }

  /** `references` may be more than a count can hold: then the largest count is the right one. */
  #mismatch(cluster: number, stored: number, references: number): void {
    const state = this.#state;
    state.mismatched = true;
    const found = Math.min(references, state.geometry.refcountMax);
    this.highest = cluster;
    if (stored < found) {
      state.corrupt(`cluster ${cluster} refcount=${stored} reference=${found}`);
      if (stored === 0) state.needsRebuild = true;
    } else if (stored > found) {
      state.note(`Leaked cluster ${cluster} refcount=${stored} reference=${found}`);
      state.result.leaks++;
    }
    if (found !== 0 && !this.#keep) state.counts.set(cluster, stored);
  }
}

/** True when the bytes that hold counts [from, to) are zero; the neighbours in the same bytes are looked at too. */
function allZero(bytes: Uint8Array, from: number, to: number, order: number): boolean {
  const bits = 2 ** order;
  return isZero(bytes, Math.floor((from * bits) / 8), Math.ceil((to * bits) / 8));
}
