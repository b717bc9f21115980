/** One snapshot as an image that is read: its own L1 table over the tables, caches and files of the open disk. */
import { after, type Maybe } from '../../../core/async/maybe.ts';
import type { Extent, Image, ImageInfo, Limits } from '../../../core/block/driver.ts';
import { chainStatus } from '../../../core/block/own-node.ts';
import { totalLength } from '../../../core/bytes/buffers.ts';
import type { Disk } from '../disk.ts';
import { type DiskView, viewOfDisk } from '../disk-view.ts';
import type { L1Table } from '../l1-table.ts';
import { mapRun, RunKind } from '../mapping.ts';
import { read, readv } from '../read.ts';
import { extentOf } from '../status.ts';

export interface ViewInit {
  readonly l1: L1Table;
  /** Bytes of the disk then. */
  readonly size: number;
  readonly closed: () => void;
}

export class SnapshotView implements Image {
  readonly limits: Limits;
  readonly size: number;
  readonly #disk: Disk;
  readonly #view: DiskView;
  readonly #closed: () => void;

  constructor(disk: Disk, { l1, size, closed }: ViewInit) {
    this.#disk = disk;
    this.#view = viewOfDisk(disk, { l1, size });
    this.#closed = closed;
    this.size = size;
    this.limits = { optimalTransfer: disk.geometry.clusterSize };
  }

  read(offset: number, buf: Uint8Array): Maybe<void> {
    return this.#disk.grace.during(() => read(this.#view, offset, buf));
  }

  readv(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    return this.#disk.grace.during(() => readv(this.#view, offset, bufs, totalLength(bufs)));
  }

  /** What the snapshot does not hold itself it shows from the backing file of the disk, and answers for that too. */
  status(offset: number, length: number, precise: boolean): Maybe<Extent> {
    return after(mapRun(this.#view, offset, length), (run) => {
      if (run.kind !== RunKind.UNALLOCATED) return extentOf(this.#view, run, false);
      const { backing } = this.#view;
      const nothing = { length: run.length, allocated: true, data: false, zero: true };
      if (!backing || offset >= backing.size) return nothing;
      return after(
        chainStatus(backing.node, undefined, { offset, length: run.length, precise }),
        ({ length: bytes, data, zero }) => ({ length: bytes, allocated: true, data, zero }),
      );
    });
  }

  info(): ImageInfo {
    const { clusterSize, extendedL2, subclusterSize } = this.#disk.geometry;
    return { clusterSize, ...(extendedL2 ? { subclusterSize } : {}) };
  }

  async close(): Promise<void> {
    this.#closed();
  }
}
