/** Block status: what the tables say of a range. */
import { after, type Maybe } from '../../core/async/maybe.ts';
import type { Extent } from '../../core/block/driver.ts';
import type { Disk } from './disk.ts';
import type { DiskView } from './disk-view.ts';
import { mapRun, type Run, RunKind } from './mapping.ts';
import { isPreallocated } from './preallocated.ts';

export function status(disk: Disk, offset: number, length: number, precise: boolean): Maybe<Extent> {
  return after(mapRun(disk, offset, length), (run) => {
    if (run.kind !== RunKind.DATA || !precise || disk.encryption) return extentOf(disk, run, false);
    return after(isPreallocated(disk), (recurse) => extentOf(disk, run, recurse));
  });
}

export function extentOf(disk: DiskView, run: Run, recurse: boolean): Extent {
  const { kind, length } = run;
  // What lies in the file is of no use to somebody who looks there himself.
  const place = run.host >= 0 && !disk.encryption ? { offset: run.host, edge: disk.data } : {};
  switch (kind) {
    case RunKind.DATA:
      return { length, allocated: true, data: true, zero: false, ...place, ...(recurse ? { recurse } : {}) };
    case RunKind.ZERO:
      return { length, allocated: true, data: false, zero: true, ...place };
    case RunKind.COMPRESSED:
      return { length, allocated: true, data: true, zero: false, compressed: true };
    case RunKind.UNALLOCATED:
      return { length, allocated: false, data: false, zero: false, ...place };
  }
}
