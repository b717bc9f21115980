/** The counts on disk against the references found: lost references are leaks, counts too low are errors. */
import { isZero } from '../../../core/bytes/zero.ts';
import { setRefcount } from '../meta/refcount-entry.ts';
import { viewOf } from '../meta/struct.ts';
import { type CountPage, HIGHEST_COUNT, PAGE } from './cluster-counts.ts';
import { readTables } from './read-ahead.ts';
import { countAt, countText, type RefcountTableCopy } from './refcount-blocks.ts';
import type { CheckState } from './state.ts';

/** Clusters [first, end). */
interface ClusterSpan {
  readonly first: number;
  readonly end: number;
}

/**
 * Compare all clusters of the file. Afterwards the counts in `state` are those on disk, as far as clusters are
 * referenced at all; with `keep` they stay the references found. Returns the indices of blocks that cannot be had.
 */
export async function compareCounts(
  state: CheckState,
  table: RefcountTableCopy,
  { keep = false } = {},
): Promise<ReadonlySet<number>> {
  const { clusterSize, refcountBlockEntries } = state.geometry;
  const comparison = new Comparison(state, keep);
  const blocks = Math.min(table.offsets.length, Math.ceil(state.clusters / refcountBlockEntries));
  const spanOf = (index: number) => ({ first: index * refcountBlockEntries, end: (index + 1) * refcountBlockEntries });
  const unreadable = new Set<number>();
  let index = 0;
  /** Deal with what has no block that can be read, up to the next index that has one. */
  const skip = (): void => {
    for (; index < blocks && !isReadable(table.offsets[index], clusterSize); index++) {
      const offset = table.offsets[index] ?? 0;
      if (offset === 0) {
        comparison.without(spanOf(index));
        continue;
      }
      comparison.unreadable(spanOf(index), offset);
      unreadable.add(index);
    }
  };
  const readable = table.offsets.subarray(0, blocks).filter((offset) => isReadable(offset, clusterSize));
  await readTables(state.image.file, readable, clusterSize, (run) => {
    for (let at = 0; at < run.offsets.length; at++) {
      skip();
      comparison.block(spanOf(index++), run.bytes.subarray(at * clusterSize, (at + 1) * clusterSize));
    }
    return state.breathe();
  });
  skip();
  comparison.without({ first: blocks * refcountBlockEntries, end: state.clusters });
  state.result.imageEndOffset = (comparison.highest + 1) * clusterSize;
  return unreadable;
}

/** Clusters [first, end), and where their counts begin in a block and in a page. */
interface Chunk extends ClusterSpan {
  readonly inBlock: number;
  readonly inPage: number;
}

/** Clusters that are compared in one go while their counts are all the same. */
const CHUNK = 2048;

function isReadable(offset: number | undefined, clusterSize: number): boolean {
  return offset !== undefined && offset !== 0 && offset % clusterSize === 0;
}

class Comparison {
  /** The last cluster that is counted or referenced. */
  highest = 0;
  readonly #state: CheckState;
  readonly #keep: boolean;
  readonly #pages: readonly number[];
  readonly #uniform: UniformCounts;
  #nextPage = 0;

  constructor(state: CheckState, keep: boolean) {
    this.#state = state;
    this.#keep = keep;
    this.#pages = state.counts.pageIndices();
    this.#uniform = new UniformCounts(state.geometry.refcountOrder);
  }

