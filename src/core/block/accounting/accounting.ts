/**
 * The accounts of one node or one backend.
 *
 * Counting is two additions on a request that ends at once. Reading the clock twice would cost such a request, which
 * takes a third of a microsecond, a good tenth: so of those that end at once one in {@link SAMPLE} is timed, and counts for as
 * many. A request that has to wait is always timed. Where a histogram or an interval is asked for, all of them are.
 */

import { type IoKind, KindCounters } from './counters.ts';
import { Histogram, type HistogramState } from './histogram.ts';
import { Interval, type IntervalReport } from './interval.ts';

/** A power of two less one: the mask of a counter. */
const SAMPLE_MASK = 63;
const SAMPLE = SAMPLE_MASK + 1;

export interface AccountingOptions {
  /** Requests that fail count as the last sign of life too; default true. */
  readonly accountFailed?: boolean;
  /** So do those that were refused; default true. */
  readonly accountInvalid?: boolean;
}

export class Accounting {
  readonly read = new KindCounters();
  readonly write = new KindCounters();
  readonly flush = new KindCounters();
  readonly unmap = new KindCounters();
  /** End of the furthest write, in bytes. */
  highestWrite = 0;
  #options: Required<AccountingOptions> = { accountFailed: true, accountInvalid: true };
  #threshold = Number.POSITIVE_INFINITY;
  #passed: ((exceeded: number) => void) | undefined;
  #timesAll = false;
  #turn = 0;
  /** When the last request ended, for those that were timed; and how many had ended then. */
  #lastEnd = 0;
  #endedThen = 0;
  #intervals: readonly Interval[] = [];
  readonly #histograms = new Map<IoKind, Histogram>();

  get options(): Required<AccountingOptions> {
    return this.#options;
  }

  set options(options: AccountingOptions) {
    this.#options = { ...this.#options, ...options };
  }

  /** A write of `length` bytes begins; returns the length. */
  reaching(offset: number, length: number): number {
    const end = offset + length;
    if (end > this.highestWrite) this.highestWrite = end;
    if (end > this.#threshold) this.#passThreshold(end);
    return length;
  }

  /** Bytes that writes have not gone past yet; undefined where none was set. */
  get threshold(): number | undefined {
    return this.#threshold === Number.POSITIVE_INFINITY ? undefined : this.#threshold;
  }

  /** Have `passed` called, once, with how far a write goes past `at`; `at` undefined calls it off. */
  setThreshold(at: number | undefined, passed: (exceeded: number) => void): void {
    this.#threshold = at ?? Number.POSITIVE_INFINITY;
    this.#passed = passed;
  }

  #passThreshold(end: number): void {
    const exceeded = end - this.#threshold;
    this.#threshold = Number.POSITIVE_INFINITY;
    this.#passed?.(exceeded);
  }

  /** A request that may end at once begins: when that is, where it is to be timed, else 0. */
  begin(): number {
    return this.#timesAll || (this.#turn++ & SAMPLE_MASK) === 0 ? now() : 0;
  }

  /** It ended at once. */
  done(kind: IoKind, bytes: number, begun: number): void {
    const counters = this[kind];
    counters.operations++;
    counters.bytes += bytes;
    if (begun === 0) return;
    const ns = now() - begun;
    counters.time += this.#timesAll ? ns : ns * SAMPLE;
    this.#ended(kind, ns);
  }

  /** Time a request that has to wait. */
  follow<T>(kind: IoKind, bytes: number, request: Promise<T>): Promise<T> {
    const counters = this[kind];
    const begun = now();
    counters.inFlight++;
    return request.then(
      (value) => {
        counters.inFlight--;
        counters.operations++;
        counters.bytes += bytes;
        const ns = now() - begun;
        counters.time += ns;
        this.#ended(kind, ns);
        return value;
      },
      (error: unknown) => {
        counters.inFlight--;
        this.failed(kind, now() - begun);
        throw error;
      },
    );
  }

  /** A request that failed after `ns`, 0 where it did so at once. */
  failed(kind: IoKind, ns = 0): void {
    this[kind].failed++;
    if (!this.#options.accountFailed) return;
    this[kind].time += ns;
    this.#ended(kind, ns);
  }

  invalid(kind: IoKind): void {
    this[kind].invalid++;
    if (this.#options.accountInvalid) this.#lastEnd = now();
  }

  /** Nanoseconds since a request ended; undefined where none ever did. */
  get idle(): number | undefined {
    const ended = this.#count();
    if (ended === 0) return undefined;
    // Not all that end at once read the clock: where some have ended since, they did so just now as far as we know.
    if (ended !== this.#endedThen) this.#touch(ended);
    return now() - this.#lastEnd;
  }

  get intervals(): readonly IntervalReport[] {
    const at = now();
    return this.#intervals.map((interval) => interval.report(at));
  }

  /** Average over each of these many seconds from now on. */
  setIntervals(seconds: readonly number[]): void {
    const at = now();
    this.#intervals = seconds.map((length) => new Interval(length, at));
    this.#decide();
  }

  histogram(kind: IoKind): HistogramState | undefined {
    return this.#histograms.get(kind)?.state;
  }

  /** Count latencies of `kind` in these bins from now on; undefined for not at all. */
  setHistogram(kind: IoKind, boundaries: readonly number[] | undefined): void {
    if (boundaries === undefined) this.#histograms.delete(kind);
    else this.#histograms.set(kind, new Histogram(boundaries));
    this.#decide();
  }

  #decide(): void {
    this.#timesAll = this.#intervals.length > 0 || this.#histograms.size > 0;
  }

  #ended(kind: IoKind, ns: number): void {
    this.#touch(this.#count());
    this.#histograms.get(kind)?.add(ns);
    for (const interval of this.#intervals) interval.add(kind, ns, this.#lastEnd);
  }

  #touch(ended: number): void {
    this.#lastEnd = now();
    this.#endedThen = ended;
  }

  #count(): number {
    const { read, write, flush, unmap } = this;
    return read.operations + write.operations + flush.operations + unmap.operations + read.failed + write.failed;
  }
}

/** Nanoseconds of a clock that only goes forward. */
export function now(): number {
  return performance.now() * 1e6;
}
