/** Bit 63 of active L1 and L2 entries: set exactly where the count of what they point at is 1. */
import type { Maybe } from '../../../core/async/maybe.ts';
import { hostOffset, isCompressed, isCopied, isZeroFlagged, withCopied } from '../meta/entries.ts';
import { refcountByteRange } from '../meta/refcount-entry.ts';
import { viewOf } from '../meta/struct.ts';
import { hexEntry, type L2References } from './l1.ts';
import { forEachL2, type L2Table, runsOf } from './l2.ts';
import type { ClusterRuns } from './l2-runs.ts';
import { countAt, countText, type RefcountTableCopy } from './refcount-blocks.ts';
import type { CheckState } from './state.ts';

/** Entries of one table whose flags are wrong, to be put right by whoever was asked to. */
export interface WrongFlags {
  /** Host offset of the table. */
  readonly offset: number;
  /** The whole table, with the flags as they should be. */
  readonly bytes: Uint8Array;
  /** First and last entry that was changed, in bytes from the start of the table. */
  readonly from: number;
  readonly to: number;
}

export interface FlagRepair {
  /** Whether nothing but that table lies there. */
  mayWrite(kind: 'L1' | 'L2', offset: number, length: number): boolean;
  write(flags: WrongFlags): Maybe<void>;
}

export interface CopiedFlagsInput {
  readonly l1: Uint8Array;
  readonly references: L2References;
  readonly table: RefcountTableCopy;
  /** Indices of refcount blocks that cannot be had: flags that depend on their counts are passed over. */
  readonly unknown: ReadonlySet<number>;
}

/** Report every wrong flag, and put it right where `repair` is given and can. The counts in `state` are those on disk. */
export async function checkCopiedFlags(state: CheckState, input: CopiedFlagsInput, repair?: FlagRepair): Promise<void> {
  const counts = new StoredCounts(state, input.unknown, await countsBeyond(state, input.table));
  const { l1TableOffset } = state.image.header;
  const l1 = new FlaggedTable(state, { kind: 'L1', offset: l1TableOffset, bytes: input.l1, times: 1 }, repair);
  const view = viewOf(input.l1);
  for (let at = 0; at < input.l1.length; at += 8) {
    const hi = view.getUint32(at);
    const lo = view.getUint32(at + 4);
    const offset = hostOffset(hi, lo);
    if (offset === 0) continue;
    const count = counts.of(offset);
    if (count === undefined || (count === 1) === isCopied(hi)) continue;
    l1.wrong(
      at,
      `OFLAG_COPIED L2 cluster: l1_index=${at / 8} l1_entry=${hexEntry(hi, lo)} refcount=${counts.text(offset, count)}`,
    );
  }
  await l1.done();
  const runs = runsOf(state);
  await forEachL2(state, input.references, 'active', (table) => {
    // Nothing leads to the table at offset 0 but an empty L1 entry with flags.
    if (table.offset === 0 || (input.unknown.size === 0 && isRight(state, table, runs))) return;
    return checkTable(state, table, counts, repair);
  });
}

/** All entries of the table are empty or plain, with the flags they should have. */
function isRight(state: CheckState, { view, start }: L2Table, runs: ClusterRuns): boolean {
  const end = start + state.geometry.clusterSize;
  if (runs.collect(view, start, end) < end) return false;
  for (let run = 0; run < runs.count; run++) {
    const copied = runs.isCopied(run);
    if (!(state.dataFile ? copied : state.counts.isRun(runs.first[run] ?? 0, runs.length[run] ?? 0, copied)))
      return false;
  }
  return true;
}

function checkTable(state: CheckState, table: L2Table, counts: StoredCounts, repair?: FlagRepair): Maybe<void> {
  const { clusterSize, l2EntrySize, extendedL2 } = state.geometry;
  const { view } = table;
  const bytes = new Uint8Array(view.buffer, view.byteOffset + table.start, clusterSize);
  const flags = new FlaggedTable(state, { kind: 'L2', offset: table.offset, bytes, times: table.active }, repair);
  for (let at = table.start; at < table.start + clusterSize; at += l2EntrySize) {
    const hi = view.getUint32(at);
    const lo = view.getUint32(at + 4);
    if ((hi === 0 && lo === 0) || isCompressed(hi)) continue;
    const offset = hostOffset(hi, lo);
    if (offset === 0 && ((isZeroFlagged(lo) && !extendedL2) || !state.dataFile || !isCopied(hi))) continue;
    const count = state.dataFile ? 1 : counts.of(offset);
    if (count === undefined || (count === 1) === isCopied(hi)) continue;
    const line = `OFLAG_COPIED data cluster: l2_entry=${hexEntry(hi, lo)} refcount=${counts.text(offset, count)}`;
    flags.wrong(at - table.start, line);
  }
  return flags.done();
}

