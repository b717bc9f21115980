/**
 * Which parts of a file hold data, by lseek(2) with SEEK_DATA and SEEK_HOLE.
 *
 * "Data" may read as zeroes (preallocated, or written so); a hole always does. A system or filesystem that cannot tell
 * gives one extent of data. Answers are for the moment: whoever writes meanwhile may find a hole filled.
 */
import { constants } from 'node:os';
import { hostError } from './errno.ts';
import type { HostFile } from './host-file.ts';
import { libc, negativeErrno } from './libc.ts';

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
/** Bytes claimed as data where the two answers disagree. */
const LEAST = 4096;
const { ENXIO, EINVAL, EOPNOTSUPP } = constants.errno;

/** A run of bytes that is all data or all hole. */
export interface HostExtent {
  readonly data: boolean;
  /** Bytes from the offset asked about to the end of the run; at the end of the file 0. */
  readonly length: number;
}

/**
 * The extents of one file. The last run of data is remembered: on some filesystems (tmpfs) finding its end walks every
 * page of it, and a caller that goes on in steps would pay for that at each. Only data is remembered, since taking what
 * has become a hole for data costs time, while the reverse would lose data.
 */
export class HostExtents {
  readonly #file: HostFile;
  #supported: boolean;
  #dataStart = 0;
  #dataEnd = 0;

  constructor(file: HostFile) {
    this.#file = file;
    this.#supported = file.kind === 'regular' && libc('lseek') !== undefined;
  }

  /** False when every answer is "data": the system cannot tell. */
  get supported(): boolean {
    return this.#supported;
  }

  /** The run that `offset` lies in, up to the end of the file as it now is. */
  at(offset: number): HostExtent {
    const { size } = this.#file;
    if (offset >= size) return { data: false, length: 0 };
    if (offset >= this.#dataStart && offset < this.#dataEnd) {
      return { data: true, length: Math.min(this.#dataEnd, size) - offset };
    }
    const data = this.#seek(offset, SEEK_DATA);
    if (data === undefined) return { data: true, length: size - offset };
    if (data === 'none') return { data: false, length: size - offset };
    if (data > offset) return { data: false, length: Math.min(data, size) - offset };
    const hole = this.#seek(offset, SEEK_HOLE);
    // Punched or cut off by another program between the two calls: for data it is never wrong to take it.
    if (hole === 'none' || hole === offset) return { data: true, length: Math.min(LEAST, size - offset) };
    const end = Math.min(hole ?? size, size);
    this.#dataStart = offset;
    this.#dataEnd = end;
    return { data: true, length: end - offset };
  }

  /** Offset of the first data at or after `offset`, or `undefined` when only holes follow. */
  nextData(offset: number): number | undefined {
    const extent = this.at(offset);
    if (extent.data) return offset;
    const next = offset + extent.length;
    return next < this.#file.size ? next : undefined;
  }

  /** Offset of the first hole at or after `offset`; the end of the file counts as one. */
  nextHole(offset: number): number {
    const extent = this.at(offset);
    return extent.data ? offset + extent.length : Math.min(offset, this.#file.size);
  }

  /** Forget what is remembered of a range that has just become a hole. */
  forget(offset: number, length: number): void {
    if (offset < this.#dataEnd && offset + length > this.#dataStart) this.#dataEnd = this.#dataStart;
  }

  /** Where the next data or hole begins; 'none' past the last data; `undefined` where this cannot be told. */
  #seek(offset: number, whence: number): number | 'none' | undefined {
    const lseek = libc('lseek');
    if (!this.#supported || lseek === undefined) return undefined;
    const found = lseek(this.#file.fd, offset, whence);
    if (found >= 0) return found;
    const errno = -negativeErrno();
    if (errno === ENXIO) return 'none';
    if (errno !== EINVAL && errno !== EOPNOTSUPP) throw hostError('find the data of', this.#file.path, -errno);
    this.#supported = false;
    return undefined;
  }
}
