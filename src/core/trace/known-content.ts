/** What a replay knows of the disk: for each range, who wrote it last. */

/** Content of zeroes, in place of the number of a writer. */
export const ZEROES = -1;
/** Ranges in one block, before it is split. */
const BLOCK = 512;
/** Ranges that are kept; then the block with the highest offsets is forgotten. */
const MOST_RANGES = 1 << 20;

export interface KnownRange {
  readonly start: number;
  readonly end: number;
  /** Number of the write, or {@link ZEROES}. */
  readonly writer: number;
}

/** Ranges that do not overlap, in order, in blocks of bounded length: a change costs little however many there are. */
export class KnownContent {
  #blocks: KnownRange[][] = [];
  #count = 0;
  /** Something had to be forgotten for want of memory. */
  forgot = false;

  get ranges(): number {
    return this.#count;
  }

  /** The range was written by `writer`; undefined when nobody knows what it holds now. */
  set(start: number, end: number, writer: number | undefined): void {
    if (end <= start) return;
    const kept: KnownRange[] = [];
    const first = this.#blockOf(start);
    let last = first;
    let before = 0;
    for (; last < this.#blocks.length; last++) {
      const block = this.#blocks[last] ?? [];
      if (last > first && (block[0]?.start ?? end) >= end) break;
      before += block.length;
      for (const range of block) keepOutside(kept, range, start, end);
    }
    if (writer !== undefined) {
      const place = kept.findIndex((range) => range.start >= end);
      kept.splice(place < 0 ? kept.length : place, 0, { start, end, writer });
    }
    this.#blocks.splice(first, last - first, ...split(kept));
    this.#count += kept.length - before;
    while (this.#count > MOST_RANGES) {
      this.#count -= this.#blocks.pop()?.length ?? 0;
      this.forgot = true;
    }
  }

  /** What is known of a range, in order. */
  *within(start: number, end: number): Generator<KnownRange> {
    for (let index = this.#blockOf(start); index < this.#blocks.length; index++) {
      for (const range of this.#blocks[index] ?? []) {
        if (range.start >= end) return;
        if (range.end > start) yield { ...range, start: Math.max(start, range.start), end: Math.min(end, range.end) };
      }
    }
  }

  /** Index of the last block that begins at or before `offset`; 0 when none does. */
  #blockOf(offset: number): number {
    let low = 0;
    let high = this.#blocks.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if ((this.#blocks[middle]?.[0]?.start ?? 0) <= offset) low = middle;
      else high = middle;
    }
    return low;
  }
}

/** What of `range` lies outside of start to end. */
function keepOutside(kept: KnownRange[], range: KnownRange, start: number, end: number): void {
  if (range.end <= start || range.start >= end) {
    kept.push(range);
    return;
  }
  if (range.start < start) kept.push({ ...range, end: start });
  if (range.end > end) kept.push({ ...range, start: end });
}

function split(ranges: readonly KnownRange[]): KnownRange[][] {
  if (ranges.length === 0) return [];
  if (ranges.length <= BLOCK) return [[...ranges]];
  const blocks: KnownRange[][] = [];
  for (let at = 0; at < ranges.length; at += BLOCK / 2) blocks.push(ranges.slice(at, at + BLOCK / 2));
  return blocks;
}
