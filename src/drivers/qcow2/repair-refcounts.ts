/**
 * Mending the reference counts of an image that was not closed cleanly, before anything of it is cached.
 *
 * The references are counted as a check does. Where every block that is needed is in place, blocks that differ
 * are overwritten: the dirty bit stays set until all is done, so a crash in between only means to begin again.
 * Otherwise a new table with new blocks is written behind the end of the file, and the header is switched over
 * to it once it is stable; the old structures are not counted in the new ones, and so are free from then on.
 * Last, bit 63 of active entries is brought in line with the counts, and the dirty bit is cleared.
 */
import { CorruptImage } from '../../core/errors/block-error.ts';
import { PAGE } from './check/cluster-counts.ts';
import { checkCopiedFlags, type WrongFlag } from './check/copied-flags.ts';
import { countReferences, type Walk } from './check/count-references.ts';
import { readTables } from './check/read-ahead.ts';
import { isCountedBlock } from './check/refcount-blocks.ts';
import { type CheckedImage, CheckState } from './check/state.ts';
import { entryHi, entryLo, withCopied } from './meta/entries.ts';
import { Incompatible } from './meta/features.ts';
import { HEADER_OFFSET } from './meta/header.ts';
import { Limit } from './meta/limits.ts';
import { setRefcount } from './meta/refcount-entry.ts';
import { setU64, viewOf } from './meta/struct.ts';

/** What was changed, in entries. */
export interface RefcountRepair {
  readonly blocksWritten: number;
  readonly rebuilt: boolean;
  readonly flagsFixed: number;
}

/**
 * Repair `image`, whose file is open for writing, and clear its dirty bit; `image.header` follows.
 * Throws CorruptImage, with nothing changed, where more than counts and flags is wrong.
 */
export async function repairRefcounts(image: CheckedImage, report: (line: string) => void): Promise<RefcountRepair> {
  const state = new CheckState(image, { report });
  const walk = await countReferences(state);
  const damage = walk.damage + state.result.checkErrors;
  if (damage > 0) {
    throw new CorruptImage(
      `'${image.fileName}' was not closed cleanly, and ${damage} errors in it are beyond the repair of reference counts`,
      { hint: 'Look at it with img check; it can still be opened read-only' },
    );
  }
  const repair = new Repair(state, walk);
  const rebuilt = state.needsRebuild || !repair.hasAllBlocks();
  const blocksWritten = rebuilt ? await repair.rebuild() : await repair.overwrite();
  await image.file.flush();
  const flagsFixed = await repair.fixFlags();
  await image.file.flush();
  await clearDirtyBit(image);
  return { blocksWritten, rebuilt, flagsFixed };
}

async function clearDirtyBit({ header, file }: CheckedImage): Promise<void> {
  header.incompatible &= ~Incompatible.DIRTY;
  const bytes = new Uint8Array(8);
  viewOf(bytes).setBigUint64(0, header.incompatible);
  await file.write(HEADER_OFFSET.incompatible, bytes);
  await file.flush();
}

class Repair {
  readonly #state: CheckState;
  readonly #walk: Walk;
  readonly #clusterSize: number;
  readonly #blockEntries: number;

  constructor(state: CheckState, walk: Walk) {
    this.#state = state;
    this.#walk = walk;
    this.#clusterSize = state.geometry.clusterSize;
    this.#blockEntries = state.geometry.refcountBlockEntries;
  }

