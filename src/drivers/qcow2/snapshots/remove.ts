/**
 * Removing a snapshot: it leaves the table first, and only then what it led to is counted down.
 *
 *   dirty bit → snapshot table → header → counts down → flags of the active tables → dirty bit gone
 */
import { asBlockError, BlockError } from '../../../core/errors/block-error.ts';
import type { Disk } from '../disk.ts';
import { withDirtyBit } from '../first-write.ts';
import type { Snapshot } from '../meta/snapshot-table.ts';
import { dropReferences, refreshFlags } from './references.ts';
import { freeTable, replaceSnapshots, snapshotL1 } from './table.ts';

/** The image must be ready for change, and nothing of it be waiting to be written. */
export async function removeSnapshot(disk: Disk, snapshot: Snapshot): Promise<void> {
  const l1 = await snapshotL1(disk, snapshot);
  await withDirtyBit(disk, async () => {
    const others = disk.snapshots.filter((each) => each !== snapshot);
    await replaceSnapshots(disk, others, { done: false });
    try {
      await dropReferences(disk, l1);
      freeTable(disk, snapshot.l1TableOffset, l1.entries * 8);
      await disk.writer.settle();
      await refreshFlags(disk);
      await disk.writer.settle();
    } catch (error) {
      throw leftBehind(error);
    }
  });
}

/** The snapshot is gone whatever comes after that. */
function leftBehind(cause: unknown): BlockError {
  const { message, code } = asBlockError(cause);
  return new BlockError(`it is gone, but not all that it alone held could be freed: ${message}`, {
    code,
    hint: 'img check -r leaks gives the space back',
    cause,
  });
}
