/** Refcount blocks as they should be, from the references that were found. */
import { PAGE } from '../check/cluster-counts.ts';
import type { CheckState } from '../check/state.ts';
import { setRefcount } from '../meta/refcount-entry.ts';
import { viewOf } from '../meta/struct.ts';

/** Indices of the blocks that have a count above 0 to hold, ascending. */
export function neededBlocks({ counts, geometry }: CheckState): number[] {
  const { refcountBlockEntries } = geometry;
  const blocks: number[] = [];
  for (const pageIndex of counts.pageIndices()) {
    const page = counts.page(pageIndex) ?? [];
    for (let at = 0; at < PAGE; at++) {
      if (page[at] === 0) continue;
      const block = Math.floor((pageIndex * PAGE + at) / refcountBlockEntries);
      if (blocks.at(-1) !== block) blocks.push(block);
      // On to the first cluster of the next block.
      at = Math.max(at, (block + 1) * refcountBlockEntries - pageIndex * PAGE - 1);
    }
  }
  return blocks;
}

/** The block of that index. A cluster with more references than a count can hold gets the largest count there is. */
export function encodeBlock({ counts, geometry }: CheckState, index: number): Buffer {
  const { clusterSize, refcountBlockEntries, refcountOrder, refcountMax } = geometry;
  const bytes = Buffer.alloc(clusterSize);
  const view = viewOf(bytes);
  const first = index * refcountBlockEntries;
  for (let from = first; from < first + refcountBlockEntries; ) {
    const pageIndex = Math.floor(from / PAGE);
    const to = Math.min(first + refcountBlockEntries, (pageIndex + 1) * PAGE);
    const page = counts.page(pageIndex);
    for (let cluster = from; page && cluster < to; cluster++) {
      const count = page[cluster - pageIndex * PAGE] ?? 0;
      if (count !== 0) setRefcount(view, cluster - first, refcountOrder, Math.min(count, refcountMax));
    }
    from = to;
  }
  return bytes;
}
