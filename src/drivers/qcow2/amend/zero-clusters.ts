/**
 * Zero clusters, which version 2 does not have, in every L2 table of the disk and of its snapshots: written out, or left
 * to read as nothing where no backing file shows.
 *
 * Tables are changed where they lie, also those that are shared: what they say of the disk stays the same. A host
 * cluster that a zero cluster keeps is written to only where nothing else refers to it; one that a snapshot has data in
 * is given up instead. The order is that of all writing: counts and zeroes, then entries, then counts of what was given
 * up, then flags. No request may be in flight.
 */
import { CorruptImage } from '../../../core/errors/block-error.ts';
import { relieveDeferred } from '../allocating-write.ts';
import { ClusterSet } from '../cluster-set.ts';
import type { Disk } from '../disk.ts';
import { beforeWrite, withDirtyBit } from '../first-write.ts';
import type { L1Table } from '../l1-table.ts';
import { ClusterKind, clusterKind, entryHi, entryLo, hostOffset } from '../meta/entries.ts';
import { assertPlace, refreshFlags } from '../snapshots/references.ts';
import { snapshotL1 } from '../snapshots/table.ts';
import type { Steps } from './index.ts';

export async function writeOutZeroes(disk: Disk, steps: Steps): Promise<void> {
  await beforeWrite(disk);
  await withDirtyBit(disk, async () => {
    const seen = new ClusterSet();
    try {
      await writeOutBelow(disk, disk.l1, seen, steps);
      for (const snapshot of disk.snapshots) await writeOutBelow(disk, await snapshotL1(disk, snapshot), seen, steps);
    } catch (error) {
      await finish(disk).catch(() => undefined);
      throw error;
    }
    await finish(disk);
  });
}

async function finish(disk: Disk): Promise<void> {
  await disk.writer.settle();
  await refreshFlags(disk);
  await disk.writer.settle();
}

/** All tables that `l1` leads to and that have not been seen. */
async function writeOutBelow(disk: Disk, l1: L1Table, seen: ClusterSet, steps: Steps): Promise<void> {
  const { clusterSize } = disk.geometry;
  steps.expect(l1.entries);
  for (let index = 0; index < l1.entries; index++) {
    steps.advance(1);
    const offset = l1.l2Offset(index);
    if (offset === 0 || seen.has(offset / clusterSize)) continue;
    assertPlace(disk, offset, clusterSize, `L2 table of L1 entry ${index}`);
    seen.add(offset / clusterSize);
    const references = await disk.refcounts.get(offset / clusterSize);
    if (references === 0) {
      throw new CorruptImage(`'${disk.fileName}': the L2 table at ${offset} is counted as free`, { data: { offset } });
    }
    for (let at = 0; at < clusterSize; at += disk.l2.entrySize) {
      const guest = index * disk.geometry.l2Coverage + (at / disk.geometry.l2EntrySize) * clusterSize;
      await writeOutSlice(disk, { offset: offset + at, guest, references });
    }
    await relieveDeferred(disk);
  }
}

/** A part of a table. */
interface Slice {
  /** In the file, in bytes. */
  readonly offset: number;
  /** Where on the disk the first of its clusters belongs, in bytes. */
  readonly guest: number;
  /** So many lead to the table, and so to what it points at. */
  readonly references: number;
}

/** A zero cluster of a table. */
interface ZeroCluster {
  /** Where on the disk it belongs, in bytes. */
  readonly guest: number;
  /** Bytes from the start of the slice. */
  readonly at: number;
  /** The host cluster that is kept for it; 0 for none. */
  readonly host: number;
  /** Nothing else refers to that. */
  readonly own: boolean;
}

async function writeOutSlice(disk: Disk, slice: Slice): Promise<void> {
  const { clusterSize } = disk.geometry;
  const { references } = slice;
  const zeroes = await zeroClusters(disk, slice);
  if (zeroes.length === 0) return;
  const kept = disk.backing ? zeroes.filter(({ own }) => own) : [];
  const missing = disk.backing ? zeroes.filter(({ own }) => !own).map(({ guest }) => guest) : [];
  for (const { host, guest } of kept) {
    disk.assertNoOverlap(host, clusterSize);
    await disk.content.zero(host, clusterSize, 0, guest);
  }
  let fresh = missing.length > 0 ? await allocateZeroes(disk, missing, references) : 0;
  disk.unsettled ||= disk.backing !== undefined;
  // From here on nothing is waited for: entries and what they let go of belong to one write-out.
  const table = disk.l2.peek(slice.offset) ?? (await disk.l2.get(slice.offset));
  for (const { at, host, own } of zeroes) {
    const keeps = own && disk.backing !== undefined;
    const now = keeps ? host : fresh;
    if (!keeps && fresh > 0) fresh += clusterSize;
    // Whether a cluster is the disk's alone is seen when all counts are right.
    table.view.setUint32(at, entryHi(now, false));
    table.view.setUint32(at + 4, entryLo(now));
    if (host > 0 && !keeps) release(disk, host, references);
  }
  disk.l2.markDirty(table, zeroes[0]?.at ?? 0, (zeroes.at(-1)?.at ?? 0) + disk.geometry.l2EntrySize);
}

async function zeroClusters(disk: Disk, slice: Slice): Promise<ZeroCluster[]> {
  const { geometry } = disk;
  const { view, bytes } = await disk.l2.get(slice.offset);
  const found: { at: number; host: number }[] = [];
  for (let at = 0; at < bytes.length; at += geometry.l2EntrySize) {
    const hi = view.getUint32(at);
    const lo = view.getUint32(at + 4);
    const kind = clusterKind(geometry, hi, lo, false);
    if (kind === ClusterKind.ZERO_PLAIN || kind === ClusterKind.ZERO_ALLOC)
      found.push({ at, host: hostOffset(hi, lo) });
  }
  const zeroes: ZeroCluster[] = [];
  for (const { at, host } of found) {
    if (host > 0) assertPlace(disk, host, geometry.clusterSize, `zero cluster of the L2 table at ${slice.offset}`);
    const count = host > 0 ? await disk.refcounts.get(host / geometry.clusterSize) : 0;
    const guest = slice.guest + (at / geometry.l2EntrySize) * geometry.clusterSize;
    zeroes.push({ at, host, guest, own: host > 0 && count === slice.references });
  }
  return zeroes;
}

/**
 * Host clusters in a row that read as zeroes at these places of the disk, each counted `references` times; returns the
 * offset of the first.
 */
async function allocateZeroes(disk: Disk, guests: readonly number[], references: number): Promise<number> {
  const { clusterSize } = disk.geometry;
  const clusters = guests.length;
  const first = await disk.allocator.allocate(clusters);
  let counted = 1;
  try {
    if (references > 1) {
      await disk.allocator.mutex.run(() => disk.refcounts.add(first, clusters, references - 1));
      counted = references;
    }
    disk.allocator.touch(first + clusters);
    // What zeroes look like in the file may depend on where they belong.
    const together = disk.encryption?.format === 'aes' ? 1 : clusters;
    for (let n = 0; n < clusters; n += together) {
      await disk.content.zero((first + n) * clusterSize, together * clusterSize, 0, guests[n] ?? 0);
    }
  } catch (error) {
    for (; counted > 0; counted--) disk.allocator.free(first, clusters, 'never');
    throw error;
  }
  return first * clusterSize;
}

function release(disk: Disk, host: number, references: number): void {
  for (let times = 0; times < references; times++) disk.allocator.free(host / disk.geometry.clusterSize, 1, 'other');
}
