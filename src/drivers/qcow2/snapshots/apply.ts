/**
 * Going back to a snapshot: the active L1 table is replaced by a copy of the snapshot's, whose clusters are counted once
 * more; then what only the old active table led to is given back.
 *
 *   dirty bit → counts, new L1 table → header (table, its size, length of the disk) → counts down → flags → dirty bit gone
 */
import { BlockError } from '../../../core/errors/block-error.ts';
import type { Disk } from '../disk.ts';
import { refreshPlaces, withDirtyBit } from '../first-write.ts';
import { L1Table } from '../l1-table.ts';
import { l1EntriesFor } from '../meta/geometry.ts';
import { Limit } from '../meta/limits.ts';
import type { Snapshot } from '../meta/snapshot-table.ts';
import { copyOf } from '../meta/struct.ts';
import { dropReferences, type Raised, raiseReferences, refreshFlags } from './references.ts';
import { allocateTable, freeTable, type Switch, snapshotL1, writeTable } from './table.ts';

/** The image must be ready for change, and nothing of it be waiting to be written. */
export async function applySnapshot(disk: Disk, snapshot: Snapshot): Promise<void> {
  const size = snapshot.diskSize ?? disk.size;
  assertSize(disk, snapshot, size);
  const source = await snapshotL1(disk, snapshot);
  const entries = Math.max(source.entries, l1EntriesFor(disk.geometry, size));
  const offset = await allocateTable(disk, entries * 8);
  const raised: Raised = { clusters: 0 };
  const change: Switch = { done: false };
  await withDirtyBit(disk, async () => {
    const old = oldTable(disk);
    try {
      await raiseReferences(disk, source, raised);
      const bytes = new Uint8Array(entries * 8);
      bytes.set(source.bytes);
      await writeTable(disk, offset, bytes);
      await disk.writer.settle();
      await switchTo(disk, { offset, bytes, size }, change);
    } catch (error) {
      if (!change.done) await takeBack(disk, { source, raised, offset, length: entries * 8 }).catch(() => undefined);
      throw error;
    }
    await dropReferences(disk, old);
    freeTable(disk, old.offset, old.entries * 8);
    await disk.writer.settle();
    await refreshFlags(disk);
    await disk.writer.settle();
  });
}

/** The table that is active now, for letting go of it later. */
function oldTable({ l1 }: Disk): L1Table {
  return new L1Table(l1.offset, copyOf(l1.bytes, 0, l1.entries * 8), 512);
}

function assertSize(disk: Disk, { id, l1Size }: Snapshot, size: number): void {
  const needed = l1EntriesFor(disk.geometry, size);
  if (Math.max(needed, l1Size) * 8 <= Limit.MAX_L1_BYTES && size % 512 === 0) return;
  throw new BlockError(
    `'${disk.fileName}': snapshot '${id}' is of a disk of ${size} bytes, which needs ${needed} L1 entries, the limit is ${Limit.MAX_L1_BYTES / 8}`,
    { code: 'EFBIG' },
  );
}

interface NewActive {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly size: number;
}

async function switchTo(disk: Disk, { offset, bytes, size }: NewActive, change: Switch): Promise<void> {
  const { header, file, l1, overlap } = disk;
  const old = { offset: header.l1TableOffset, entries: header.l1Size, size: header.size };
  header.l1TableOffset = offset;
  header.l1Size = bytes.length / 8;
  header.size = size;
  change.done = true;
  try {
    // All of it lies in one sector.
    await disk.writeHeaderFields();
    await file.flush();
  } catch (error) {
    // Which of the two is on disk is not known: both stay counted.
    header.l1TableOffset = old.offset;
    header.l1Size = old.entries;
    header.size = old.size;
    throw error;
  }
  l1.replaceBy(offset, bytes);
  disk.decompressed.clear();
  disk.preallocated = undefined;
  refreshPlaces(disk);
  for (let index = l1.nextUsed(0, l1.entries); index < l1.entries; index = l1.nextUsed(index + 1, l1.entries)) {
    overlap.add('active-l2', l1.l2Offset(index));
  }
}

interface Undone {
  readonly source: L1Table;
  readonly raised: Raised;
  readonly offset: number;
  readonly length: number;
}

async function takeBack(disk: Disk, { source, raised, offset, length }: Undone): Promise<void> {
  freeTable(disk, offset, length);
  await dropReferences(disk, source, { most: raised.clusters });
  await disk.writer.settle();
  await refreshFlags(disk);
  await disk.writer.settle();
}
