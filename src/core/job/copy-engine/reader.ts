/**
 * Reading for a copy.
 *
 * What is cached is read at once, in pieces that the host layer serves on this thread, while the thread pool writes:
 * both cores are busy, and the data is still in the processor's cache when it is looked at. As soon as a piece has to
 * wait, the rest of the segment goes as one request, and where pieces have waited several times in a row, so do the next
 * segments; now and then it is tried again.
 */
import { all, type Maybe } from '../../async/maybe.ts';
import type { Backend } from '../../block/backend/backend.ts';
import { asBlockError, type BlockError } from '../../errors/block-error.ts';

/** Bytes read at a time from what is in memory: what the processor's own cache holds. A host file reads these at once. */
const STEP = 256 * 1024;

/** Segments in a row that waited, after which the next ones are read in one request. */
const PATIENCE = 4;
/** How many of those go by before pieces are tried again. */
const RETRY_AFTER = 32;
/** Smallest range that is read by itself when salvaging. */
const SECTOR = 512;

export class Reader {
  #waited = 0;
  #skipped = 0;

  /** Fill `buf` from `offset` of `source`. */
  read(source: Backend, offset: number, buf: Uint8Array): Maybe<void> {
    if (buf.length <= STEP || this.#expectsToWait()) return source.read(offset, buf);
    for (let at = 0; at < buf.length; at += STEP) {
      const rest = at + STEP;
      const done = source.read(offset + at, buf.subarray(at, Math.min(buf.length, rest)));
      if (!(done instanceof Promise)) continue;
      this.#waited++;
      return rest < buf.length ? all([done, readLater(source, offset + rest, buf.subarray(rest))]) : done;
    }
    this.#waited = 0;
  }

  #expectsToWait(): boolean {
    if (this.#waited < PATIENCE) return false;
    if (++this.#skipped < RETRY_AFTER) return true;
    this.#skipped = 0;
    return false;
  }

  /**
   * Read what can be read of a range that failed as a whole, down to sectors; the rest becomes zeroes. `report` is told of
   * each unreadable stretch, offsets being those of the source.
   */
  async salvage(
    source: Backend,
    range: DiskRange,
    report: (offset: number, length: number, error: BlockError) => void,
  ): Promise<void> {
    let bad: { start: number; end: number; error: BlockError } | undefined;
    const flush = (): void => {
      if (bad) report(bad.start, bad.end - bad.start, bad.error);
      bad = undefined;
    };
    for await (const { offset, length, error } of unreadable(source, range)) {
      range.buf.fill(0, offset - range.offset, offset - range.offset + length);
      if (bad?.end !== offset) flush();
      bad ??= { start: offset, end: 0, error: asBlockError(error) };
      bad.end = offset + length;
    }
    flush();
  }
}

export interface DiskRange {
  readonly offset: number;
  readonly buf: Uint8Array;
}

/** What of a range cannot be read, by sectors and in order, the range being halved as it is; the rest is read. */
export async function* unreadable(
  source: Backend,
  { offset, buf }: DiskRange,
): AsyncGenerator<{ readonly offset: number; readonly length: number; readonly error: unknown }> {
  try {
    await source.read(offset, buf);
    return;
  } catch (error) {
    if (buf.length <= SECTOR) {
      yield { offset, length: buf.length, error };
      return;
    }
  }
  const middle = Math.ceil(buf.length / 2 / SECTOR) * SECTOR;
  yield* unreadable(source, { offset, buf: buf.subarray(0, middle) });
  yield* unreadable(source, { offset: offset + middle, buf: buf.subarray(middle) });
}

/** A throw must not leave the request before it without anybody who waits for it. */
function readLater(source: Backend, offset: number, buf: Uint8Array): Maybe<void> {
  try {
    return source.read(offset, buf);
  } catch (error) {
    return Promise.reject(error);
  }
}
