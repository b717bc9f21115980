/** The open image as the block layer sees it: each operation is a call into the file of that name. */

import { after, attempt, type Maybe } from '../../core/async/maybe.ts';
import type {
  AmendCapability,
  BackingCapability,
  BitmapStore,
  CheckCapability,
  CheckOptions,
  CheckResult,
  Extent,
  Flags,
  GenerationCapability,
  HostExtent,
  Image,
  ImageInfo,
  Limits,
  ReopenCapability,
  SnapshotCapability,
  TruncateOptions,
  VmStateCapability,
} from '../../core/block/driver.ts';
import { Flag } from '../../core/block/driver.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { totalLength } from '../../core/bytes/buffers.ts';
import { SECTOR } from '../../core/crypto/index.ts';
import { NotSupported } from '../../core/errors/block-error.ts';
import { randomBytes } from '../../core/host/index.ts';
import type { AmendOptions } from './amend/options.ts';
import { discard, zero } from './clear.ts';
import { writeCompressed } from './compressed-write.ts';
import { copyRangeFrom, copyRangeTo } from './copy-range.ts';
import type { Disk } from './disk.ts';
import { beforeWrite, clearDirtyBit } from './first-write.ts';
import { assertBackingFits, changeBacking } from './header-update.ts';
import { imageInfo } from './info.ts';
import { makeEmpty } from './make-empty.ts';
import { plainHost } from './mapping.ts';
import { ExtensionType, stringExtension } from './meta/extensions.ts';
import { fingerprint, generation, writeOwn } from './own-extensions.ts';
import { read, readv } from './read.ts';
import { prepareReopen } from './reopen.ts';
import { Qcow2Snapshots } from './snapshots/index.ts';
import { status } from './status.ts';
import { truncate } from './truncate.ts';
import type { Turn } from './turns.ts';
import { vmStateOf } from './vm-state.ts';
import { writev } from './write.ts';

/** Bytes given back that a write is made to wait for: what they are worth in space, against a flush. */
const RECLAIM_BYTES = 16 * 1024 * 1024;

export class Qcow2Image implements Image {
  readonly disk: Disk;
  readonly limits: Limits;
  readonly zeroFlags = Flag.MAY_UNMAP | Flag.NO_FALLBACK | Flag.UNCHANGED;
  readonly writeFlags = Flag.UNCHANGED;
  readonly readsZeroWhenFresh: boolean;
  readonly amend: AmendCapability;
  readonly backing: BackingCapability;
  readonly generation: GenerationCapability;
  readonly reopen: ReopenCapability;
  readonly check: CheckCapability;
  readonly snapshots: SnapshotCapability;
  readonly vmState: VmStateCapability;
  /** How many want space to be taken in the order of requests. */
  #orderly = 0;
  #cleaner: NodeJS.Timeout | undefined;
  #marks = { l2: 0, refcounts: 0 };

