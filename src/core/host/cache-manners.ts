/**
 * Page-cache manners: a program that reads a large file once leaves the page cache as it found it.
 *
 * The file is looked at in windows. Before the first read in a window, it and the next one are *surveyed*: which pages
 * are in memory already? The next one too, because the kernel reads ahead of us, and would make its own pages look like
 * somebody's; its read-ahead is far shorter than a window. When the reads have moved on, the pages of the window that
 * were not there before are dropped, and only those. Read-ahead itself stays as it is, and is made longer by advice.
 *
 *     surveyed ──first read──▶ used ──reads are elsewhere, none under way──▶ dropped ──read again──▶ used …
 *
 * A survey is kept after the drop, so that coming back to a window does not take our own pages for somebody's.
 * Only for what is read: the target of a copy is dirty, and dropping it would force it out to the disk at once.
 */
import type { HostFile, ReadObserver } from './host-file.ts';
import { advise, countCached, pageSize, residentPages } from './page-cache.ts';

/** Bytes of a window: far longer than the kernel's read-ahead, short enough that what is kept meanwhile is little. */
export const MANNERS_WINDOW = 32 * 1024 * 1024;
/**
 * Bytes read that may stay in memory until the windows used longest ago are dropped. It is counted in bytes, not in
 * windows: reads that jump about (a fragmented image) touch many windows, and must not have each dropped at every jump.
 */
const KEEP_BEHIND = 128 * 1024 * 1024;
/** Surveys remembered: at most 1 KiB each, where a window was cached in part; enough for 128 GiB. */
const MAX_SURVEYS = 4096;
/** The largest folio the kernel may have read over the edge of two windows, which no drop of one alone removes. */
const FOLIO = 2 * 1024 * 1024;

/** Pages that were there before us: none, all, or one bit for each. */
type Survey = 'none' | 'all' | Uint8Array;

interface Window {
  survey: Survey;
  /** Reads under way. */
  active: number;
  /** Bytes read since the last drop. */
  read: number;
}

export interface MannersOptions {
  /** Bytes of a window, a multiple of the page size. */
  readonly window?: number;
  /** Bytes read that may stay until the windows used longest ago are dropped. */
  readonly keepBehind?: number;
}

export class CacheManners implements ReadObserver {
  readonly #file: HostFile;
  readonly #window: number;
  readonly #keepBehind: number;
  readonly #windows = new Map<number, Window>();
  /** Used windows in the order of their last use. */
  readonly #recent = new Set<number>();
  readonly #drops = new Set<Promise<unknown>>();
  /** Bytes read and not dropped, of all windows. */
  #kept = 0;
  #current = -1;
  /** End of the last run dropped, to find a folio across an edge. */
  #lastDrop = { start: 0, end: 0 };

  private constructor(file: HostFile, options: MannersOptions) {
    this.#file = file;
    this.#window = options.window ?? MANNERS_WINDOW;
    this.#keepBehind = options.keepBehind ?? KEEP_BEHIND;
  }

  /**
   * Watch the reads of `file` from now on, until {@link finish}. `undefined` where there is nothing to be polite about:
   * a file in memory, direct I/O, a system that does not tell what is cached.
   */
  static async attach(file: HostFile, options: MannersOptions = {}): Promise<CacheManners | undefined> {
    if (file.inMemory || file.direct || file.kind === 'character' || file.size === 0) return undefined;
    if (countCached(file, 0, pageSize()) === undefined) return undefined;
    if (!(await advise(file, 'sequential'))) return undefined;
    const manners = new CacheManners(file, options);
    file.observer = manners;
    return manners;
  }

