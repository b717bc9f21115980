/**
 * The snapshot behind the filter: what is saved of it, what is not yet, and how it is read.
 *
 * A cluster is wanted until it is saved. Saving holds the cluster's lock from looking at the bit to clearing it; so does
 * reading a cluster that is not saved. A change of the disk first has everything wanted of its range saved, and what is
 * saved is never wanted again: who holds the lock of a wanted cluster reads what it was.
 */

import { after, type Maybe } from '../../core/async/maybe.ts';
import { RangeLock } from '../../core/async/range-lock.ts';
import type { DirtyBitmap } from '../../core/bitmap/index.ts';
import type { Extent } from '../../core/block/driver.ts';
import { Flag } from '../../core/block/driver.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { belowFilters, chainStatus } from '../../core/block/own-node.ts';
import type { PointInTimeCapability, SaveOptions } from '../../core/block/point-in-time.ts';
import { alignDown, alignUp } from '../../core/bytes/ranges.ts';
import { nextRun } from '../../core/bytes/zero.ts';
import { asBlockError, BlockError, reworded } from '../../core/errors/block-error.ts';

/** Longest single copy in bytes, unless clusters are larger. */
const PIECE = 1 << 20;

export class Snapshot implements PointInTimeCapability {
  readonly wanted: DirtyBitmap;
  readonly readable: DirtyBitmap;
  failure: BlockError | undefined;
  discardsSource = false;
  readonly #file: Edge;
  readonly #target: Edge;
  readonly #lock = new RangeLock();

  constructor(file: Edge, target: Edge, wanted: DirtyBitmap) {
    this.#file = file;
    this.#target = target;
    this.wanted = wanted;
    this.readable = wanted.clone();
  }

  /** Something of the range is not saved yet and is to be. */
  wants(offset: number, length: number): boolean {
    const { granularity } = this.wanted;
    const start = alignDown(offset, granularity);
    return this.failure === undefined && this.wanted.nextDirty(start, offset + length) >= 0;
  }

  async save(offset: number, length: number, { compressed = false, discard = false }: SaveOptions = {}): Promise<void> {
    const { granularity, size } = this.wanted;
    const start = alignDown(offset, granularity);
    const end = Math.min(alignUp(offset + length, granularity), size);
    await this.#lock.run(start, end, async () => {
      const piece = compressed ? granularity : Math.max(PIECE, granularity);
      for (;;) {
        const range = this.wanted.nextDirtyRange(start, end, piece);
        if (!range) return;
        await this.#copy(range.offset, range.length, compressed);
        // Still wanted: who writes there waits until it is done. That it cannot be done is no harm.
        if (discard && this.discardsSource) await attempt(() => this.#file.discard(range.offset, range.length));
        this.wanted.clear(range.offset, range.length);
      }
    });
  }

  async #copy(offset: number, length: number, compressed: boolean): Promise<void> {
    const end = offset + length;
    let data = offset;
    for (let at = offset; at < end; ) {
      const { zero, length: run } = await this.#wholeClusters(at, end);
      if (zero) {
        await this.#copyData(data, at - data, compressed);
        await onSide('write', () => this.#target.zero(at, run, Flag.MAY_UNMAP));
        data = at + run;
      }
      at += run;
    }
    await this.#copyData(data, end - data, compressed);
  }

  /** Clusters from `at` on that are known to be zeroes, or the next ones that are not. */
  async #wholeClusters(at: number, end: number): Promise<{ readonly zero: boolean; readonly length: number }> {
    const { granularity } = this.wanted;
    const { zero, length } = await onSide('read', () =>
      chainStatus(this.#file.node, undefined, { offset: at, length: end - at, precise: true }),
    );
    const whole = at + length >= end ? end - at : alignDown(length, granularity);
    if (zero && whole > 0) return { zero, length: whole };
    return { zero: false, length: Math.min(end - at, alignUp(Math.max(length, 1), granularity)) };
  }

  async #copyData(offset: number, length: number, compressed: boolean): Promise<void> {
    if (length === 0) return;
    const { granularity } = this.wanted;
    const buf = Buffer.allocUnsafeSlow(length);
    await onSide('read', () => this.#file.read(offset, buf));
    for (let at = 0; at < length; ) {
      const run = nextRun(buf, at, { offset, granularity });
      const data = buf.subarray(at, at + Math.abs(run));
      await onSide('write', () => {
        if (run < 0) return this.#target.zero(offset + at, data.length, Flag.MAY_UNMAP);
        if (compressed) return this.#target.writeCompressed(offset + at, data);
        return this.#target.write(offset + at, data);
      });
      at += data.length;
    }
  }

  async read(offset: number, buf: Uint8Array): Promise<void> {
    this.#assertReadable(offset, buf.length);
    const { granularity } = this.wanted;
    const end = offset + buf.length;
    await this.#lock.run(alignDown(offset, granularity), alignUp(end, granularity), async () => {
      for (let at = offset; at < end; ) {
        const extent = this.wanted.extentAt(at, end - at);
        const part = buf.subarray(at - offset, at - offset + extent.length);
        await (extent.dirty ? this.#file : this.#target).read(at, part);
        at += extent.length;
      }
    });
    // It may have been lost while it was read.
    this.#assertReadable(offset, buf.length);
  }

  #assertReadable(offset: number, length: number): void {
    if (this.failure) {
      throw new BlockError(`the snapshot of '${this.#file.node.name}' is lost: ${this.failure.message}`, {
        code: 'EACCES',
        cause: this.failure,
      });
    }
    const gap = this.readable.nextClean(offset, offset + length);
    if (gap < 0) return;
    throw new BlockError(`the snapshot of '${this.#file.node.name}' has nothing at ${gap}`, { code: 'EACCES' });
  }

  status(offset: number, length: number): Maybe<Extent> {
    const readable = this.readable.extentAt(offset, length);
    if (!readable.dirty) return { length: readable.length, allocated: false, data: false, zero: false };
    const saved = this.wanted.extentAt(offset, readable.length);
    const from = saved.dirty ? this.#file.node : belowFilters(this.#target);
    const chain = chainStatus(from, undefined, { offset, length: saved.length, precise: true });
    return after(chain, (extent) => ({
      length: extent.length,
      allocated: true,
      data: extent.data,
      zero: extent.zero,
    }));
  }

  async discard(offset: number, length: number): Promise<void> {
    const { granularity, size } = this.wanted;
    const start = alignUp(offset, granularity);
    const end = offset + length >= size ? size : alignDown(offset + length, granularity);
    if (end <= start) return;
    await this.#lock.run(start, end, () => {
      this.readable.clear(start, end - start);
      this.wanted.clear(start, end - start);
      return this.#target.discard(start, end - start);
    });
  }
}

async function attempt(action: () => Maybe<void>): Promise<void> {
  try {
    await action();
  } catch {
    // Nothing depends on it.
  }
}

/** An error says on which side it happened. */
async function onSide<T>(side: 'read' | 'write', action: () => Maybe<T>): Promise<T> {
  try {
    return await action();
  } catch (thrown) {
    const cause = asBlockError(thrown);
    throw reworded(cause.message, cause, { side });
  }
}
