/**
 * The total set of operations of one node, made from the sparse record its driver gave.
 *
 * Each request passes here once per node: clipping at the end of the disk, alignment with
 * read-modify-write (`unaligned.ts`), serialisation of overlaps (`tracker.ts`), splitting to the driver's
 * limits, FUA by flush, zeroing by write, discard as nothing, status as "all data". The common case, an
 * aligned request that completes at once, costs a few comparisons and no allocation; one that has to wait costs
 * one promise, which serves the accounts, the count of what is in flight and the tracking of changes.
 *
 * A request that is made of several (pieces, a read-modify-write, zeroes written as data) goes to the image
 * directly and is counted and tracked once, as a whole: its parts never wait for anybody, so they cannot wait
 * for one that waits for it.
 */
import { after, type Maybe } from '../../async/maybe.ts';
import { alignUp } from '../../bytes/ranges.ts';
import { BlockError, NotSupported } from '../../errors/block-error.ts';
import { accounted, accountedRead } from '../accounting/accounted.ts';
import { Accounting } from '../accounting/accounting.ts';
import { NodeBitmaps } from '../bitmaps/node-bitmaps.ts';
import type { Extent, Flags, HostExtent, Image, Limits, TruncateOptions } from '../driver.ts';
import { Flag } from '../driver.ts';
import type { Edge } from '../graph/edge.ts';
import { announced } from './announced.ts';
import { Changes } from './changes.ts';
import { type DetectZeroes, zeroingFlags } from './detect-zeroes.ts';
import { discardable, discardInPieces } from './discarding.ts';
import { Flushing } from './flushing.ts';
import { comesToFlush, flagsOfPieces, writesInPieces, zeroesInPieces } from './forcing.ts';
import { imageStatus } from './image-status.ts';
import { InFlight } from './in-flight.ts';
import { inPieces, sliceBuffers, totalLength } from './pieces.ts';
import { readParts } from './reading.ts';
import { retiredImage } from './retired.ts';
import type { NewRequest, RequestTracker } from './tracker.ts';
import { type Fit, fitOf, writePadded } from './unaligned.ts';
import { zeroInPieces } from './zeroing.ts';

const SECTOR = 512;

/** What the request layer needs to know of the node it serves. */
export interface IoOwner {
  readonly name: string;
  readonly modes: { readonly readOnly: boolean; readonly noFlush: boolean; readonly unmap: boolean };
  readonly detectZeroes: DetectZeroes;
  /** The children; those the node may write to hold part of its data. */
  readonly children: ReadonlyMap<string, Edge>;
  /** The child whose content a filter passes on as it is. */
  readonly passedOn?: Edge | undefined;
  /** The length changed. */
  resized(): void;
}

export class NodeIo {
  /** What comes from users of the node is counted, not what is done for it within. */
  readonly accounts = new Accounting();
  readonly #requests = new InFlight();
  readonly #changes: Changes;
  readonly #flushing: Flushing;
  #image: Image;
  readonly #owner: IoOwner;
  #fit: Fit;
  /** Alignment less one: what must be clear in offsets and lengths. */
  #mask = 0;
  #maxTransfer = 1;
  /** `#size` and what it is rounded up to: remainders of large numbers are slow. */
  #size = 0;
  #rounded = 0;

  constructor(image: Image, owner: IoOwner) {
    this.#image = image;
    this.#owner = owner;
    this.#changes = new Changes(this.#requests, new NodeBitmaps(owner.name, this, image.bitmaps));
    this.#flushing = new Flushing(owner, this.#changes, this.#requests);
    this.#fit = this.refit();
  }

  /** The limits of the image may have changed, since another node is below it now. Nothing may be in flight. */
  refit(): Fit {
    this.#fit = fitOf(this.#image, this.#owner.name);
    this.#mask = this.#fit.align - 1;
    this.#maxTransfer = this.#fit.maxTransfer;
    this.#changes.align = this.#fit.align;
    return this.#fit;
  }

  /** The image is about to be closed although it has users: from now on every request fails. */
  retire(): void {
    this.#image = retiredImage(this.#owner.name, this.#image.size);
    this.refit();
  }

  /** Changes in flight. */
  get tracker(): RequestTracker {
    return this.#changes.tracker;
  }

  get bitmaps(): NodeBitmaps {
    return this.#changes.bitmaps;
  }

