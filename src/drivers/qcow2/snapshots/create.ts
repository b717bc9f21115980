/**
 * A new snapshot: a copy of the active L1 table, and one more reference to everything it leads to.
 *
 *   dirty bit → L1 copy; counts → flags of the active tables → snapshot table → header → dirty bit gone
 *
 * A check in the middle of that finds leaks, and flags that do not fit their counts: both are of the same cluster and lie
 * in different blocks, so that no order of writes avoids it (QEMU's is the same, without the dirty bit). It would take
 * copies of all counts and of all L2 tables, and a header that is switched over to them at once; then the snapshot would
 * share no L2 table with the disk, and the refcount table lie somewhere else after each. Nothing reads wrong meanwhile:
 * the new references are none of a snapshot yet, and who opens the image for writing has the bit put the flags right.
 */
import type { NewSnapshot } from '../../../core/block/driver.ts';
import { BlockError } from '../../../core/errors/block-error.ts';
import type { Disk } from '../disk.ts';
import { withDirtyBit } from '../first-write.ts';
import { Limit } from '../meta/limits.ts';
import type { Snapshot } from '../meta/snapshot-table.ts';
import { copyOf } from '../meta/struct.ts';
import { dropVmState } from '../vm-state.ts';
import { dropReferences, type Raised, raiseReferences, refreshFlags } from './references.ts';
import { allocateTable, freeTable, replaceSnapshots, type Switch, writeTable } from './table.ts';

/** The image must be ready for change, and nothing of it be waiting to be written. */
export async function createSnapshot(disk: Disk, wanted: NewSnapshot): Promise<void> {
  const { snapshots, fileName, l1 } = disk;
  assertNameFits(wanted.name, fileName);
  if (snapshots.length >= Limit.MAX_SNAPSHOTS) {
    throw new BlockError(`'${fileName}' has ${snapshots.length} snapshots, the limit is ${Limit.MAX_SNAPSHOTS}`, {
      code: 'EFBIG',
    });
  }
  const raised: Raised = { clusters: 0 };
  const change: Switch = { done: false };
  const length = l1.entries * 8;
  const offset = await allocateTable(disk, length);
  await withDirtyBit(disk, async () => {
    try {
      await raiseReferences(disk, l1, raised);
      await writeTable(disk, offset, copyOf(l1.bytes, 0, length));
      const snapshot = describe(disk, wanted, offset);
      await replaceSnapshots(disk, [...snapshots, snapshot], change);
    } catch (error) {
      if (!change.done) await takeBack(disk, raised, { offset, length }).catch(() => undefined);
      throw error;
    }
    await disk.writer.settle();
  });
  // It is of no use to the active disk, and each further snapshot would have to count it.
  await dropVmState(disk);
  await disk.writer.settle();
}

/** After a failure the clusters belong to the active disk alone again. */
async function takeBack(disk: Disk, raised: Raised, copy: { offset: number; length: number }): Promise<void> {
  freeTable(disk, copy.offset, copy.length);
  await dropReferences(disk, disk.l1, { most: raised.clusters });
  await disk.writer.settle();
  await refreshFlags(disk);
  await disk.writer.settle();
}

const MAX_NAME_BYTES = 0xffff;

function assertNameFits(name: string, fileName: string): void {
  const bytes = Buffer.byteLength(name);
  if (bytes > MAX_NAME_BYTES) {
    throw new BlockError(`'${fileName}': the snapshot name has ${bytes} bytes, the limit is ${MAX_NAME_BYTES}`, {
      code: 'ENAMETOOLONG',
    });
  }
  if (name.includes('\0')) throw new BlockError(`'${fileName}': the snapshot name holds a NUL byte`);
}

function describe(disk: Disk, wanted: NewSnapshot, l1TableOffset: number): Snapshot {
  const now = Date.now();
  const date = wanted.date ?? { sec: Math.floor(now / 1000), nsec: (now % 1000) * 1_000_000 };
  const clock = wanted.vmClock ?? { sec: 0, nsec: 0 };
  return {
    l1TableOffset,
    l1Size: disk.l1.entries,
    id: String(disk.snapshots.reduce((most, { id }) => Math.max(most, idNumber(id)), 0) + 1),
    name: wanted.name,
    dateSec: date.sec,
    dateNsec: date.nsec,
    vmClock: BigInt(clock.sec) * 1_000_000_000n + BigInt(clock.nsec),
    vmStateSize: wanted.vmStateSize ?? 0,
    diskSize: disk.size,
    icount: BigInt(wanted.icount ?? 0),
    extra: new Uint8Array(0),
  };
}

/** Ids are numbers in decimal wherever a known program has made them. */
function idNumber(id: string): number {
  const value = Number.parseInt(id, 10);
  return Number.isSafeInteger(value) && value > 0 && value < Number.MAX_SAFE_INTEGER ? value : 0;
}
