/** Reading compressed clusters. */
import { Limiter } from '../../core/async/limiter.ts';
import { after, type Maybe } from '../../core/async/maybe.ts';
import { withContext } from '../../core/errors/block-error.ts';
import { decompress } from './codec.ts';
import type { DiskView } from './disk-view.ts';
import type { Run } from './mapping.ts';
import { compressedRange } from './meta/entries.ts';

const KEPT = 4;
/**
 * Clusters that are unpacked at a time, over all images: enough to keep the thread pool busy. Each holds its output
 * buffer and its state, so a large read that unpacked all of its clusters at once would take memory for nothing.
 */
const UNPACKED_AT_ONCE = 12;
const unpacking = new Limiter(UNPACKED_AT_ONCE);

interface Kept {
  readonly hi: number;
  readonly lo: number;
  readonly bytes: Maybe<Uint8Array>;
}

/**
 * A few decompressed clusters, for readers that take a cluster in small pieces. Emptied whenever host clusters
 * become free, since a cluster is known by its place only.
 */
export class DecompressedClusters {
  #kept: Kept[] = [];

  get(hi: number, lo: number): Maybe<Uint8Array> | undefined {
    return this.#kept.find((item) => item.hi === hi && item.lo === lo)?.bytes;
  }

  keep(hi: number, lo: number, bytes: Maybe<Uint8Array>): void {
    const item = { hi, lo, bytes };
    this.#kept = [item, ...this.#kept.slice(0, KEPT - 1)];
    if (bytes instanceof Promise) {
      bytes.catch(() => {
        this.#kept = this.#kept.filter((other) => other !== item);
      });
    }
  }

  clear(): void {
    if (this.#kept.length > 0) this.#kept = [];
  }
}

/** Fill `bufs` from the cluster of `run`, beginning `inCluster` bytes into it. */
export function readCompressed(disk: DiskView, run: Run, inCluster: number, bufs: readonly Uint8Array[]): Maybe<void> {
  const whole = run.length === disk.geometry.clusterSize;
  const known = disk.decompressed.get(run.hi, run.lo);
  const cluster = known ?? loadCluster(disk, run.hi, run.lo);
  if (!whole && known === undefined) disk.decompressed.keep(run.hi, run.lo, cluster);
  return after(cluster, (bytes) => {
    let at = inCluster;
    for (const buf of bufs) {
      buf.set(bytes.subarray(at, at + buf.length));
      at += buf.length;
    }
  });
}

/** The content of the cluster that an L2 entry describes. */
export function loadCluster(disk: DiskView, hi: number, lo: number): Maybe<Uint8Array> {
  const { offset, length } = compressedRange(disk.geometry, hi, lo);
  const { clusterSize } = disk.geometry;
  if (offset === 0 || offset >= disk.file.size) {
    throw disk.corrupt(`a compressed cluster lies at ${offset}, the file ends at ${disk.file.size}`, { offset });
  }
  return unpacking.run(() => {
    const stored = Buffer.allocUnsafeSlow(length);
    const unpack = (): Maybe<Uint8Array> => {
      try {
        const bytes = decompress(disk.header.compressionType, stored, clusterSize);
        return bytes instanceof Promise ? bytes.catch((error: unknown) => fail(disk, offset, error)) : bytes;
      } catch (error) {
        return fail(disk, offset, error);
      }
    };
    return after(
      disk.announcing('read_compressed', () => disk.file.read(offset, stored)),
      unpack,
    );
  });
}

function fail(disk: DiskView, offset: number, error: unknown): never {
  throw withContext(`'${disk.fileName}': at ${offset}`, error);
}
