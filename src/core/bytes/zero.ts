/**
 * Finding zeroes in buffers.
 *
 * Data rarely begins with zeroes, so the first word of a block decides nearly always; only a block that does
 * begin so is compared as a whole, by the C library's memcmp, against a page of zeroes. Measured per 4 KiB
 * block: about 40 GB/s over zeroes and over 100 GB/s over random data, against 7 GB/s in 512-byte blocks,
 * which is why runs of zeroes are followed in large steps first.
 */
import { alignDown } from './ranges.ts';

const PAGE = Buffer.alloc(64 * 1024);
const compare = Buffer.prototype.compare;

/** True when all of `buf` from `start` to `end` (default all of it) is zero; true for an empty range. */
export function isZero(buf: Uint8Array, start = 0, end = buf.length): boolean {
  for (let at = start; at < end; ) {
    if (buf[at] !== 0) return false;
    const next = Math.min(end, at + PAGE.length);
    if (compare.call(buf, PAGE, 0, next - at, at, next) !== 0) return false;
    at = next;
  }
  return true;
}

export interface RunOptions {
  /** Offset of `buf[0]` on the disk in bytes: runs end at multiples of the granularity on the disk. */
  readonly offset: number;
  /** Power of two in bytes; a block of this size is zero as a whole or counts as data. */
  readonly granularity: number;
  /** Zeroes between data that are shorter than this count as data; default the granularity. */
  readonly minZero?: number;
}

/**
 * Length of the run of equal kind that begins at `start`: positive for data, negative for zeroes, never 0
 * while `start` is within `buf`. Zeroes at the very start of the run are reported however short, as long as
 * they fill their block; within data they must be at least `minZero` long to end it.
 */
export function nextRun(buf: Uint8Array, start: number, options: RunOptions): number {
  const zeroes = zeroEnd(buf, start, options);
  if (zeroes > start) return start - zeroes;
  const minZero = options.minZero ?? options.granularity;
  let end = blockEnd(buf, start, options);
  while (end < buf.length) {
    const gap = zeroEnd(buf, end, options);
    if (gap - end >= minZero || (gap > end && gap === buf.length)) break;
    end = gap > end ? gap : blockEnd(buf, end, options);
  }
  return end - start;
}

/** Call `visit` for each run of `buf`, in order; `start` counts from the beginning of `buf`. */
export function forEachRun(
  buf: Uint8Array,
  options: RunOptions,
  visit: (start: number, length: number, zero: boolean) => void,
): void {
  for (let at = 0; at < buf.length; ) {
    const run = nextRun(buf, at, options);
    visit(at, Math.abs(run), run < 0);
    at += Math.abs(run);
  }
}

/** Where the granularity's block that holds `at` ends, within `buf`. */
function blockEnd(buf: Uint8Array, at: number, { offset, granularity }: RunOptions): number {
  return Math.min(buf.length, alignDown(offset + at, granularity) + granularity - offset);
}

/** End of the blocks of zeroes that begin at `start`; `start` itself when its block holds data. */
function zeroEnd(buf: Uint8Array, start: number, options: RunOptions): number {
  let at = start;
  // Steps grow while all is zero and shrink after the first miss, so that nothing is compared more than a few times.
  let step = options.granularity;
  let growing = true;
  while (at < buf.length && buf[at] === 0) {
    const next = Math.min(buf.length, blockEnd(buf, at, options) + step - options.granularity);
    const zero = isZero(buf, at, next);
    if (zero) at = next;
    else if (step === options.granularity) break;
    growing &&= zero;
    if (!growing) step = Math.max(step / 2, options.granularity);
    else if (step < PAGE.length) step *= 2;
  }
  return at;
}