interface TablePlace {
  readonly kind: 'L1' | 'L2';
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** How often the table is reached. */
  readonly times: number;
}

/** A table whose flags are looked at: wrong ones are reported, or turned in its bytes. */
class FlaggedTable {
  readonly #state: CheckState;
  readonly #table: TablePlace;
  readonly #repair: FlagRepair | undefined;
  #from = Number.POSITIVE_INFINITY;
  #to = 0;

  constructor(state: CheckState, table: TablePlace, repair: FlagRepair | undefined) {
    this.#state = state;
    this.#table = table;
    this.#repair = repair?.mayWrite(table.kind, table.offset, table.bytes.length) ? repair : undefined;
  }

  /** The flag of the entry at `at`, in bytes, is not what it should be. */
  wrong(at: number, line: string): void {
    const { bytes, times } = this.#table;
    if (!this.#repair) {
      this.#state.corrupt(line, times);
      return;
    }
    this.#state.fixed(line);
    const hi = viewOf(bytes).getUint32(at);
    viewOf(bytes).setUint32(at, withCopied(hi, !isCopied(hi)));
    this.#from = Math.min(this.#from, at);
    this.#to = Math.max(this.#to, at + 8);
  }

  done(): Maybe<void> {
    if (this.#to === 0) return;
    const { offset, bytes } = this.#table;
    return this.#repair?.write({ offset, bytes, from: this.#from, to: this.#to });
  }
}

/** Counts on disk of referenced clusters. */
class StoredCounts {
  readonly #state: CheckState;
  readonly #unknown: ReadonlySet<number>;
  readonly #beyond: ReadonlyMap<number, number>;
  readonly #clusterSize: number;
  readonly #blockEntries: number;

  constructor(state: CheckState, unknown: ReadonlySet<number>, beyond: ReadonlyMap<number, number>) {
    this.#state = state;
    this.#unknown = unknown;
    this.#beyond = beyond;
    this.#clusterSize = state.geometry.clusterSize;
    this.#blockEntries = state.geometry.refcountBlockEntries;
  }

  of(offset: number): number | undefined {
    const cluster = Math.floor(offset / this.#clusterSize);
    if (this.#unknown.size > 0 && this.#unknown.has(Math.floor(cluster / this.#blockEntries))) return undefined;
    if (cluster < this.#state.clusters) return this.#state.counts.get(cluster);
    return this.#beyond.get(cluster) ?? 0;
  }

  /** Its digits: what `of` says of a large one is not exact. */
  text(offset: number, count: number): string {
    return this.#state.largeCounts.get(Math.floor(offset / this.#clusterSize)) ?? String(count);
  }
}

/** Counts of clusters past the end of the file, which normally are 0. */
async function countsBeyond(state: CheckState, table: RefcountTableCopy): Promise<Map<number, number>> {
  const { clusterSize, refcountBlockEntries, refcountOrder } = state.geometry;
  const counts = new Map<number, number>();
  for (const cluster of [...state.beyond].sort((a, b) => a - b)) {
    const index = Math.floor(cluster / refcountBlockEntries);
    const offset = table.offsets[index] ?? 0;
    if (offset === 0 || offset % clusterSize !== 0 || offset >= state.fileSize) continue;
    const inBlock = cluster - index * refcountBlockEntries;
    const { from, to } = refcountByteRange(inBlock, 1, refcountOrder);
    const bytes = new Uint8Array(to - from);
    await state.image.file.read(offset + from, bytes);
    const perByte = Math.max(1, 8 >> refcountOrder);
    const view = viewOf(bytes);
    const count = countAt(view, inBlock % perByte, refcountOrder);
    counts.set(cluster, count);
    if (count > Number.MAX_SAFE_INTEGER) state.noteLargeCount(cluster, countText(view, 0, refcountOrder));
    await state.breathe();
  }
  return counts;
}
