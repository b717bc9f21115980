/**
 * A file or block device of the host.
 *
 * Reads: what is in the page cache is read at once (preadv2 with RWF_NOWAIT: half a microsecond, against thirty for a
 * trip to the thread pool and back); what is not goes to the pool, which also starts the kernel's read-ahead. Files on
 * tmpfs are always in memory, and RWF_NOWAIT is refused there: a plain pread serves. Large reads go to the pool even
 * when cached, so that their copying runs beside the main thread's work.
 *
 * Writes: a small one into the page cache of a regular file is a copy of memory and done at once. Not so with O_DIRECT
 * or O_DSYNC, where it ends when the device has ended; nor on a device; nor where it covers part of a page that would
 * first have to be read from the disk: those would hold up the whole process, and go to the pool.
 *
 * A file that is closed answers no request; close waits for those under way.
 */
import { type BigIntStats, close, closeSync, fstatSync, ftruncate } from 'node:fs';
import { promisify } from 'node:util';
import { attempt, type Maybe } from '../async/maybe.ts';
import { BlockError } from '../errors/block-error.ts';
import { MAX_VECTORS } from './address.ts';
import { type BlockDeviceInfo, blockDeviceInfo, blockDeviceSize } from './block-device.ts';
import { type HostCalls, hostCalls, type SyncCalls } from './calls.ts';
import { type Alignment, bouncing, probeAlignment, UNALIGNED } from './direct.ts';
import { type FileUsage, usageOf } from './disk-usage.ts';
import { hostError } from './errno.ts';
import { isInMemory } from './filesystem.ts';
import { type HostFileKind, type OpenOptions, openHostFile } from './open-file.ts';
import {
  type InlineMode,
  inlineRead,
  inlineWrite,
  poolRead,
  poolReadv,
  poolWrite,
  poolWritev,
  type TransferTarget,
} from './transfer.ts';
import { totalLength } from './vectors.ts';

/** Reads longer than this go to the thread pool even when they are cached. */
export const INLINE_READ_LIMIT = 256 * 1024;
/** Writes longer than this go to the thread pool; up to here handing them over costs more than copying them. */
export const INLINE_WRITE_LIMIT = 256 * 1024;
const PAGE = 4096;

export interface HostFileOptions extends OpenOptions {
  /** Longest read, in bytes, that is tried at once; 0 sends all to the thread pool. */
  readonly inlineLimit?: number;
  /** Longest write, in bytes, that is done at once. */
  readonly inlineWriteLimit?: number;
  /** Test seam: the transfers to use instead of the system's. */
  readonly calls?: HostCalls;
}

/** Told of every read, before it is tried and after it has ended (page-cache manners). */
export interface ReadObserver {
  before(offset: number, length: number): void;
  after(offset: number, length: number): void;
}

interface Parts {
  readonly target: TransferTarget;
  readonly kind: HostFileKind;
  readonly stats: BigIntStats;
  readonly inMemory: boolean;
  readonly alignment: Alignment;
  readonly options: HostFileOptions;
}

const closeFd = promisify(close);
const truncateFd = promisify(ftruncate);

export class HostFile implements AsyncDisposable {
  readonly path: string;
  readonly kind: HostFileKind;
  readonly readOnly: boolean;
  readonly direct: boolean;
  /** The file lives on tmpfs or ramfs. */
  readonly inMemory: boolean;
  /** What requests must be multiples of; all ones without O_DIRECT. Memory is put right here. */
  readonly alignment: Alignment;
  /** See {@link HostFileOptions}; may be changed at any time. */
  inlineLimit: number;
  inlineWriteLimit: number;
  /** At most one; set by who wants to know of reads. */
  observer: ReadObserver | undefined;

  readonly #target: TransferTarget;
  readonly #sync: SyncCalls | undefined;
  readonly #writesInline: boolean;
  #mode: InlineMode;
  #size: number;
  #closed: Promise<void> | undefined;
  #active = 0;
  #idle: (() => void) | undefined;
  #flushError: Error | undefined;

  private constructor(parts: Parts) {
    const { target, kind, stats, options } = parts;
    this.path = target.path;
    this.kind = kind;
    this.readOnly = options.readOnly ?? false;
    this.direct = options.direct ?? false;
    this.inMemory = parts.inMemory;
    this.alignment = parts.alignment;
    this.inlineLimit = options.inlineLimit ?? INLINE_READ_LIMIT;
    this.inlineWriteLimit = options.inlineWriteLimit ?? INLINE_WRITE_LIMIT;
    this.#target = target;
    this.#sync = target.calls.sync;
    this.#mode = this.direct ? 'off' : firstMode(parts);
    this.#writesInline = kind === 'regular' && !this.direct && options.sync !== true && this.#sync !== undefined;
    this.#size = Number(stats.size);
  }

