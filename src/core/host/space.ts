/**
 * Giving space back and taking it: punched holes, ranges of zeroes, preallocation, discards.
 *
 * Each operation answers true when it is done and false when the file cannot do it, in which case the layer above
 * writes zeroes or does without. What a file has refused once is not tried again. They run on the thread pool: the
 * filesystem may have to wait for its journal or for pages on their way to the disk, a device for its flash. Only where
 * memory is the storage, short ranges are done at once.
 */
import { constants } from 'node:os';
import { addressOf } from './address.ts';
import { hostError } from './errno.ts';
import type { HostFile } from './host-file.ts';
import { REQUEST } from './ioctl.ts';
import { inPool, libc, negativeErrno } from './libc.ts';

const FALLOC = { allocate: 0, keepSize: 1, punchHole: 2, zeroRange: 0x10 } as const;
const { EINTR, EINVAL, ENODEV, ENOSYS, ENOTTY, EOPNOTSUPP, EPERM, ESPIPE } = constants.errno;

/** Answers that mean "not here", as opposed to "it went wrong". */
const REFUSALS: readonly number[] = [EOPNOTSUPP, ENOSYS, ENODEV, ENOTTY, ESPIPE];
/** Answers that mean "not this range", which another one may not meet: unaligned for the device, or a sealed file. */
const REFUSED_RANGE: readonly number[] = [EINVAL, EPERM];

/** Zeroes are written in pieces of this size where the system cannot reserve space. */
const ZERO_PIECE = 1024 * 1024;

/** Where the pages are the storage, up to this many bytes take less time than the way to the thread pool and back. */
const AT_ONCE = 1024 * 1024;

type Operation = 'punch' | 'zero' | 'allocate' | 'discard' | 'zeroOut';

export interface ZeroOptions {
  /** The space may be given back: a hole is as good as zeroes, and better. */
  readonly mayUnmap?: boolean;
}

export class HostSpace {
  readonly #file: HostFile;
  readonly #refused = new Set<Operation>();

  constructor(file: HostFile) {
    this.#file = file;
    if (libc('fallocate') === undefined)
      for (const name of ['punch', 'zero', 'allocate'] as const) this.#refused.add(name);
    if (libc('ioctl') === undefined || file.kind !== 'block')
      for (const name of ['discard', 'zeroOut'] as const) this.#refused.add(name);
  }

  /** Which operations this file is known not to have; grows as they are tried. */
  get refused(): ReadonlySet<Operation> {
    return this.#refused;
  }

  /** Make a range read as zeroes and give its space back. It never lengthens the file; parts past its end are left out. */
  async punchHole(offset: number, length: number): Promise<boolean> {
    const within = Math.min(length, this.#file.size - offset);
    if (within <= 0) return true;
    return this.#fallocate('punch', FALLOC.punchHole | FALLOC.keepSize, offset, within);
  }

  /**
   * Make a range read as zeroes; past the end of a regular file it lengthens the file. Without `mayUnmap` the space
   * stays taken (or is taken now), so that later writes cannot run out of it.
   */
  async zeroRange(offset: number, length: number, options: ZeroOptions = {}): Promise<boolean> {
    if (length <= 0) return true;
    if (this.#file.kind === 'block') return this.#zeroDevice(offset, length, options);
    const end = offset + length;
    if (options.mayUnmap === true && (await this.punchHole(offset, length))) {
      if (end > this.#file.size) await this.#file.truncate(end);
      return true;
    }
    if (await this.#fallocate('zero', FALLOC.zeroRange, offset, length)) {
      this.#file.extended(end);
      return true;
    }
    // Filesystems without that (tmpfs): a hole, and then the space for it again.
    if (this.#refused.has('punch') || this.#refused.has('allocate')) return false;
    return (await this.punchHole(offset, length)) && this.#reserve(offset, length, false);
  }

  async #zeroDevice(offset: number, length: number, options: ZeroOptions): Promise<boolean> {
    if (options.mayUnmap === true && (await this.punchHole(offset, length))) return true;
    return this.#deviceRange('zeroOut', REQUEST.blkZeroOut, offset, length);
  }

  /**
   * Take space for a range without changing what it reads as; past the end the file is lengthened unless `keepSize`.
   * Where the system cannot reserve, zeroes are written into what holds no data yet (and `keepSize` answers false).
   */
  async allocate(offset: number, length: number, options: { readonly keepSize?: boolean } = {}): Promise<boolean> {
    if (length <= 0) return true;
    const keepSize = options.keepSize ?? false;
    if (await this.#reserve(offset, length, keepSize)) return true;
    if (keepSize || this.#file.kind !== 'regular') return false;
    await this.#writeOut(offset, length);
    return true;
  }

  /** Tell the storage that a range is not needed. What it reads as afterwards is undefined on a device, zeroes in a file. */
  async discard(offset: number, length: number): Promise<boolean> {
    if (this.#file.kind !== 'block') return this.punchHole(offset, length);
    return this.#deviceRange('discard', REQUEST.blkDiscard, offset, length);
  }

  async #reserve(offset: number, length: number, keepSize: boolean): Promise<boolean> {
    const mode = keepSize ? FALLOC.keepSize : FALLOC.allocate;
    if (!(await this.#fallocate('allocate', mode, offset, length))) return false;
    if (!keepSize) this.#file.extended(offset + length);
    return true;
  }

  /** Rewrite what is there and write zeroes past the end: slow, and the same everywhere. */
  async #writeOut(offset: number, length: number): Promise<void> {
    const end = offset + length;
    const piece = new Uint8Array(Math.min(length, ZERO_PIECE));
    for (let at = offset; at < end; at += piece.length) {
      const part = piece.subarray(0, Math.min(piece.length, end - at)).fill(0);
      await this.#file.read(at, part); // past the end nothing is read, and zeroes remain
      await this.#file.write(at, part);
    }
  }

  #fallocate(operation: Operation, mode: number, offset: number, length: number): Promise<boolean> {
    const fallocate = libc('fallocate');
    if (fallocate === undefined) return Promise.resolve(false);
    return this.#try(operation, async (fd) => {
      if (!this.#file.inMemory || length > AT_ONCE) return inPool(fallocate, [fd, mode, offset, length]);
      const result = fallocate(fd, mode, offset, length);
      return result === -1 ? negativeErrno() : result;
    });
  }

  #deviceRange(operation: Operation, request: number, offset: number, length: number): Promise<boolean> {
    const ioctl = libc('ioctl');
    if (ioctl === undefined) return Promise.resolve(false);
    const range = new BigUint64Array([BigInt(offset), BigInt(length)]);
    return this.#try(operation, (fd) => inPool(ioctl, [fd, request, addressOf(range)], range));
  }

  async #try(operation: Operation, call: (fd: number) => Promise<number>): Promise<boolean> {
    if (this.#refused.has(operation)) return false;
    let result = await this.#file.run(call, VERBS[operation]);
    while (result === -EINTR) result = await this.#file.run(call, VERBS[operation]);
    if (result >= 0) return true;
    if (REFUSALS.includes(-result)) this.#refused.add(operation);
    else if (!REFUSED_RANGE.includes(-result)) throw hostError(VERBS[operation], this.#file.path, result);
    return false;
  }
}

const VERBS: Readonly<Record<Operation, string>> = {
  punch: 'punch a hole in',
  zero: 'zero a range of',
  allocate: 'allocate space for',
  discard: 'discard a range of',
  zeroOut: 'zero a range of',
};
