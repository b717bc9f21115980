/**
 * `snapshot-access`: the disk as it was when the copy-before-write filter below was put over it. It can be read while the
 * disk goes on changing; what is discarded here need not be saved any more.
 */
import type { Maybe } from '../../core/async/maybe.ts';
import type { Driver, Extent, Image } from '../../core/block/driver.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { Perm, type PermPair } from '../../core/block/permissions-bits.ts';
import type { PointInTimeCapability } from '../../core/block/point-in-time.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import { defineOptions } from '../../core/options/fields.ts';

class SnapshotAccessImage implements Image {
  readonly size: number;
  readonly #snapshot: PointInTimeCapability;

  constructor(file: Edge, snapshot: PointInTimeCapability) {
    this.size = file.size;
    this.#snapshot = snapshot;
  }

  /** Requests go to the filter by another way than the edge; its users are not disturbed. */
  childPermissions(): PermPair {
    return { perm: 0, shared: Perm.ALL };
  }

  read(offset: number, buf: Uint8Array): Maybe<void> {
    return this.#snapshot.read(offset, buf);
  }

  status(offset: number, length: number): Maybe<Extent> {
    return this.#snapshot.status(offset, length);
  }

  discard(offset: number, length: number): Maybe<void> {
    return this.#snapshot.discard(offset, length);
  }

  flush(): void {}

  async close(): Promise<void> {}
}

export const snapshotAccessDriver: Driver = {
  name: 'snapshot-access',
  kind: 'format',
  options: defineOptions({}),
  slots: [{ name: 'file', role: 'data', anyNode: true }],
  async open(context) {
    const file = context.child('file');
    const snapshot = file.node.image.pointInTime;
    if (snapshot) return new SnapshotAccessImage(file, snapshot);
    throw new BlockError(`node '${file.node.name}' has no snapshot, a copy-before-write filter has one`);
  },
};