  /** Clusters whose counts are in a block. */
  block(span: ClusterSpan, bytes: Buffer): void {
    const end = Math.min(span.end, this.#state.clusters);
    for (let from = span.first; from < end; ) {
      const pageIndex = Math.floor(from / PAGE);
      const to = Math.min(end, (Math.floor(from / CHUNK) + 1) * CHUNK);
      const page = this.#state.counts.page(pageIndex);
      const chunk = { first: from, end: to, inBlock: from - span.first, inPage: from - pageIndex * PAGE };
      const count = this.#uniform.inBoth(chunk, bytes, page);
      if (count === undefined) this.#chunk(chunk, bytes, page);
      else if (count > 0) this.highest = to - 1;
      from = to;
    }
  }

  #chunk(chunk: Chunk, bytes: Buffer, page: CountPage | undefined): void {
    const order = this.#state.geometry.refcountOrder;
    const view = viewOf(bytes);
    for (let at = 0; at < chunk.end - chunk.first; at++) {
      const stored = countAt(view, chunk.inBlock + at, order);
      const found = page?.[chunk.inPage + at] ?? 0;
      const cluster = chunk.first + at;
      if (stored !== found) this.#mismatch(cluster, stored, found, () => countText(view, chunk.inBlock + at, order));
      else if (stored !== 0) this.highest = cluster;
    }
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
        if (found !== 0) this.#mismatch(cluster, 0, found, () => '0');
      }
    }
  }

  /** The counts of a block that is not where a block can be. */
  unreadable(span: ClusterSpan, offset: number): void {
    const end = Math.min(span.end, this.#state.clusters);
    this.#state.fail(
      `refcounts of clusters ${span.first} to ${end - 1} cannot be had: their block is at ${offset}, off the cluster boundaries`,
      end - span.first,
    );
  }

  /** `references` may be more than a count can hold: then the largest count is the right one. */
  #mismatch(cluster: number, stored: number, references: number, storedText: () => string): void {
    const state = this.#state;
    state.mismatched = true;
    const found = Math.min(references, state.geometry.refcountMax);
    this.highest = cluster;
    if (stored < found) {
      state.corrupt(`cluster ${cluster} refcount=${storedText()} reference=${found}`);
      if (stored === 0) state.needsRebuild = true;
    } else if (stored > found) {
      state.note(`Leaked cluster ${cluster} refcount=${storedText()} reference=${found}`);
      state.result.leaks++;
    }
    if (found === 0 || this.#keep) return;
    state.counts.set(cluster, stored);
    if (stored > HIGHEST_COUNT) state.noteLargeCount(cluster, storedText());
  }
}

/** Telling, by comparing memory, that all clusters of a chunk have one count, on disk and by the references found. */
class UniformCounts {
  readonly #order: number;
  /** By count, up to 255: a chunk of it, as a page has it and as a block has it. */
  readonly #patterns: ({ readonly page: Buffer; readonly block: Buffer } | undefined)[] = [];

  constructor(order: number) {
    this.#order = order;
  }

  /** That count; undefined where there is none. */
  inBoth({ first, end, inBlock, inPage }: Chunk, bytes: Buffer, page: CountPage | undefined): number | undefined {
    const length = end - first;
    const from = (inBlock * 2 ** this.#order) / 8;
    const to = ((inBlock + length) * 2 ** this.#order) / 8;
    // Counts of less than a byte can share one with what is not to be compared.
    if (!Number.isInteger(to)) return undefined;
    if (page === undefined) return isZero(bytes, from, to) ? 0 : undefined;
    const count = page[inPage] ?? 0;
    if (!(page instanceof Uint8Array) || (this.#order < 3 && count >= 2 ** (2 ** this.#order))) return undefined;
    const pattern = this.#patterns[count] ?? this.#pattern(count);
    const same =
      pattern.page.compare(page, inPage, inPage + length, 0, length) === 0 &&
      pattern.block.compare(bytes, from, to, 0, to - from) === 0;
    return same ? count : undefined;
  }

  #pattern(count: number): { readonly page: Buffer; readonly block: Buffer } {
    const bits = 2 ** this.#order;
    const unit = Buffer.alloc(Math.max(1, bits / 8));
    for (let index = 0; index < unit.length * 8; index += bits)
      setRefcount(viewOf(unit), index / bits, this.#order, count);
    const pattern = { page: Buffer.alloc(CHUNK, count), block: Buffer.alloc((CHUNK * bits) / 8, unit) };
    this.#patterns[count] = pattern;
    return pattern;
  }
}