  get limits(): Limits {
    return this.#image.limits ?? {};
  }

  /** Length in bytes, rounded up to whole sectors. */
  get size(): number {
    const size = this.#image.size;
    if (size !== this.#size) {
      this.#size = size;
      this.#rounded = alignUp(size, SECTOR);
    }
    return this.#rounded;
  }

  get readOnly(): boolean {
    return this.#owner.modes.readOnly;
  }

  /** Requests begun and not ended, with those that wait for others to end. */
  get inFlight(): number {
    return this.#requests.count;
  }

  get canCompress(): boolean {
    return this.#image.writeCompressed !== undefined;
  }

  /** Resolves when no request is in flight here. */
  whenIdle(): Promise<void> {
    return this.#requests.whenIdle();
  }

  /** Have work of several steps be a request in flight, between them too: whoever waits for a quiet moment waits for it. */
  during<T>(work: Maybe<T>): Maybe<T> {
    return this.#requests.during(work);
  }

  read(offset: number, buf: Uint8Array): Maybe<void> {
    const length = buf.length;
    const image = this.#image;
    if (offset + length > image.size || ((offset | length) & this.#mask) !== 0 || length > this.#maxTransfer) {
      return this.#readParts(offset, [buf]);
    }
    const { accounts } = this;
    const { read } = accounts;
    if (accounts.times(read)) return accountedRead(accounts, image, offset, buf, this.#requests.enter);
    // What accountedRead does, once more in place: in a function that others use too it costs several times as much.
    let done: Maybe<void>;
    try {
      done = image.read(offset, buf);
    } catch (error) {
      accounts.failed(read);
      throw error;
    }
    if (done instanceof Promise) return accounts.follow(read, length, done, this.#requests.enter());
    read.count(length);
  }

  readv(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    const first = bufs[0];
    return bufs.length === 1 && first ? this.read(offset, first) : this.#readParts(offset, bufs);
  }

  #readParts(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    const read = () => readParts(this.#fit, offset, bufs);
    return accounted(this.accounts, this.accounts.read, totalLength(bufs), read, this.#requests.enter);
  }

  write(offset: number, buf: Uint8Array, flags: Flags = 0): Maybe<void> {
    const { length } = buf;
    const image = this.#image;
    if (!image.write || !this.#goesStraight(offset, length, flags)) return this.#writev(offset, [buf], flags);
    const { accounts } = this;
    accounts.reaching(offset, length);
    const begun = accounts.begin(accounts.write);
    this.#changes.count++;
    let done: Maybe<void>;
    try {
      done = image.write(offset, buf, 0);
    } catch (error) {
      accounts.failed(accounts.write);
      throw error;
    }
    if (done instanceof Promise) {
      return accounts.follow(accounts.write, length, done, this.#changes.enter(offset, length, true));
    }
    accounts.endedAtOnce(accounts.write, length, begun);
  }

  /** A write has nothing about it that is out of the ordinary; else the long way also finds what is wrong. */
  #goesStraight(offset: number, length: number, flags: Flags): boolean {
    const { modes, detectZeroes } = this.#owner;
    return (
      flags === 0 &&
      !modes.readOnly &&
      detectZeroes === 'off' &&
      ((offset | length) & this.#mask) === 0 &&
      length <= this.#maxTransfer &&
      !this.#changes.observed &&
      this.#image.event === undefined
    );
  }

  writev(offset: number, bufs: readonly Uint8Array[], flags: Flags = 0): Maybe<void> {
    const first = bufs[0];
    if (bufs.length === 1 && first) return this.write(offset, first, flags);
    const image = this.#image;
    const length = totalLength(bufs);
    if (!image.writev || !this.#goesStraight(offset, length, flags)) return this.#writev(offset, bufs, flags);
    const { accounts } = this;
    accounts.reaching(offset, length);
    this.#changes.count++;
    return accounted(
      accounts,
      accounts.write,
      length,
      () => image.writev?.(offset, bufs, 0),
      () => this.#changes.enter(offset, length, true),
    );
  }

  #writev(offset: number, bufs: readonly Uint8Array[], flags: Flags): Maybe<void> {
    return this.#changing(offset, totalLength(bufs), () => this.#writeOrZero(offset, bufs, flags));
  }

  /** Count a change of any kind but the plainest, which sees to its being tracked by itself. */
  #changing(offset: number, length: number, action: () => Maybe<void>): Maybe<void> {
    return accounted(this.accounts, this.accounts.write, this.accounts.reaching(offset, length), action);
  }

  #writeOrZero(offset: number, bufs: readonly Uint8Array[], flags: Flags): Maybe<void> {
    this.#assertWritable();
    if ((flags & Flag.COMPRESSED) !== 0) return this.#writeCompressed(offset, bufs, flags);
    const length = totalLength(bufs);
    if (this.#owner.detectZeroes !== 'off' && this.#image.zero) {
      const zeroing = zeroingFlags(this.#owner.detectZeroes, bufs, flags);
      if (zeroing !== undefined) return this.#zero(offset, length, zeroing);
    }
    const cut = () => writesInPieces(this.#fit, offset, length);
    const known = flagsOfPieces(flags & (this.#image.writeFlags ?? 0), cut, this.#image, this.#owner);
    return this.#changes.run({ offset, length, flags }, () =>
      this.#thenStable(this.#writeParts(offset, bufs, known), (flags & ~known & Flag.FUA) !== 0),
    );
  }

  /** Write all of `bufs`; where they are not aligned, the caller holds the range to itself. */
  #writeParts(offset: number, bufs: readonly Uint8Array[], known: Flags): Maybe<void> {
    const length = totalLength(bufs);
    const put = (at: number, parts: readonly Uint8Array[]) => {
      const piece = (from: number, n: number) => this.#writeDown(at + from, sliceBuffers(parts, from, from + n), known);
      return announced(this.#image, 'pwritev', () => inPieces(totalLength(parts), this.#maxTransfer, piece));
    };
    return ((offset | length) & this.#mask) === 0 ? put(offset, bufs) : writePadded(this.#fit, offset, bufs, put);
  }

  /** One request within the driver's limits. */
  #writeDown(offset: number, bufs: readonly Uint8Array[], known: Flags): Maybe<void> {
    const image = this.#image;
    if (!image.write) throw new NotSupported(`node '${this.#owner.name}' cannot be written to`);
    const first = bufs[0];
    if (bufs.length === 1 && first) return image.write(offset, first, known);
    if (image.writev) return image.writev(offset, bufs, known);
    return image.write(offset, Buffer.concat(bufs), known);
  }

  writeCompressed(offset: number, buf: Uint8Array): Maybe<void> {
    return this.#changing(offset, buf.length, () => {
      this.#assertWritable();
      return this.#writeCompressed(offset, [buf], 0);
    });
  }

  #writeCompressed(offset: number, bufs: readonly Uint8Array[], flags: Flags): Maybe<void> {
    const image = this.#image;
    if (!image.writeCompressed) throw new NotSupported(`node '${this.#owner.name}' cannot store compressed data`);
    const first = bufs[0];
    const buf = bufs.length === 1 && first ? first : Buffer.concat(bufs);
    const run = () => this.#thenStable(image.writeCompressed?.(offset, buf), (flags & Flag.FUA) !== 0);
    return this.#changes.run({ offset, length: buf.length, flags, whole: true }, run);
  }

  zero(offset: number, length: number, flags: Flags = 0): Maybe<void> {
    return this.#changing(offset, length, () => this.#zero(offset, length, flags));
  }

  #zero(offset: number, length: number, flags: Flags): Maybe<void> {
    this.#assertWritable();
    if (length === 0) return;
    const image = this.#image;
    const allowed = this.#owner.modes.unmap ? flags : flags & ~Flag.MAY_UNMAP;
    // FUA is passed on where both ways of zeroing know it; else one flush at the end does for all.
    const knows = flags & (image.zeroFlags ?? 0) & (image.writeFlags ?? 0) & Flag.FUA;
    const cut = () => zeroesInPieces(this.#fit, offset, length);
    const passed = flagsOfPieces(knows, cut, image, this.#owner);
    const request = { offset, length, flags: allowed & ~(Flag.FUA & ~passed) };
    const write = (at: number, buf: Uint8Array) => this.#writeParts(at, [buf], flags & passed);
    const run = () => announced(image, 'pwritev_zero', () => zeroInPieces(image, request, write));
    const stable = (flags & ~passed & Flag.FUA) !== 0;
    return this.#changes.run({ offset, length, flags }, () => this.#thenStable(run(), stable));
  }

  /** A hint: what is not whole in the driver's granularity is left as it is. */
  discard(offset: number, length: number): Maybe<void> {
    return accounted(this.accounts, this.accounts.unmap, length, () => this.#discard(offset, length));
  }

  #discard(offset: number, length: number): Maybe<void> {
    this.#assertWritable();
    const image = this.#image;
    if (!image.discard || !this.#owner.modes.unmap) return;
    const block = this.#mask + 1;
    const range = discardable(image, block, { offset, length });
    if (range.length === 0) return;
    return this.#changes.run({ ...range, whole: true }, () => discardInPieces(image, block, range));
  }

  /** FUA where the driver has none: the write, then a flush. */
  #thenStable(done: Maybe<void>, wanted: boolean): Maybe<void> {
    if (!wanted) return done;
    return after(done, () => {
      this.#changes.count++;
      return this.#flushing.flush(this.#image);
    });
  }

  /** What FUA comes to here, when it is passed on: the driver of the storage does not know it. */
  get comesToFlush(): boolean {
    return comesToFlush(this.#image, this.#owner);
  }

  /** Something was written here, or by the driver to a child, that no flush has made stable yet. */
  get dirty(): boolean {
    return this.#flushing.dirty;
  }

  /** Make everything that completed before stable; nothing to do when nothing was written since the last time. */
  flush(): Maybe<void> {
    return accounted(this.accounts, this.accounts.flush, 0, () => this.#flushing.flush(this.#image));
  }

  /** Flush without looking whether this node wrote: its driver may hold metadata of its own. */
  flushAll(): Promise<void> {
    return this.#flushing.flushAll(this.#image);
  }

  /**
   * Run a request on a range: wait for what overlaps, be waited for. A serialising request excludes every other
   * overlapping one. `action` must not send changes of that range through here again.
   */
  exclusive(request: NewRequest, action: () => Maybe<void>): Promise<void> {
    return this.#changes.exclusive(request, action);
  }

  async truncate(size: number, options: TruncateOptions): Promise<void> {
    this.#assertWritable();
    const image = this.#image;
    if (!Number.isSafeInteger(size) || size < 0) throw new BlockError(`image size ${size} is out of range`);
    if (!image.truncate) throw new NotSupported(`node '${this.#owner.name}' cannot be resized`);
    await this.bitmaps.beginResize();
    const before = image.size;
    const from = Math.min(size, before);
    try {
      const change = { start: from, length: Math.max(size, before) - from, serialising: true, marks: false };
      await this.exclusive(change, () => {
        // What a longer backing file holds beyond the old end must not come to light.
        const hidden = size > image.size && (this.#owner.children.get('backing')?.size ?? 0) > image.size;
        return image.truncate?.(size, hidden ? { ...options, zero: true } : options);
      });
    } finally {
      if (image.size !== before) {
        this.bitmaps.resize(this.size);
        this.#owner.resized();
      }
    }
  }

  status(offset: number, length: number, precise: boolean): Maybe<Extent> {
    return this.#requests.during(imageStatus(this.#image, this.#owner, { offset, length, precise }));
  }

  copyRangeFrom(offset: number, target: Edge, targetOffset: number, length: number): Maybe<boolean> {
    if (!this.#image.copyRangeFrom || ((offset | length) & this.#mask) !== 0) return false;
    if (offset + length > this.#image.size) return false;
    return this.#requests.during(this.#image.copyRangeFrom(offset, target, targetOffset, length));
  }

  copyRangeTo(offset: number, source: HostExtent, length: number): Maybe<boolean> {
    this.#assertWritable();
    if (!this.#image.copyRangeTo || ((offset | length) & this.#mask) !== 0) return false;
    // Nobody looks at what the kernel copies.
    if (this.#owner.detectZeroes !== 'off') return false;
    if (this.tracker.hasSerialising) return false;
    const copy = () => this.#image.copyRangeTo?.(offset, source, length) ?? false;
    return this.#changes.runNow(offset, length, true, copy);
  }

  #assertWritable(): void {
    if (this.#owner.modes.readOnly) throw new BlockError(`node '${this.#owner.name}' is read-only`, { code: 'EACCES' });
  }
}
