/**
 * Writing into an image what its old backing file shows and the new one does not.
 *
 * What can be told from the status of both chains is not read: where both have zeroes, or show the same bytes of one
 * file. Else the old side goes to the thread pool in one request while the new one is read, when it is cached, on this
 * thread: both copy at the same time, and what is compared is still in the processor's cache.
 */
import { all, type Maybe } from '../../async/maybe.ts';
import type { Backend } from '../../block/backend/backend.ts';
import { Flag } from '../../block/driver.ts';
import { alignDown, alignUp } from '../../bytes/ranges.ts';
import { isZero, nextRun } from '../../bytes/zero.ts';
import { Reader } from '../copy-engine/reader.ts';
import type { DiskPart, Segment } from '../copy-engine/types.ts';
import { ChainSight, sameContent } from './chain-sight.ts';

/** Bytes compared at a time, unless the unit is larger. */
export const PIECE = 2 * 1024 * 1024;

/** Shortest run of zeroes that is stored as such where there are no units, in bytes. */
const LEAST_ZEROES = 4096;

export interface AdoptionInit {
  readonly image: Backend;
  /** The new backing file; undefined: none. */
  readonly next: Backend | undefined;
  /** Bytes in which the image can be written without anything else of it being copied, a power of two. */
  readonly unit: number;
  readonly compressed: boolean;
}

interface Buffers {
  readonly old: Buffer;
  readonly next: Buffer;
}

export class Adoption {
  readonly #init: AdoptionInit;
  readonly #piece: number;
  readonly #old: ChainSight;
  readonly #next: ChainSight;
  readonly #oldReader = new Reader();
  readonly #nextReader = new Reader();
  readonly #free: Buffers[] = [];

  constructor(init: AdoptionInit) {
    const { image, next, unit } = init;
    this.#init = init;
    this.#piece = Math.max(PIECE, unit);
    this.#old = new ChainSight(image.image.layer.backing?.node);
    this.#next = new ChainSight(next?.image);
  }

  /** Write what the old chain shows in a range of which the image holds nothing, as far as the new chain differs. */
  async adopt(segment: Segment): Promise<void> {
    const { image, unit } = this.#init;
    const start = alignDown(segment.offset, unit);
    const end = Math.min(image.size, alignUp(segment.offset + segment.length, unit));
    for (let at = start; at < end; ) {
      const [old, next] = [await this.#old.at(at), await this.#next.at(at)];
      const told = Math.min(end, old.end, next.end);
      // In whole units; where the status changes within one, it is to be read.
      const stop = told === end ? end : alignDown(told, unit);
      if (stop > at && sameContent(old, next)) {
        at = stop;
        continue;
      }
      const wanted = stop > at ? stop : at + unit;
      const length = Math.min(wanted, end, alignDown(at, this.#piece) + this.#piece) - at;
      await this.#compare(
        { offset: at, length },
        { segment, old: stop > at && old.zero, next: stop > at && next.zero },
      );
      at += length;
    }
  }

  async #compare({ offset, length }: DiskPart, known: Known): Promise<void> {
    const { segment } = known;
    // In a unit at its edge the image may hold something itself.
    const isInside = offset >= segment.offset && offset + length <= segment.offset + segment.length;
    const oldIsZero = known.old && isInside;
    const buffers = this.#free.pop() ?? { old: newBuffer(this.#piece), next: newBuffer(this.#piece) };
    try {
      const old = buffers.old.subarray(0, length);
      const next = known.next ? undefined : buffers.next.subarray(0, length);
      const reading = all([
        oldIsZero ? void old.fill(0) : this.#readOld(offset, old, next !== undefined),
        next && this.#readNext(offset, next),
      ]);
      if (reading) await reading;
      const zeroes = oldIsZero && segment.kind === 'zero';
      for (const run of differing(old, next, this.#init.unit)) {
        const data = zeroes ? undefined : old.subarray(run.offset, run.offset + run.length);
        await this.#write({ offset: offset + run.offset, length: run.length }, data);
      }
    } finally {
      this.#free.push(buffers);
    }
  }

  /** In one request beside another, else in pieces where it is cached. */
  #readOld(offset: number, buf: Buffer, beside: boolean): Maybe<void> {
    const { image } = this.#init;
    return beside ? later(() => image.read(offset, buf)) : this.#oldReader.read(image, offset, buf);
  }

  /** Past its end a shorter backing file shows zeroes. */
  #readNext(offset: number, buf: Buffer): Maybe<void> {
    const { next } = this.#init;
    const inside = Math.max(0, Math.min(buf.length, (next?.size ?? 0) - offset));
    buf.fill(0, inside);
    if (next && inside > 0) return later(() => this.#nextReader.read(next, offset, buf.subarray(0, inside)));
  }

  /** Without data: zeroes. What the image shows stays the same. */
  async #write({ offset, length }: DiskPart, data: Buffer | undefined): Promise<void> {
    const { image, compressed, unit } = this.#init;
    if (!data) return image.zero(offset, length, Flag.UNCHANGED);
    if (!compressed) {
      // As a stream would store it: zeroes take no space.
      const granularity = unit === 1 ? LEAST_ZEROES : unit;
      for (let at = 0; at < length; ) {
        const run = nextRun(data, at, { offset, granularity });
        if (run > 0) await image.write(offset + at, data.subarray(at, at + run), Flag.UNCHANGED);
        else await image.zero(offset + at, -run, Flag.UNCHANGED);
        at += Math.abs(run);
      }
      return;
    }
    for (let at = 0; at < length; at += unit) {
      const cluster = data.subarray(at, at + unit);
      if (isZero(cluster)) await image.zero(offset + at, cluster.length, Flag.UNCHANGED);
      else await image.writeCompressed(offset + at, cluster);
    }
  }
}

/** What is known of a piece before it is read: which sides are zeroes. */
interface Known {
  readonly segment: Segment;
  readonly old: boolean;
  readonly next: boolean;
}

function newBuffer(length: number): Buffer {
  return Buffer.allocUnsafeSlow(length);
}

/** A throw must not leave the request beside it without anybody who waits for it. */
function later(request: () => Maybe<void>): Maybe<void> {
  try {
    return request();
  } catch (error) {
    return Promise.reject(error);
  }
}

/** The stretches, in whole units, in which two pieces of a disk differ; without a second one: from zeroes. */
function* differing(old: Buffer, next: Buffer | undefined, unit: number): Generator<DiskPart> {
  const isSame = (from: number, to: number): boolean =>
    next ? old.compare(next, from, to, from, to) === 0 : isZero(old, from, to);
  if (isSame(0, old.length)) return;
  let from = -1;
  for (let at = 0; at < old.length; at += unit) {
    const same = isSame(at, Math.min(old.length, at + unit));
    if (!same && from < 0) from = at;
    if (same && from >= 0) {
      yield { offset: from, length: at - from };
      from = -1;
    }
  }
  if (from >= 0) yield { offset: from, length: old.length - from };
}
