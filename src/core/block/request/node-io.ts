/**
 * The total set of operations of one node, made from the sparse record its driver gave.
 *
 * Each request passes here once per node: clipping at the end of the disk, alignment with
 * read-modify-write (`unaligned.ts`), serialisation of overlaps (`tracker.ts`), splitting to the driver's
 * limits, FUA by flush, zeroing by write, discard as nothing, status as "all data". The common case, an
 * aligned request that completes at once, costs a few comparisons and no allocation.
 */
import { after, type Maybe } from '../../async/maybe.ts';
import { BlockError, NotSupported } from '../../errors/block-error.ts';
import type { Extent, Flags, HostExtent, Image, Limits, TruncateOptions } from '../driver.ts';
import { Flag } from '../driver.ts';
import type { Edge } from '../graph/edge.ts';
import { type DetectZeroes, writeAsZero } from './detect-zeroes.ts';
import { inPieces, sliceBuffers, totalLength } from './pieces.ts';
import { RequestTracker, type Tracked } from './tracker.ts';
import { readPadded, writePadded } from './unaligned.ts';
import { zeroInPieces } from './zeroing.ts';

const SECTOR = 512;

/** What the request layer needs to know of the node it serves. */
export interface IoOwner {
  readonly name: string;
  readonly modes: { readonly readOnly: boolean; readonly noFlush: boolean; readonly unmap: boolean };
  readonly detectZeroes: DetectZeroes;
  /** The length changed. */
  resized(): void;
}

export class NodeIo {
  readonly tracker = new RequestTracker();
  readonly #image: Image;
  readonly #owner: IoOwner;
  readonly #align: number;
  readonly #maxTransfer: number;
  #inFlight = 0;
  #idle: (() => void)[] = [];
  /** Writes completed, and the count that the last flush made stable. */
  #written = 0;
  #flushed = 0;

  constructor(image: Image, owner: IoOwner) {
    this.#image = image;
    this.#owner = owner;
    this.#align = Math.max(1, image.limits?.requestAlignment ?? 1);
    this.#maxTransfer = image.limits?.maxTransfer ?? Number.MAX_SAFE_INTEGER;
  }

  get limits(): Limits {
    return this.#image.limits ?? {};
  }

