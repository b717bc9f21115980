/**
 * A host file or device as an image: what `file` and `host_device` share. Transfers, holes, space, locks and
 * kernel copies are those of core/host; here they take the shape that the block layer asks for.
 */
import { after, type Maybe } from '../../core/async/maybe.ts';
import type {
  Extent,
  Flags,
  HostExtent,
  Image,
  Limits,
  PageCachePass,
  PermissionCapability,
  ReopenCapability,
  TruncateOptions,
} from '../../core/block/driver.ts';
import { Flag } from '../../core/block/driver.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { BlockError, NotSupported } from '../../core/errors/block-error.ts';
import {
  type BlockDeviceInfo,
  CacheManners,
  cloneRange,
  copyRange,
  FileLocks,
  forgetCached,
  HostExtents,
  type HostFile,
  HostSpace,
  type LockingMode,
} from '../../core/host/index.ts';
import { prepareReopen } from './reopen.ts';

/** Bytes; no device has larger blocks. */
const FIRST_BLOCK = 4096;
const NO_ROOM: readonly string[] = ['ENOSPC', 'EDQUOT'];

export class HostImage implements Image {
  limits: Limits;
  readonly zeroFlags = Flag.MAY_UNMAP;
  readonly readsZeroWhenFresh: boolean;
  readonly permissions: PermissionCapability;
  readonly reopen: ReopenCapability;
  readonly blockSizes?: { readonly logical: number; readonly physical: number };
  readonly geometry?: { readonly cylinders: number; readonly heads: number; readonly sectors: number };
  readonly pageCache = { begin: () => this.#beginPass(), forget: () => forgetCached(this.#file) };
  #file: HostFile;
  #extents: HostExtents;
  #space: HostSpace;

  constructor(file: HostFile, locking: LockingMode, device: BlockDeviceInfo | undefined) {
    const locks = FileLocks.open(file, locking);
    this.reopen = {
      prepare: (options, modes) =>
        prepareReopen({ options, modes, file: this.#file, locking }, (fresh) => {
          locks.moveTo(fresh);
          this.#use(fresh, device);
        }),
    };
    this.#file = file;
    this.#extents = new HostExtents(file);
    this.#space = new HostSpace(file);
    this.permissions = locks;
    this.readsZeroWhenFresh = file.kind === 'regular';
    this.limits = limitsOf(file, device);
    if (device) {
      this.blockSizes = { logical: device.logicalBlockSize, physical: device.physicalBlockSize };
      if (device.geometry) this.geometry = device.geometry;
    }
  }

  /** Go on with the same file, opened once more. */
  #use(file: HostFile, device: BlockDeviceInfo | undefined): void {
    this.#file = file;
    this.#extents = new HostExtents(file);
    this.#space = new HostSpace(file);
    this.limits = limitsOf(file, device);
  }

  get size(): number {
    return this.#file.size;
  }

  read(offset: number, buf: Uint8Array): Maybe<void> {
    const done = this.#file.read(offset, buf);
    if (done instanceof Promise) return done.then((length) => fillRest(buf, length));
    if (done < buf.length) buf.fill(0, done);
  }