  constructor(disk: Disk) {
    this.disk = disk;
    const { clusterSize, subclusterSize } = disk.geometry;
    const { encryption, l1 } = disk;
    // Clusters that an encrypted image has from the start decrypt to noise.
    this.readsZeroWhenFresh = !encryption || l1.nextUsed(0, l1.entries) >= l1.entries;
    this.limits = {
      ...(encryption ? { requestAlignment: SECTOR } : {}),
      optimalTransfer: clusterSize,
      zeroAlignment: subclusterSize,
      discardAlignment: clusterSize,
      takesParts: true,
    };
    this.backing = {
      get fileName() {
        return disk.parts.backingFileName;
      },
      get format() {
        return stringExtension(disk.parts.extensions, ExtensionType.BACKING_FORMAT);
      },
      change: async (fileName, format) => changeBacking(disk, fileName, format),
      assertFits: (fileName) => assertBackingFits(disk, fileName),
      get fingerprint() {
        return fingerprint(disk);
      },
      get isEmpty() {
        return disk.l1.nextUsed(0, disk.l1.entries) === disk.l1.entries;
      },
      record: (data) => writeOwn(disk, ExtensionType.BASE_FINGERPRINT, data),
      linked: (edge) => {
        disk.backing = edge;
      },
    };
    this.reopen = {
      prepare: (options, modes) => prepareReopen(disk, options, modes, () => this.#startCleaner()),
    };
    this.snapshots = new Qcow2Snapshots(disk);
    this.vmState = vmStateOf(disk);
    this.generation = {
      get value() {
        return generation(disk);
      },
      start: () => writeOwn(disk, ExtensionType.GENERATION, randomBytes(8)),
    };
    this.check = { run: (options) => this.#check(options) };
    this.amend = {
      run: async (options, context) => {
        const { amend } = await import('./amend/index.ts');
        await amend(disk, options as AmendOptions, context);
      },
    };
    this.#startCleaner();
  }

  get size(): number {
    return this.disk.size;
  }

  get bitmaps(): BitmapStore | undefined {
    return this.disk.bitmaps;
  }

  read(offset: number, buf: Uint8Array): Maybe<void> {
    this.#assertIo();
    const { disk } = this;
    const host = disk.announces ? -1 : plainHost(disk, offset, buf.length, false);
    return host < 0 ? this.#read(offset, buf) : disk.grace.follow(disk.content.read(host, buf, offset));
  }

  #read(offset: number, buf: Uint8Array): Maybe<void> {
    return this.#within(() => read(this.disk, offset, buf));
  }

  readv(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    this.#assertIo();
    return this.#within(() => readv(this.disk, offset, bufs, totalLength(bufs)));
  }

  write(offset: number, buf: Uint8Array, _flags: Flags): Maybe<void> {
    const { disk } = this;
    const host = this.#ownHost(offset, buf.length);
    if (host < 0) return this.#write(offset, [buf], buf.length);
    return disk.grace.follow(disk.content.write(host, buf, 0, offset));
  }

  writev(offset: number, bufs: readonly Uint8Array[], _flags: Flags): Maybe<void> {
    const { disk } = this;
    const length = totalLength(bufs);
    const host = this.#ownHost(offset, length);
    if (host < 0) return this.#write(offset, bufs, length);
    return disk.grace.follow(disk.content.writev(host, bufs, 0, offset));
  }

  #write(offset: number, bufs: readonly Uint8Array[], length: number): Maybe<void> {
    return this.#storing((turn) => writev(this.disk, { offset, bufs, length }, turn));
  }

