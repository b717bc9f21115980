/** Zero clusters, which version 2 does not have: written out, or left to read as nothing where no backing file shows. */

import { discard } from '../clear.ts';
import type { Disk } from '../disk.ts';
import { beforeWrite } from '../first-write.ts';
import { mapRun, RunKind } from '../mapping.ts';
import { hostOffset, isCompressed, isZeroFlagged } from '../meta/entries.ts';
import type { Snapshot } from '../meta/snapshot-table.ts';
import { viewOf } from '../meta/struct.ts';
import { writev } from '../write.ts';
import type { Steps } from './index.ts';

/** Bytes that are looked at, and written, in one step. */
const STEP = 2 * 1024 * 1024;

export async function writeOutZeroes(disk: Disk, steps: Steps): Promise<void> {
  const zeroes = new Uint8Array(STEP);
  steps.expect(disk.size);
  for (let at = 0; at < disk.size; ) {
    const run = await mapRun(disk, at, Math.min(STEP, disk.size - at));
    if (run.kind === RunKind.ZERO) {
      await beforeWrite(disk);
      await asRequest(disk, () =>
        disk.backing
          ? writev(disk, at, [zeroes.subarray(0, run.length)], run.length)
          : discard(disk, { offset: at, length: run.length }, { full: true, reason: 'other' }),
      );
    }
    steps.advance(run.length);
    at += run.length;
  }
}

/** The clusters that `action` reads and writes are not given to others meanwhile. */
async function asRequest(disk: Disk, action: () => void | Promise<void>): Promise<void> {
  const generation = disk.grace.enter();
  try {
    await action();
  } finally {
    disk.grace.leave(generation);
  }
}

/** The first snapshot with a zero cluster: its tables are not the disk's to write to. */
export async function snapshotWithZeroes(disk: Disk): Promise<Snapshot | undefined> {
  const { clusterSize } = disk.geometry;
  const seen = new Set<number>();
  for (const snapshot of disk.snapshots) {
    const l1 = new Uint8Array(snapshot.l1Size * 8);
    if (l1.length > 0) await disk.file.read(snapshot.l1TableOffset, l1);
    const view = viewOf(l1);
    for (let at = 0; at < l1.length; at += 8) {
      const offset = hostOffset(view.getUint32(at), view.getUint32(at + 4));
      if (offset === 0 || offset % clusterSize !== 0 || seen.has(offset)) continue;
      seen.add(offset);
      const table = new Uint8Array(clusterSize);
      await disk.file.read(offset, table);
      if (hasZeroes(viewOf(table))) return snapshot;
    }
  }
  return undefined;
}

function hasZeroes(table: DataView): boolean {
  for (let at = 0; at < table.byteLength; at += 8) {
    if (isZeroFlagged(table.getUint32(at + 4)) && !isCompressed(table.getUint32(at))) return true;
  }
  return false;
}