  readv(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    return after(this.#file.readv(offset, bufs), (length) => {
      let at = 0;
      for (const buf of bufs) {
        fillRest(buf, Math.max(0, length - at));
        at += buf.length;
      }
    });
  }

  write(offset: number, buf: Uint8Array): Maybe<void> {
    return this.#file.write(offset, buf);
  }

  writev(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    return this.#file.writev(offset, bufs);
  }

  async zero(offset: number, length: number, flags: Flags): Promise<void> {
    this.#extents.forget(offset, length);
    if (await this.#space.zeroRange(offset, length, { mayUnmap: (flags & Flag.MAY_UNMAP) !== 0 })) return;
    throw new NotSupported(`'${this.#file.path}' cannot be zeroed without writing`);
  }

  async discard(offset: number, length: number): Promise<void> {
    this.#extents.forget(offset, length);
    await this.#space.discard(offset, length);
  }

  flush(): Promise<void> {
    return this.#file.flush();
  }

  async truncate(size: number, options: TruncateOptions): Promise<void> {
    if (this.#file.kind !== 'regular') return this.#truncateDevice(size, options);
    const { preallocation = 'off' } = options;
    const from = this.#file.size;
    if (preallocation === 'metadata') {
      throw new NotSupported(`preallocation=metadata does not exist for files such as '${this.#file.path}'`);
    }
    if (preallocation !== 'off' && size < from) {
      throw new NotSupported(`preallocation=${preallocation} cannot be used for shrinking '${this.#file.path}'`);
    }
    this.#extents.forget(Math.min(size, from), Math.abs(size - from));
    if (preallocation === 'off') {
      await this.#file.truncate(size);
      if (from === 0) await this.#takeFirstBlock(size);
      return;
    }
    try {
      if (preallocation === 'falloc') await this.#space.allocate(from, size - from);
      else await this.#fill(from, size);
    } catch (error) {
      // What was made so far would be a longer disk than before, made of half an operation.
      await this.#file.truncate(from).catch(() => undefined);
      throw error;
    }
  }

  /**
   * Direct I/O tries out at offset 0 what alignment the device wants, and some filesystems answer for a hole without
   * asking it. A full disk is no reason to refuse a file that takes no space else.
   */
  async #takeFirstBlock(size: number): Promise<void> {
    if (size === 0) return;
    try {
      await this.#file.write(0, Buffer.alloc(Math.min(size, FIRST_BLOCK)));
    } catch (error) {
      if (!(error instanceof BlockError) || !NO_ROOM.includes(error.code)) throw error;
    }
  }

  /** A device has the size it has. */
  async #truncateDevice(size: number, options: TruncateOptions): Promise<void> {
    const now = await this.#file.refreshSize();
    if (size > now || (size !== now && options.exact !== false)) {
      throw new NotSupported(`'${this.#file.path}' is a device of ${now} bytes and cannot be resized to ${size}`);
    }
    if (options.preallocation !== undefined && options.preallocation !== 'off') {
      throw new NotSupported(`preallocation=${options.preallocation} does not exist for devices`);
    }
  }

  /** Write zeroes from the old end to the new one. */
  async #fill(from: number, to: number): Promise<void> {
    const zeroes = Buffer.alloc(1 << 20);
    for (let at = from; at < to; at += zeroes.length) {
      await this.#file.write(at, zeroes.subarray(0, Math.min(zeroes.length, to - at)));
    }
  }

  status(offset: number, length: number, precise: boolean): Extent {
    if (!precise) return { length, allocated: true, data: true, zero: false, offset };
    const { data, length: run } = this.#extents.at(offset);
    // Direct I/O has no part of a block: what lies behind the end of the file in its last block goes with it.
    const unit = data && offset + run === this.#file.size ? (this.limits.requestAlignment ?? 1) : 1;
    const whole = Math.ceil((offset + run) / unit) * unit - offset;
    return { length: Math.min(length, whole), allocated: true, data, zero: !data, offset };
  }

  copyRangeFrom(offset: number, target: Edge, targetOffset: number, length: number): Maybe<boolean> {
    return target.copyRangeTo(targetOffset, { file: this.#file, offset }, length);
  }

  async copyRangeTo(offset: number, source: HostExtent, length: number): Promise<boolean> {
    const range = {
      source: source.file,
      sourceOffset: source.offset,
      target: this.#file,
      targetOffset: offset,
      length,
    };
    if (await cloneRange(range)) return true;
    const done = await copyRange(range);
    return done === length;
  }

  async allocatedSize(): Promise<number> {
    return (await this.#file.usage()).allocated;
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async #beginPass(): Promise<PageCachePass | undefined> {
    const manners = await CacheManners.attach(this.#file);
    return manners && { end: () => manners.finish() };
  }
}

function fillRest(buf: Uint8Array, length: number): void {
  if (length < buf.length) buf.fill(0, length);
}

function limitsOf(file: HostFile, device: BlockDeviceInfo | undefined): Limits {
  const { request, memory } = file.alignment;
  const queue = device?.limits;
  if (!queue) return { requestAlignment: request, memoryAlignment: memory };
  return {
    requestAlignment: request,
    memoryAlignment: memory,
    zeroAlignment: Math.max(request, device.logicalBlockSize),
    ...(queue.writeZeroesMax > 0 ? { maxZero: queue.writeZeroesMax } : {}),
    ...(queue.discardMax > 0 ? { maxDiscard: queue.discardMax } : {}),
    ...(queue.discardGranularity > 0 ? { discardAlignment: queue.discardGranularity } : {}),
    ...(queue.optimalIo > 0 ? { optimalTransfer: queue.optimalIo } : {}),
  };
}

/** Make sure a `file` is a file and a `host_device` a device. */
export function assertKind(file: HostFile, wanted: 'file' | 'device', driver: string): void {
  const isFile = file.kind === 'regular';
  if (isFile === (wanted === 'file')) return;
  throw new BlockError(
    `driver '${driver}' is for a ${wanted}, and '${file.path}' is ${isFile ? 'a file' : 'a device'}`,
    {
      hint: `Use driver '${isFile ? 'file' : 'host_device'}'`,
    },
  );
}