  /** Where to write where no table has to change and nothing has to be waited for; -1 else. */
  #ownHost(offset: number, length: number): number {
    const { disk } = this;
    if (!disk.writeState.ready || disk.announces || !disk.inFlight.none) return -1;
    disk.assertUsable();
    const host = plainHost(disk, offset, length, true);
    if (host >= 0) disk.assertNoOverlap(host, length);
    return host;
  }

  writeCompressed(offset: number, buf: Uint8Array): Maybe<void> {
    return this.#reclaiming(() => writeCompressed(this.disk, offset, buf));
  }

  zero(offset: number, length: number, flags: Flags): Maybe<void> {
    return this.#inTurn((turn) => this.#changing(() => zero(this.disk, { offset, length, turn }, flags)));
  }

  discard(offset: number, length: number): Maybe<void> {
    return this.#changing(() => discard(this.disk, { offset, length }));
  }

  copyRangeFrom(offset: number, target: Edge, targetOffset: number, length: number): Maybe<boolean> {
    this.#assertIo();
    return this.#within(() => copyRangeFrom(this.disk, { offset, length, target, targetOffset }));
  }

  copyRangeTo(offset: number, source: HostExtent, length: number): Maybe<boolean> {
    return this.#storing((turn) => copyRangeTo(this.disk, { offset, source, length }, turn));
  }

  layOutInOrder(on: boolean): void {
    this.#orderly += on ? 1 : -1;
  }

  /** With a turn, which is passed in the end at the latest, where space is to be taken in the order of requests. */
  #inTurn<T>(action: (turn?: Turn) => Maybe<T>): Maybe<T> {
    if (this.#orderly === 0) return action();
    const turn = this.disk.turns.take();
    return attempt(
      () => after(turn.ready, () => action(turn)),
      () => turn.pass(),
    );
  }

  flush(): Maybe<void> {
    const { disk } = this;
    if (!disk.writable || disk.modes.noIo || disk.isRetired) return;
    return after(disk.writer.run(), () => disk.writer.barrier());
  }

  async truncate(size: number, options: TruncateOptions): Promise<void> {
    this.#assertIo();
    // Not counted as a request: it waits for all requests that may use what it gives back.
    await beforeWrite(this.disk);
    await truncate(this.disk, size, options);
  }

  async makeEmpty(): Promise<void> {
    this.#assertIo();
    await beforeWrite(this.disk);
    await makeEmpty(this.disk);
  }

  status(offset: number, length: number, precise: boolean): Maybe<Extent> {
    this.#assertIo();
    return status(this.disk, offset, length, precise);
  }

  info(): Maybe<ImageInfo> {
    return imageInfo(this.disk);
  }

  async #check(options: CheckOptions): Promise<CheckResult> {
    const { fileName, parts, geometry, file, modes } = this.disk;
    const { repair, dryRun = false } = options;
    if (repair === 'none') {
      // What was freed but is still counted on disk would look leaked.
      if (this.disk.writable) await this.disk.writer.settle();
      const { checkImage } = await import('./check/index.ts');
      const { header } = this.disk;
      return checkImage({ fileName, header, extensions: parts.extensions, geometry, file }, options);
    }
    // What is in memory of an image in use would contradict what is repaired on disk.
    if (!modes.forRepair) throw new NotSupported(`'${fileName}' is in use, and can be repaired only while it is not`);
    const { repairImage, DryRunFile } = await import('./repair/index.ts');
    const header = dryRun ? { ...this.disk.header } : this.disk.header;
    const target = dryRun ? new DryRunFile(file) : file;
    const image = { fileName, header, extensions: parts.extensions, geometry, file: target };
    return repairImage(image, { ...options, repair });
  }

  async invalidate(): Promise<void> {
    await this.flush();
    this.disk.l2.dropClean();
    this.disk.refcounts.cache.dropClean();
    this.disk.decompressed.clear();
  }

  async close(): Promise<void> {
    clearInterval(this.#cleaner);
    const { disk } = this;
    if (!disk.writable || disk.modes.noIo) return;
    if (disk.isCorrupt) {
      await disk.corruptMarkWritten();
      return;
    }
    if (disk.isRetired) return;
    await disk.writer.settle();
    if (disk.writeState.ready) await clearDirtyBit(disk);
  }

  /** What may take new space. Much that was discarded is made free for it first, rather than let the file grow. */
  #storing<T>(action: (turn?: Turn) => Maybe<T>): Maybe<T> {
    return this.#inTurn((turn) => this.#reclaiming(() => action(turn)));
  }

  #reclaiming<T>(action: () => Maybe<T>): Maybe<T> {
    const { allocator, geometry, writer } = this.disk;
    if (allocator.discarded * geometry.clusterSize < RECLAIM_BYTES) return this.#changing(action);
    return after(writer.run(), () => this.#changing(action));
  }

  /** Once the image has been made ready for change, requests take the straight way. */
  #changing<T>(action: () => Maybe<T>): Maybe<T> {
    this.#assertIo();
    if (this.disk.writeState.ready) return this.#within(action);
    return after(beforeWrite(this.disk), () => this.#within(action));
  }

  /** Host clusters that this request may touch are not given to another one before it ends. */
  #within<T>(action: () => Maybe<T>): Maybe<T> {
    return this.disk.grace.during(action);
  }

  #assertIo(): void {
    if (this.disk.modes.noIo) throw new NotSupported(`'${this.disk.fileName}' was opened for its header only`);
  }

  #startCleaner(): void {
    const interval = this.disk.settings.cacheCleanInterval;
    clearInterval(this.#cleaner);
    this.#marks = { l2: 0, refcounts: 0 };
    if (interval === 0 || this.disk.modes.noIo) return;
    this.#cleaner = setInterval(() => {
      const { l2, refcounts } = this.disk;
      l2.dropClean(this.#marks.l2);
      refcounts.cache.dropClean(this.#marks.refcounts);
      this.#marks = { l2: l2.mark, refcounts: refcounts.cache.mark };
    }, interval);
    this.#cleaner.unref();
  }
}