  /** A read of this range is about to begin. */
  before(offset: number, length: number): void {
    const first = Math.floor(offset / this.#window);
    const last = Math.floor((offset + Math.max(length, 1) - 1) / this.#window);
    for (let index = first; index <= last; index++) this.#at(index).active += 1;
    this.#at(last + 1);
  }

  /** It has ended. */
  after(offset: number, length: number): void {
    const first = Math.floor(offset / this.#window);
    const last = Math.floor((offset + Math.max(length, 1) - 1) / this.#window);
    for (let index = first; index <= last; index++) {
      const window = this.#at(index);
      const start = Math.max(offset, index * this.#window);
      const bytes = Math.min(offset + length, (index + 1) * this.#window) - start;
      window.active -= 1;
      window.read += bytes;
      this.#kept += bytes;
      if (index !== this.#current) this.#moveTo(index);
    }
  }

  /** Drop what is left to drop and stop watching. The page cache is then as it was, but for pages that others hold. */
  async finish(): Promise<void> {
    if (this.#file.observer === this) this.#file.observer = undefined;
    // All of them, since read-ahead may have reached into a window that was not read again after its drop.
    for (const index of this.#windows.keys()) if (this.#holdsPages(index)) this.#drop(index);
    this.#recent.clear();
    await Promise.all(this.#drops);
    await advise(this.#file, 'normal');
  }

  #at(index: number): Window {
    const known = this.#windows.get(index);
    if (known !== undefined) return known;
    const window: Window = { survey: this.#survey(index), active: 0, read: 0 };
    this.#windows.set(index, window);
    if (this.#windows.size > MAX_SURVEYS) this.#forget();
    return window;
  }

  /** Forget the oldest survey that nothing depends on. */
  #forget(): void {
    for (const [index, window] of this.#windows) {
      if (window.active > 0 || window.read > 0 || Math.abs(index - this.#current) <= 1) continue;
      this.#windows.delete(index);
      return;
    }
  }

  #survey(index: number): Survey {
    const start = index * this.#window;
    const length = Math.min(this.#window, this.#file.size - start);
    if (length <= 0) return 'none';
    try {
      const counts = countCached(this.#file, start, length);
      if (counts?.cached === 0) return 'none';
      if (counts === undefined || counts.cached >= counts.pages) return 'all';
      return bitmapOf(residentPages(this.#file, start, length)) ?? 'all';
    } catch {
      return 'all'; // a read must not fail for its manners: what is not known is not dropped
    }
  }

  /** Reads have come to another window: drop those used longest ago. */
  #moveTo(index: number): void {
    this.#current = index;
    this.#recent.delete(index);
    this.#recent.add(index);
    for (const oldest of this.#recent) {
      if (this.#kept <= this.#keepBehind || oldest === index) return;
      if ((this.#windows.get(oldest)?.active ?? 0) > 0) continue;
      this.#recent.delete(oldest);
      this.#drop(oldest);
    }
  }

  #drop(index: number): void {
    const window = this.#windows.get(index);
    if (window === undefined) return;
    this.#kept -= window.read;
    window.read = 0;
    const start = index * this.#window;
    const end = Math.min(start + this.#window, this.#file.size);
    for (const [from, to] of runsToDrop(window.survey, start, end)) this.#dropRun(from, to);
  }

  #holdsPages(index: number): boolean {
    const start = index * this.#window;
    const length = Math.min(this.#window, this.#file.size - start);
    return length > 0 && (countCached(this.#file, start, length)?.cached ?? 0) > 0;
  }

  #dropRun(from: number, to: number): void {
    const { start, end } = this.#lastDrop;
    const begin = from === end ? Math.max(start, from - FOLIO) : from;
    this.#lastDrop = { start: begin, end: to };
    const work = advise(this.#file, 'dontNeed', begin, to - begin).catch(() => undefined); // advice, no more
    this.#drops.add(work);
    void work.then(() => this.#drops.delete(work));
  }
}

/** Bit 0 of each byte of mincore's vector, packed. */
function bitmapOf(vector: Uint8Array | undefined): Uint8Array | undefined {
  if (vector === undefined) return undefined;
  const bits = new Uint8Array(Math.ceil(vector.length / 8));
  for (const [page, byte] of vector.entries()) bits[page >> 3] = (bits[page >> 3] ?? 0) | ((byte & 1) << (page & 7));
  return bits;
}

/** The runs of bytes in a window, from page to page, that were not in memory before. */
function* runsToDrop(survey: Survey, start: number, end: number): Generator<readonly [number, number]> {
  if (survey === 'all') return;
  if (survey === 'none') {
    yield [start, end];
    return;
  }
  const size = pageSize();
  let from = -1;
  for (let page = 0; start + page * size < end; page++) {
    const was = (((survey[page >> 3] ?? 0xff) >> (page & 7)) & 1) === 1;
    if (!was && from < 0) from = page;
    if (!was || from < 0) continue;
    yield [start + from * size, start + page * size];
    from = -1;
  }
  if (from >= 0) yield [start + from * size, end];
}