  /** Open `path`; ready to use, or throws a BlockError of one line that names it. */
  static async open(path: string, options: HostFileOptions = {}): Promise<HostFile> {
    const { fd, kind, stats } = openHostFile(path, options);
    try {
      const calls = options.calls ?? hostCalls();
      const alignment = options.direct === true ? await probeAlignment(fd, path, calls.pool) : UNALIGNED;
      const pool = options.direct === true ? bouncing(calls.pool, alignment) : calls.pool;
      const target = { fd, path, calls: { sync: calls.sync, pool }, granule: alignment.request };
      const file = new HostFile({ target, kind, stats, inMemory: isInMemory(fd), alignment, options });
      if (kind === 'block') file.#size = blockDeviceSize(fd, path);
      if (!Number.isSafeInteger(file.#size)) {
        throw new BlockError(`Could not open '${path}': its size of ${stats.size} bytes is over 2^53 - 1`, {
          code: 'EFBIG',
        });
      }
      return file;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** The descriptor, for the calls of this room that are not transfers; throws when the file is closed. */
  get fd(): number {
    if (this.#closed !== undefined) throw this.#closedError();
    return this.#target.fd;
  }

  /** Length in bytes as of the last look, kept in step with our own writes and truncations. */
  get size(): number {
    return this.#size;
  }

  /** Look at the length again: another program may have changed it. */
  async refreshSize(): Promise<number> {
    if (this.kind === 'block') this.#size = blockDeviceSize(this.fd, this.path);
    else this.#size = (await this.usage()).size;
    return this.#size;
  }

  /** Size, space taken and identity, fresh from the system. */
  async usage(): Promise<FileUsage> {
    const usage = usageOf(await this.#stats());
    return this.kind === 'block' ? { ...usage, size: blockDeviceSize(this.fd, this.path) } : usage;
  }

  /** The block device's properties; `undefined` for a regular file. */
  async deviceInfo(): Promise<BlockDeviceInfo | undefined> {
    if (this.kind !== 'block') return undefined;
    return blockDeviceInfo(this.fd, this.path, (await this.#stats()).rdev);
  }

  /** Read into `buffer` from `offset`. Bytes read, fewer than asked only at the end of the file. */
  read(offset: number, buffer: Uint8Array): Maybe<number> {
    if (this.#closed !== undefined) throw this.#closedError();
    if (this.observer === undefined) return this.#read(offset, buffer);
    return this.#observed(offset, buffer.length, () => this.#read(offset, buffer));
  }

  #observed(offset: number, length: number, work: () => Maybe<number>): Maybe<number> {
    const { observer } = this;
    observer?.before(offset, length);
    return attempt(work, () => observer?.after(offset, length));
  }

  #read(offset: number, buffer: Uint8Array): Maybe<number> {
    if (buffer.length === 0) return 0;
    const call = this.#mode === 'cached' ? this.#sync?.readCached : this.#sync?.read;
    if (this.#mode === 'off' || call === undefined || buffer.length > this.inlineLimit) {
      return this.#track(poolRead(this.#target, buffer, 0, offset));
    }
    const { done, state } = inlineRead(this.#target, buffer, offset, { call, size: this.#size });
    if (state === 'complete') return done;
    if (state === 'refused') this.#mode = 'off';
    return this.#track(poolRead(this.#target, buffer, done, offset));
  }

  /** Fill the buffers one after another from `offset`. Bytes read, fewer than asked only at the end of the file. */
  readv(offset: number, buffers: readonly Uint8Array[]): Maybe<number> {
    const [only] = buffers;
    if (buffers.length === 1 && only !== undefined) return this.read(offset, only);
    if (this.#closed !== undefined) throw this.#closedError();
    const length = totalLength(buffers);
    if (this.observer === undefined) return this.#readv(offset, buffers, length);
    return this.#observed(offset, length, () => this.#readv(offset, buffers, length));
  }

  #readv(offset: number, buffers: readonly Uint8Array[], length: number): Maybe<number> {
    if (length === 0) return 0;
    const readv = this.#sync?.readv;
    const fits = length <= this.inlineLimit && buffers.length <= MAX_VECTORS;
    if (this.#mode !== 'off' && fits && readv !== undefined) {
      // One attempt: all of it is there, or the pool does it all again.
      if (readv(this.#target.fd, buffers, offset, this.#mode === 'cached') === length) return length;
    }
    return this.#track(poolReadv(this.#target, buffers, offset));
  }

  /** Write all of `buffer` at `offset`. The buffer must not change until this is done. */
  write(offset: number, buffer: Uint8Array): Maybe<void> {
    if (this.#closed !== undefined) throw this.#closedError();
    if (buffer.length === 0) return;
    const end = offset + buffer.length;
    let done = 0;
    if (this.#writesInline && buffer.length <= this.inlineWriteLimit && !this.#readsFirst(offset, end)) {
      const call = this.#sync?.write;
      if (call !== undefined) done = inlineWrite(this.#target, buffer, offset, call);
      if (done === buffer.length) {
        this.#grow(end);
        return;
      }
    }
    return this.#track(poolWrite(this.#target, buffer, done, offset).then(() => this.#grow(end)));
  }

  /** Write the buffers one after another at `offset`. */
  writev(offset: number, buffers: readonly Uint8Array[]): Maybe<void> {
    const [only] = buffers;
    if (buffers.length === 1 && only !== undefined) return this.write(offset, only);
    if (this.#closed !== undefined) throw this.#closedError();
    const length = totalLength(buffers);
    if (length === 0) return;
    const end = offset + length;
    const writev = this.#sync?.writev;
    const fits = length <= this.inlineWriteLimit && buffers.length <= MAX_VECTORS;
    if (this.#writesInline && fits && writev !== undefined && !this.#readsFirst(offset, end)) {
      // As in readv: done in one go, or all over again by the pool (which also reports what was wrong).
      if (writev(this.#target.fd, buffers, offset) === length) {
        this.#grow(end);
        return;
      }
    }
    return this.#track(poolWritev(this.#target, buffers, offset).then(() => this.#grow(end)));
  }

  /** True when the first or last page is covered in part, holds data of the file, and is not in memory. */
  #readsFirst(offset: number, end: number): boolean {
    if (this.inMemory) return false;
    return this.#edgeMissing(offset) || this.#edgeMissing(end);
  }

  #edgeMissing(edge: number): boolean {
    const within = edge % PAGE;
    if (within === 0 || edge - within >= this.#size) return false;
    const probe = this.#sync?.readCached;
    return probe === undefined || probe(this.#target.fd, PROBE, 0, edge - within) !== PROBE.length;
  }

  /**
   * Put all data written so far on the medium (fdatasync). Once this has failed it fails for good: the kernel reports a
   * lost page once and then forgets it, so that a later success would claim what is not so.
   */
  flush(): Promise<void> {
    if (this.#closed !== undefined) throw this.#closedError();
    return this.#track(this.#flush());
  }

  async #flush(): Promise<void> {
    if (this.#flushError !== undefined) throw this.#flushError;
    const result = await this.#target.calls.pool.flush(this.#target.fd);
    // A device that keeps nothing back (a character device) has nothing to flush.
    if (result >= 0 || this.kind === 'character') return;
    this.#flushError = hostError('flush', this.path, result);
    throw this.#flushError;
  }

  /** Set the length in bytes: the rest is cut off, or a hole is added. Regular files only. */
  async truncate(size: number): Promise<void> {
    if (this.kind !== 'regular') {
      throw new BlockError(`Could not resize '${this.path}' to ${size} bytes: it is a device`, { code: 'ENOTSUP' });
    }
    await this.run((fd) => truncateFd(fd, size), `resize to ${size} bytes`);
    this.#size = size;
  }

  /** Run something on the descriptor that close must wait for; its system errors are named after `action` and the file. */
  run<T>(work: (fd: number) => Promise<T>, action: string): Promise<T> {
    return this.#track(
      work(this.fd).catch((error: unknown) => {
        throw hostError(action, this.path, error);
      }),
    );
  }

  /** Note that the file reaches to `end` at least: for calls on the descriptor that lengthen it. */
  extended(end: number): void {
    this.#grow(end);
  }

  #grow(end: number): void {
    if (end > this.#size && this.kind === 'regular') this.#size = end;
  }

  #stats(): Promise<BigIntStats> {
    return this.run(async (fd) => fstatSync(fd, { bigint: true }), 'get the state of');
  }

  /** Count work under way, so that the descriptor is not closed (and its number reused) below it. */
  #track<T>(work: Promise<T>): Promise<T> {
    this.#active += 1;
    return work.finally(() => {
      this.#active -= 1;
      if (this.#active === 0) this.#idle?.();
    });
  }

  #closedError(): BlockError {
    return new BlockError(`The file '${this.path}' is closed`, { code: 'ESHUTDOWN' });
  }

  /** Wait for what is under way and close the descriptor, which drops its locks. Closing again does nothing. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    if (this.#active > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    try {
      // Nothing that was written can be waited for here.
      if (this.readOnly) closeSync(this.#target.fd);
      else await closeFd(this.#target.fd);
    } catch (error) {
      throw hostError('close', this.path, error);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** One byte that nobody looks at: what a page's presence is probed with. */
const PROBE = new Uint8Array(1);

function firstMode(parts: Parts): InlineMode {
  const { sync } = parts.target.calls;
  if (sync === undefined || parts.kind === 'character') return 'off';
  if (parts.inMemory) return 'plain';
  return sync.readCached === undefined ? 'off' : 'cached';
}
