/**
 * Whether clusters were allocated without being written (preallocation=metadata): then the file has holes
 * where the tables say data, and status answers are worth a look into the file.
 */
import { after, type Maybe } from '../../core/async/maybe.ts';
import type { Disk } from './disk.ts';
import { getRefcount } from './meta/refcount-entry.ts';

/** True when clearly more clusters are counted than the file has space for; asked once per opened image. */
export function isPreallocated(disk: Disk): Maybe<boolean> {
  disk.preallocated ??= after(detect(disk), (found) => {
    disk.preallocated = found;
    return found;
  });
  return disk.preallocated;
}

function detect(disk: Disk): Maybe<boolean> {
  const { clusterSize } = disk.geometry;
  return after(disk.file.node.image.allocatedSize?.() ?? Number.NaN, (allocated) => {
    if (Number.isNaN(allocated)) return false;
    const real = Math.floor(allocated / clusterSize);
    // A file may take a little more or less than its data: a tenth, or two clusters, do not count.
    const threshold = Math.max(Math.floor((real * 10) / 9), real + 2);
    return after(countUsed(disk, Math.ceil(disk.file.size / clusterSize), threshold), (count) => count >= threshold);
  });
}

/** Clusters with a reference among the first `clusters`, counted up to `enough`. */
function countUsed(disk: Disk, clusters: number, enough: number): Maybe<number> {
  const { refcounts, geometry } = disk;
  const { refcountBlockEntries: perBlock, refcountOrder } = geometry;
  let used = 0;
  const step = (index: number): Maybe<number> => {
    for (let at = index; at * perBlock < clusters && used < enough; at++) {
      const block = refcounts.block(at);
      if (block instanceof Promise) return block.then(() => step(at));
      if (!block) continue;
      const end = Math.min(perBlock, clusters - at * perBlock);
      for (let entry = 0; entry < end && used < enough; entry++) {
        if (getRefcount(block.view, entry, refcountOrder) > 0) used++;
      }
    }
    return used;
  };
  return step(0);
}
