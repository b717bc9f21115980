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
/** Windows that stay in memory behind the reads, for the reads that come a little late. */
const KEPT_BEHIND = 1;
/** Surveys remembered: at most 8 KiB each, so 4 MiB for windows that are partly cached. */
const MAX_SURVEYS = 512;
/** The largest folio the kernel may have read over the edge of two windows, which no drop of one alone removes. */
const FOLIO = 2 * 1024 * 1024;

/** Pages that were there before us: none, all, or one byte for each. */
type Survey = 'none' | 'all' | Uint8Array;

interface Window {
  survey: Survey;
  /** Reads under way. */
  active: number;
  /** Something was read since the last drop. */
  used: boolean;
}

export interface MannersOptions {
  /** Bytes of a window, a multiple of the page size. */
  readonly window?: number;
}

export class CacheManners implements ReadObserver {
  readonly #file: HostFile;
  readonly #window: number;
  readonly #windows = new Map<number, Window>();
  /** Used windows in the order of their last use. */
  readonly #recent = new Set<number>();
  readonly #drops = new Set<Promise<unknown>>();
  #current = -1;
  /** End of the last run dropped, to find a folio across an edge. */
  #lastDrop = { start: 0, end: 0 };

  private constructor(file: HostFile, window: number) {
    this.#file = file;
    this.#window = window;
  }

  /**
   * Watch the reads of `file` from now on, until {@link finish}. `undefined` where there is nothing to be polite about:
   * a file in memory, direct I/O, a system that does not tell what is cached.
   */
  static async attach(file: HostFile, options: MannersOptions = {}): Promise<CacheManners | undefined> {
    if (file.inMemory || file.direct || file.kind === 'character' || file.size === 0) return undefined;
    if (countCached(file, 0, pageSize()) === undefined) return undefined;
    if (!(await advise(file, 'sequential'))) return undefined;
    const manners = new CacheManners(file, options.window ?? MANNERS_WINDOW);
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
      window.active -= 1;
      window.used = true;
      if (index !== this.#current) this.#moveTo(index);
    }
  }

  /** Drop what is left to drop and stop watching. The page cache is then as it was, but for pages that others hold. */
  async finish(): Promise<void> {
    if (this.#file.observer === this) this.#file.observer = undefined;
    for (const index of this.#recent) this.#drop(index);
    this.#recent.clear();
    await Promise.all(this.#drops);
    await advise(this.#file, 'normal');
  }

  #at(index: number): Window {
    const known = this.#windows.get(index);
    if (known !== undefined) return known;
    const window: Window = { survey: this.#survey(index), active: 0, used: false };
    this.#windows.set(index, window);
    if (this.#windows.size > MAX_SURVEYS) this.#forget();
    return window;
  }

  /** Forget the oldest survey that nothing depends on. */
  #forget(): void {
    for (const [index, window] of this.#windows) {
      if (window.active > 0 || window.used || Math.abs(index - this.#current) <= 1) continue;
      this.#windows.delete(index);
      return;
    }
  }

  #survey(index: number): Survey {
    const start = index * this.#window;
    const length = Math.min(this.#window, this.#file.size - start);
    if (length <= 0) return 'none';
    const counts = countCached(this.#file, start, length);
    if (counts === undefined) return 'all'; // not to be told any more: then nothing is dropped
    if (counts.cached === 0) return 'none';
    if (counts.cached >= counts.pages) return 'all';
    return residentPages(this.#file, start, length) ?? 'all';
  }

  /** Reads have come to another window: drop those used longest ago. */
  #moveTo(index: number): void {
    this.#current = index;
    this.#recent.delete(index);
    this.#recent.add(index);
    let over = this.#recent.size - 1 - KEPT_BEHIND;
    for (const oldest of this.#recent) {
      if (over-- <= 0) return;
      if ((this.#windows.get(oldest)?.active ?? 0) > 0) continue;
      this.#recent.delete(oldest);
      this.#drop(oldest);
    }
  }

  #drop(index: number): void {
    const window = this.#windows.get(index);
    if (window === undefined || !window.used) return;
    window.used = false;
    const start = index * this.#window;
    const end = Math.min(start + this.#window, this.#file.size);
    for (const [from, to] of runsToDrop(window.survey, start, end)) this.#dropRun(from, to);
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

/** The runs of pages in a window that were not in memory before. */
function* runsToDrop(survey: Survey, start: number, end: number): Generator<readonly [number, number]> {
  if (survey === 'all') return;
  if (survey === 'none') {
    yield [start, end];
    return;
  }
  const size = pageSize();
  let from = -1;
  for (let page = 0; page < survey.length; page++) {
    const was = ((survey[page] ?? 1) & 1) === 1;
    if (!was && from < 0) from = page;
    if (!was || from < 0) continue;
    yield [start + from * size, start + page * size];
    from = -1;
  }
  if (from >= 0) yield [start + from * size, end];
}