  /** Every referenced cluster has a block that can hold its count. */
  hasAllBlocks(): boolean {
    const { offsets } = this.#walk.table;
    for (const index of this.#neededBlocks()) if ((offsets[index] ?? 0) === 0) return false;
    return true;
  }

  /** Write the blocks that differ from what they should hold; returns their number. */
  async overwrite(): Promise<number> {
    const { file } = this.#state.image;
    const indices = [...this.#walk.table.offsets.keys()].filter((index) => this.#walk.table.offsets[index] !== 0);
    const offsets = indices.map((index) => this.#walk.table.offsets[index] ?? 0);
    let next = 0;
    let written = 0;
    await readTables(file, offsets, this.#clusterSize, async (run) => {
      for (const [at, offset] of run.offsets.entries()) {
        const stored = Buffer.from(run.view.buffer, run.view.byteOffset + at * this.#clusterSize, this.#clusterSize);
        const right = this.#encodeBlock(indices[next++] ?? 0);
        if (stored.equals(right)) continue;
        await file.write(offset, right);
        written++;
      }
      await this.#state.breathe();
    });
    return written;
  }

  /** Write a new table and new blocks, and make them the image's; returns the number of blocks. */
  async rebuild(): Promise<number> {
    const { header, file, fileName } = this.#state.image;
    this.#forgetOldStructures();
    const start = Math.max(this.#state.clusters, 1);
    const { blocks, tableClusters } = this.#place(start);
    if (tableClusters * this.#clusterSize > Limit.MAX_REFCOUNT_TABLE_BYTES) {
      throw new CorruptImage(
        `'${fileName}': the refcount table would take ${tableClusters} clusters, the limit is ${Limit.MAX_REFCOUNT_TABLE_BYTES / this.#clusterSize}`,
        { code: 'EFBIG' },
      );
    }
    const table = new Uint8Array(tableClusters * this.#clusterSize);
    const view = viewOf(table);
    for (const [at, index] of blocks.entries()) {
      const offset = (start + tableClusters + at) * this.#clusterSize;
      view.setUint32(index * 8, entryHi(offset, false));
      view.setUint32(index * 8 + 4, entryLo(offset));
      await file.write(offset, this.#encodeBlock(index));
      await this.#state.breathe();
    }
    await file.write(start * this.#clusterSize, table);
    await file.flush();
    header.refcountTableOffset = start * this.#clusterSize;
    header.refcountTableClusters = tableClusters;
    const place = new Uint8Array(12);
    setU64(viewOf(place), 0, header.refcountTableOffset);
    viewOf(place).setUint32(8, tableClusters);
    await file.write(HEADER_OFFSET.refcountTableOffset, place);
    return blocks.length;
  }

  /** Set or clear bit 63 where it does not fit the counts; returns how many entries were changed. */
  async fixFlags(): Promise<number> {
    const wrong: WrongFlag[] = [];
    const { l1, references, table } = this.#walk;
    await checkCopiedFlags(this.#state, { l1, references, table, unknown: [] }, (flag) => wrong.push(flag));
    for (const { at, hi, lo, count } of wrong) {
      const bytes = new Uint8Array(8);
      viewOf(bytes).setUint32(0, withCopied(hi, count === 1));
      viewOf(bytes).setUint32(4, lo);
      await this.#state.image.file.write(at, bytes);
      await this.#state.breathe();
    }
    return wrong.length;
  }

  #forgetOldStructures(): void {
    const { counts, image, fileSize } = this.#state;
    const { table } = this.#walk;
    const bytes = table.offsets.length * 8;
    const from = image.header.refcountTableOffset;
    if (from + bytes - fileSize < this.#clusterSize) {
      for (let at = 0; at < bytes; at += this.#clusterSize) counts.add((from + at) / this.#clusterSize, -1);
    }
    for (const [index, offset] of table.offsets.entries()) {
      if (isCountedBlock(this.#state, table, index)) counts.add(offset / this.#clusterSize, -1);
    }
  }

  /**
   * Indices of the blocks needed, ascending, and the clusters of the table, when table and blocks lie from
   * cluster `start` on, in this order, and count themselves.
   */
  #place(start: number): { blocks: number[]; tableClusters: number } {
    const { counts } = this.#state;
    for (let end = start; ; ) {
      const blocks = this.#neededBlocks();
      const tableClusters = Math.max(1, Math.ceil((((blocks.at(-1) ?? 0) + 1) * 8) / this.#clusterSize));
      const wanted = start + tableClusters + blocks.length;
      if (wanted === end) return { blocks, tableClusters };
      for (; end < wanted; end++) counts.add(end, 1);
    }
  }

  /** Indices of the blocks that have a count above 0 to hold, ascending. */
  #neededBlocks(): number[] {
    const { counts } = this.#state;
    const blocks: number[] = [];
    for (const pageIndex of counts.pageIndices()) {
      const page = counts.page(pageIndex) ?? [];
      for (let at = 0; at < PAGE; at++) {
        if (page[at] === 0) continue;
        const block = Math.floor((pageIndex * PAGE + at) / this.#blockEntries);
        if (blocks.at(-1) !== block) blocks.push(block);
        // On to the first cluster of the next block.
        at = Math.max(at, (block + 1) * this.#blockEntries - pageIndex * PAGE - 1);
      }
    }
    return blocks;
  }

  #encodeBlock(index: number): Uint8Array {
    const { counts, geometry } = this.#state;
    const bytes = new Uint8Array(this.#clusterSize);
    const view = viewOf(bytes);
    const first = index * this.#blockEntries;
    for (let from = first; from < first + this.#blockEntries; ) {
      const pageIndex = Math.floor(from / PAGE);
      const to = Math.min(first + this.#blockEntries, (pageIndex + 1) * PAGE);
      const page = counts.page(pageIndex);
      for (let cluster = from; page && cluster < to; cluster++) {
        const count = page[cluster - pageIndex * PAGE] ?? 0;
        if (count !== 0) setRefcount(view, cluster - first, geometry.refcountOrder, count);
      }
      from = to;
    }
    return bytes;
  }
}
