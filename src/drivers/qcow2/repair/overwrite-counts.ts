/**
 * Counts put right in the blocks there are. Each block is overwritten by itself; until all is done, some counts are
 * right and the others are what they were, so that breaking off leaves nothing worse than before.
 */
import { readTables } from '../check/read-ahead.ts';
import { countAt, countText, type RefcountTableCopy } from '../check/refcount-blocks.ts';
import type { CheckState } from '../check/state.ts';
import { getRefcount, setRefcount } from '../meta/refcount-entry.ts';
import { viewOf } from '../meta/struct.ts';
import { encodeBlock, neededBlocks } from './count-blocks.ts';
import type { FreedSpace } from './freed-space.ts';

export interface OverwriteOptions {
  /** Lower counts that are too high, and leave those that are too low. Default false. */
  readonly leaksOnly?: boolean;
  /** Report and count what is repaired; it has been counted as an error or a leak before. Default false. */
  readonly reporting?: boolean;
  /** Set counts of clusters past the end of the file to 0: only where nothing can refer to them. Default false. */
  readonly beyondEnd?: boolean;
  /** Takes note of the clusters that became free. */
  readonly freed?: FreedSpace;
}

/** Every referenced cluster has a block that can hold its count. */
export function hasAllBlocks(state: CheckState, table: RefcountTableCopy): boolean {
  return neededBlocks(state).every((index) => (table.offsets[index] ?? 0) !== 0);
}

/** Write the blocks that differ from what they should hold; returns their number. */
export async function overwriteCounts(
  state: CheckState,
  table: RefcountTableCopy,
  options: OverwriteOptions = {},
): Promise<number> {
  const { file } = state.image;
  const { clusterSize } = state.geometry;
  const indices = [...table.offsets.keys()].filter((index) => table.offsets[index] !== 0);
  const offsets = table.offsets.filter((offset) => offset !== 0);
  let written = 0;
  await readTables(file, offsets, clusterSize, async (run) => {
    for (const [at, offset] of run.offsets.entries()) {
      const stored = run.bytes.subarray(at * clusterSize, (at + 1) * clusterSize);
      const index = indices[run.first + at] ?? 0;
      const right = encodeBlock(state, index);
      if (stored.equals(right)) continue;
      settleDifferences(state, { index, stored, right }, options);
      if (stored.equals(right)) continue;
      await file.write(offset, right);
      written++;
    }
    await state.breathe();
  });
  return written;
}

interface Block {
  readonly index: number;
  readonly stored: Buffer;
  /** Changed where a count is to stay as it is. */
  readonly right: Buffer;
}

function settleDifferences(state: CheckState, { index, stored, right }: Block, options: OverwriteOptions): void {
  const { refcountBlockEntries, refcountOrder } = state.geometry;
  const before = viewOf(stored);
  const after = viewOf(right);
  const first = index * refcountBlockEntries;
  for (let at = 0; at < refcountBlockEntries; at++) {
    const cluster = first + at;
    const was = countAt(before, at, refcountOrder);
    const is = countAt(after, at, refcountOrder);
    if (was === is) continue;
    const stays = cluster >= state.clusters ? !options.beyondEnd : options.leaksOnly === true && was < is;
    if (stays) {
      keepCount(before, after, at, refcountOrder);
      if (cluster >= state.clusters) continue;
      state.counts.set(cluster, was);
      if (options.reporting) state.result.corruptions++;
      continue;
    }
    if (is === 0) options.freed?.add(cluster);
    if (!options.reporting) continue;
    state.note(`Repairing cluster ${cluster} refcount=${countText(before, at, refcountOrder)} reference=${is}`);
    if (was > is) state.result.leaksFixed++;
    else state.result.corruptionsFixed++;
  }
}

/** Bit by bit, where numbers are not exact. */
function keepCount(before: DataView, after: DataView, at: number, order: number): void {
  if (order === 6) after.setBigUint64(at * 8, before.getBigUint64(at * 8));
  else setRefcount(after, at, order, getRefcount(before, at, order));
}