  /** Length in bytes, rounded up to whole sectors. */
  get size(): number {
    const size = this.#image.size;
    const tail = size % SECTOR;
    return tail === 0 ? size : size - tail + SECTOR;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get canCompress(): boolean {
    return this.#image.writeCompressed !== undefined;
  }

  /** Resolves when no request is in flight here. */
  async whenIdle(): Promise<void> {
    while (this.#inFlight > 0) await new Promise<void>((wake) => this.#idle.push(wake));
  }

  read(offset: number, buf: Uint8Array): Maybe<void> {
    const length = buf.length;
    if (offset + length > this.#image.size) return this.#readAcrossEnd(offset, [buf]);
    if (this.#align > 1 && (offset % this.#align !== 0 || length % this.#align !== 0)) {
      return this.#track(readPadded(this.#image, this.#align, offset, [buf]));
    }
    if (length <= this.#maxTransfer) return this.#track(this.#image.read(offset, buf));
    return this.#track(
      inPieces(length, this.#maxTransfer, (at, n) => this.#image.read(offset + at, buf.subarray(at, at + n))),
    );
  }

  readv(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    const first = bufs[0];
    if (bufs.length === 1 && first) return this.read(offset, first);
    const length = totalLength(bufs);
    if (offset + length > this.#image.size) return this.#readAcrossEnd(offset, bufs);
    if (this.#align > 1 && (offset % this.#align !== 0 || length % this.#align !== 0)) {
      return this.#track(readPadded(this.#image, this.#align, offset, bufs));
    }
    if (this.#image.readv && length <= this.#maxTransfer) return this.#track(this.#image.readv(offset, bufs));
    return this.#readEach(offset, bufs);
  }

  /** Buffers one by one, for drivers without readv; each may be aligned or not by itself. */
  #readEach(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    let at = offset;
    let pending: Promise<void> | undefined;
    for (const buf of bufs) {
      const here = at;
      at += buf.length;
      if (pending) pending = pending.then(() => this.read(here, buf));
      else {
        const result = this.read(here, buf);
        if (result instanceof Promise) pending = result;
      }
    }
    return pending;
  }

  /** A short file below a longer disk reads as zeroes past its end. */
  #readAcrossEnd(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    const size = this.#image.size;
    const length = totalLength(bufs);
    const inside = Math.max(0, Math.min(length, size - offset));
    for (const part of sliceBuffers(bufs, inside, length)) part.fill(0);
    if (inside === 0) return;
    const parts = sliceBuffers(bufs, 0, inside);
    if (this.#align > 1) return this.#track(readPadded(this.#image, this.#align, offset, parts));
    return this.readv(offset, parts);
  }

  write(offset: number, buf: Uint8Array, flags: Flags = 0): Maybe<void> {
    this.#assertWritable();
    if (this.#owner.detectZeroes !== 'off') {
      const zeroed = writeAsZero(this, this.#owner.detectZeroes, offset, buf, flags);
      if (zeroed !== false) return zeroed;
    }
    const length = buf.length;
    if (this.#isAligned(offset, length) && length <= this.#maxTransfer && !this.tracker.hasSerialising) {
      return this.#trackWrite(offset, length, this.#writeDown(offset, buf, undefined, flags));
    }
    return this.#writeSlow(offset, [buf], flags);
  }

  writev(offset: number, bufs: readonly Uint8Array[], flags: Flags = 0): Maybe<void> {
    const first = bufs[0];
    if (bufs.length === 1 && first) return this.write(offset, first, flags);
    this.#assertWritable();
    const length = totalLength(bufs);
    if (this.#isAligned(offset, length) && length <= this.#maxTransfer && !this.tracker.hasSerialising) {
      return this.#trackWrite(offset, length, this.#writeDown(offset, undefined, bufs, flags));
    }
    return this.#writeSlow(offset, bufs, flags);
  }

  #isAligned(offset: number, length: number): boolean {
    return this.#align === 1 || (offset % this.#align === 0 && length % this.#align === 0);
  }

  /** One request within the driver's limits; FUA is emulated by a flush where the driver has none. */
  #writeDown(
    offset: number,
    buf: Uint8Array | undefined,
    bufs: readonly Uint8Array[] | undefined,
    flags: Flags,
  ): Maybe<void> {
    const image = this.#image;
    if (!image.write) throw new NotSupported(`node '${this.#owner.name}' cannot be written to`);
    const known = flags & (image.writeFlags ?? 0);
    let done: Maybe<void>;
    if (buf) done = image.write(offset, buf, known);
    else if (image.writev) done = image.writev(offset, bufs ?? [], known);
    else done = image.write(offset, Buffer.concat(bufs ?? []), known);
    if ((flags & Flag.FUA) === 0 || (known & Flag.FUA) !== 0) return done;
    return after(done, () => {
      this.#written++;
      return this.flush();
    });
  }

  /** Unaligned, too long, or beside a serialising request. */
  #writeSlow(offset: number, bufs: readonly Uint8Array[], flags: Flags): Maybe<void> {
    const length = totalLength(bufs);
    const aligned = this.#isAligned(offset, length);
    const start = aligned ? offset : offset - (offset % this.#align);
    const end = aligned ? offset + length : Math.ceil((offset + length) / this.#align) * this.#align;
    return this.exclusive(start, end - start, !aligned, () => {
      if (!aligned) {
        return writePadded({ image: this.#image, align: this.#align }, offset, bufs, (at, parts) =>
          this.#writePieces(at, parts, flags),
        );
      }
      return this.#writePieces(offset, bufs, flags);
    });
  }

  #writePieces(offset: number, bufs: readonly Uint8Array[], flags: Flags): Maybe<void> {
    return inPieces(totalLength(bufs), this.#maxTransfer, (at, n) =>
      this.#writeDown(offset + at, undefined, sliceBuffers(bufs, at, at + n), flags),
    );
  }

  /**
   * Run a changing request on a range: wait for what overlaps, be waited for. A serialising request
   * excludes every other overlapping one.
   */
  async exclusive(offset: number, length: number, serialising: boolean, action: () => Maybe<void>): Promise<void> {
    const request = this.tracker.begin(offset, length, serialising);
    this.#inFlight++;
    try {
      await this.tracker.waitForOverlaps(offset, length, serialising, request);
      await action();
    } finally {
      this.#endWrite(request);
    }
  }

  writeCompressed(offset: number, buf: Uint8Array): Maybe<void> {
    this.#assertWritable();
    if (!this.#image.writeCompressed) {
      throw new NotSupported(`node '${this.#owner.name}' cannot store compressed data`);
    }
    return this.#trackWrite(offset, buf.length, this.#image.writeCompressed(offset, buf));
  }

  zero(offset: number, length: number, flags: Flags = 0): Maybe<void> {
    this.#assertWritable();
    if (length === 0) return;
    const allowed = this.#owner.modes.unmap ? flags : flags & ~Flag.MAY_UNMAP;
    const run = () =>
      zeroInPieces(this.#image, { offset, length, flags: allowed }, (at, buf) => this.write(at, buf, flags & Flag.FUA));
    if (!this.tracker.hasSerialising) return this.#trackWrite(offset, length, this.#thenStable(run(), flags));
    return after(this.tracker.waitForOverlaps(offset, length, false), () =>
      this.#trackWrite(offset, length, this.#thenStable(run(), flags)),
    );
  }

  #thenStable(done: Maybe<void>, flags: Flags): Maybe<void> {
    if ((flags & Flag.FUA) === 0 || ((this.#image.zeroFlags ?? 0) & Flag.FUA) !== 0) return done;
    return after(done, () => {
      this.#written++;
      return this.flush();
    });
  }

  /** A hint: what is not whole in the driver's granularity is left as it is. */
  discard(offset: number, length: number): Maybe<void> {
    this.#assertWritable();
    const image = this.#image;
    if (!image.discard || !this.#owner.modes.unmap) return;
    const unit = Math.max(image.limits?.discardAlignment ?? 1, this.#align);
    const start = Math.ceil(offset / unit) * unit;
    const end = offset + length >= image.size ? offset + length : Math.floor((offset + length) / unit) * unit;
    if (end <= start) return;
    const limit = Math.max(unit, image.limits?.maxDiscard ?? Number.MAX_SAFE_INTEGER);
    return this.#trackWrite(
      start,
      end - start,
      inPieces(end - start, limit - (limit % unit), (at, n) => image.discard?.(start + at, n)),
    );
  }

  /** Make everything that completed before stable; nothing to do when nothing was written since the last time. */
  flush(): Maybe<void> {
    const upTo = this.#written;
    if (upTo === this.#flushed && this.#inFlight === 0) return;
    if (this.#owner.modes.noFlush || !this.#image.flush) {
      this.#flushed = upTo;
      return;
    }
    return after(this.#track(this.#image.flush()), () => {
      this.#flushed = Math.max(this.#flushed, upTo);
    });
  }

  /** Flush without looking whether this node wrote: its driver may hold metadata of its own. */
  async flushAll(): Promise<void> {
    if (!this.#owner.modes.noFlush) await this.#image.flush?.();
  }

  async truncate(size: number, options: TruncateOptions): Promise<void> {
    this.#assertWritable();
    if (!Number.isSafeInteger(size) || size < 0) throw new BlockError(`image size ${size} is out of range`);
    if (!this.#image.truncate) throw new NotSupported(`node '${this.#owner.name}' cannot be resized`);
    const from = Math.min(size, this.#image.size);
    const range = Math.max(size, this.#image.size) - from;
    await this.exclusive(from, range, true, () => this.#image.truncate?.(size, options));
    this.#owner.resized();
  }

  status(offset: number, length: number, precise: boolean): Maybe<Extent> {
    const size = this.#image.size;
    if (offset >= size) return { length, allocated: false, data: false, zero: true };
    const span = Math.min(length, size - offset);
    if (!this.#image.status) return { length: span, allocated: true, data: true, zero: false };
    return this.#image.status(offset, span, precise);
  }

  copyRangeFrom(offset: number, target: Edge, targetOffset: number, length: number): Maybe<boolean> {
    if (!this.#image.copyRangeFrom || !this.#isAligned(offset, length)) return false;
    return this.#image.copyRangeFrom(offset, target, targetOffset, length);
  }

  copyRangeTo(offset: number, source: HostExtent, length: number): Maybe<boolean> {
    this.#assertWritable();
    if (!this.#image.copyRangeTo || !this.#isAligned(offset, length)) return false;
    const image = this.#image;
    if (this.tracker.hasSerialising) return false;
    const done = image.copyRangeTo?.(offset, source, length) ?? false;
    if (!(done instanceof Promise)) {
      this.#written++;
      return done;
    }
    const request = this.tracker.begin(offset, length, false);
    this.#inFlight++;
    return done.finally(() => this.#endWrite(request));
  }

  #assertWritable(): void {
    if (this.#owner.modes.readOnly) throw new BlockError(`node '${this.#owner.name}' is read-only`, { code: 'EACCES' });
  }

  #track(result: Maybe<void>): Maybe<void> {
    if (!(result instanceof Promise)) return;
    this.#inFlight++;
    return result.then(this.#endRead, this.#failRead);
  }

  readonly #endRead = (): void => this.#endRequest();

  readonly #failRead = (error: unknown): never => {
    this.#endRequest();
    throw error;
  };

  #trackWrite(offset: number, length: number, result: Maybe<void>): Maybe<void> {
    if (!(result instanceof Promise)) {
      this.#written++;
      return;
    }
    const request = this.tracker.begin(offset, length, false);
    this.#inFlight++;
    return result.finally(() => this.#endWrite(request));
  }

  #endWrite(request: Tracked): void {
    this.#written++;
    this.tracker.end(request);
    this.#endRequest();
  }

  #endRequest(): void {
    this.#inFlight--;
    if (this.#inFlight > 0 || this.#idle.length === 0) return;
    const woken = this.#idle;
    this.#idle = [];
    for (const wake of woken) wake();
  }
}
