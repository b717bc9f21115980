/**
 * Room for compressed clusters: they are packed one after the other without alignment, several in a host
 * cluster, each counting once in every host cluster it touches.
 */
import { after, type Maybe } from '../../core/async/maybe.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import type { Allocator } from './allocator.ts';
import type { Geometry } from './meta/geometry.ts';
import type { Refcounts } from './refcounts.ts';

export class CompressedSpace {
  readonly #allocator: Allocator;
  readonly #refcounts: Refcounts;
  readonly #geometry: Geometry;
  /** Next free byte in a started host cluster; 0 when none is started. */
  #next = 0;

  constructor(init: { allocator: Allocator; refcounts: Refcounts; geometry: Geometry }) {
    this.#allocator = init.allocator;
    this.#refcounts = init.refcounts;
    this.#geometry = init.geometry;
  }

  /** `length` bytes (at most a cluster), counted. */
  allocate(length: number): Maybe<number> {
    const allocate = () => this.#allocator.mutex.run(() => this.#allocate(length));
    return after(this.#allocator.announce('cluster_alloc_bytes'), allocate);
  }

  #allocate(length: number): Maybe<number> {
    const { clusterSize, refcountMax } = this.#geometry;
    const current = Math.floor(this.#next / clusterSize);
    const inCluster = this.#next % clusterSize;
    if (inCluster === 0) return this.#startCluster(length);
    return after(this.#refcounts.get(current), (count) => {
      if (count === 0 || count >= refcountMax) return this.#startCluster(length);
      if (inCluster + length <= clusterSize) return this.#share(current, length);
      return after(this.#allocator.allocateHeld(1, 'compressed cluster'), (cluster) => {
        if (cluster !== current + 1) return this.#take(cluster * clusterSize, length);
        return this.#share(current, length);
      });
    });
  }

  #startCluster(length: number): Maybe<number> {
    return after(this.#allocator.allocateHeld(1, 'compressed cluster'), (cluster) =>
      this.#take(cluster * this.#geometry.clusterSize, length),
    );
  }

  /** In the cluster that is started, and perhaps on into the next, which is counted already. */
  #share(current: number, length: number): Maybe<number> {
    const count = () => this.#refcounts.add(current, 1, 1);
    return after(after(this.#allocator.announceCounting(current, 1), count), () => this.#take(this.#next, length));
  }

  #take(offset: number, length: number): number {
    const { clusterSize, compressedOffsetLimit } = this.#geometry;
    const end = offset + length;
    if (end > compressedOffsetLimit) {
      throw new BlockError(`a compressed cluster at ${offset} is past the format's limit ${compressedOffsetLimit}`, {
        code: 'EFBIG',
      });
    }
    this.#allocator.touch(Math.ceil(end / clusterSize));
    this.#next = end % clusterSize === 0 ? 0 : end;
    return offset;
  }

  /** The cluster at this host offset is free again. */
  vacated(offset: number): void {
    if (this.#next > offset && this.#next < offset + this.#geometry.clusterSize) this.#next = 0;
  }
}
