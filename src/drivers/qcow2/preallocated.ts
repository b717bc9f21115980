/**
 * Whether clusters were allocated without being written (preallocation=metadata): then the file has holes
 * where the tables say data, and status answers are worth a look into the file.
 */
import { after, type Maybe } from '../../core/async/maybe.ts';
import type { Disk } from './disk.ts';

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
async function countUsed(disk: Disk, clusters: number, enough: number): Promise<number> {
  let used = 0;
  for (let cluster = 0; cluster < clusters && used < enough; cluster++) {
    const count = disk.refcounts.get(cluster);
    if ((count instanceof Promise ? await count : count) > 0) used++;
  }
  return used;
}
