/**
 * The accounts of one node or one backend.
 *
 * Counting is two additions on a request that ends at once (`accounted.ts`). Reading the clock twice would cost such a
 * request, which takes a third of a microsecond, a good tenth: so of those that end at once one in {@link SAMPLE} is
 * timed, and stands for as many. A request that has to wait is always timed. Where a histogram or an interval is asked
 * for, all of them are.
 */

import { clock } from '../../async/clock.ts';
import { IO_KINDS, type IoKind, KindCounters } from './counters.ts';
import { Histogram, type HistogramState } from './histogram.ts';
import { Interval, type IntervalReport } from './interval.ts';

/** A power of two. */
const SAMPLE = 256;

export interface AccountingOptions {
  /** Requests that fail count as the last sign of life too; default true. */
  readonly accountFailed?: boolean;
  /** So do those that were refused; default true. */
  readonly accountInvalid?: boolean;
}

export class Accounting {
  readonly read = new KindCounters('read');
  readonly write = new KindCounters('write');
  readonly flush = new KindCounters('flush');
  readonly unmap = new KindCounters('unmap');
  /** End of the furthest write, in bytes. */
  highestWrite = 0;
  #options: Required<AccountingOptions> = { accountFailed: true, accountInvalid: true };
  #threshold = Number.POSITIVE_INFINITY;
  #passed: ((exceeded: number) => void) | undefined;
  /** Also of a request that ends at once a time is taken, where none of these bits is set in the number of its kind that ended. */
  untimed = SAMPLE - 1;
  /** When the last request ended, for those that were timed; and how many had ended then. */
  #lastEnd = 0;
  #endedThen = 0;
  #intervals: readonly Interval[] = [];

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

  /** The next request of this kind is to be timed, even if it ends at once. */
  times(counters: KindCounters): boolean {
    return (counters.operations & this.untimed) === 0;
  }

  /** A request begins: when, in nanoseconds, or 0 where it is not timed unless it has to wait. */
  begin(counters: KindCounters): number {
    return this.times(counters) ? now() : 0;
  }

  /** A request ended without having to wait; `begun` is what {@link begin} said of it. */
  endedAtOnce(counters: KindCounters, bytes: number, begun: number): void {
    if (begun !== 0) {
      this.#timed(counters, bytes, now() - begun);
    } else {
      counters.count(bytes);
    }
  }

  #timed(counters: KindCounters, bytes: number, ns: number): void {
    counters.ended(bytes, ns, true);
    this.#ended(counters, ns);
  }

  /** Time a request that has to wait. `over` is called when it has ended, however it has. */
  follow<T>(counters: KindCounters, bytes: number, request: Promise<T>, over?: () => void): Promise<T> {
    const begun = now();
    counters.inFlight++;
    return request.then(
      (value) => {
        counters.inFlight--;
        const at = now();
        counters.ended(bytes, at - begun, false);
        this.#ended(counters, at - begun, at);
        over?.();
        return value;
      },
      (error: unknown) => {
        counters.inFlight--;
        this.failed(counters, now() - begun);
        over?.();
        throw error;
      },
    );
  }

  /** A request that failed after `ns`, 0 where it did so at once. */
  failed(counters: KindCounters, ns = 0): void {
    counters.failed++;
    if (!this.#options.accountFailed) return;
    counters.lost(ns);
    this.#ended(counters, ns);
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
    if (ended !== this.#endedThen) {
      this.#lastEnd = now();
      this.#endedThen = ended;
    }
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
    return this[kind].histogram?.state;
  }

  /** Count latencies of `kind` in these bins from now on; undefined for not at all. */
  setHistogram(kind: IoKind, boundaries: readonly number[] | undefined): void {
    this[kind].histogram = boundaries && new Histogram(boundaries);
    this.#decide();
  }

  #decide(): void {
    const all = this.#intervals.length > 0 || IO_KINDS.some((kind) => this[kind].histogram !== undefined);
    this.untimed = all ? 0 : SAMPLE - 1;
  }

  #ended(counters: KindCounters, ns: number, at = now()): void {
    this.#lastEnd = at;
    this.#endedThen = this.#count();
    counters.histogram?.add(ns);
    for (const interval of this.#intervals) interval.add(counters.kind, ns, at);
  }

  #count(): number {
    const { read, write, flush, unmap } = this;
    return read.operations + write.operations + flush.operations + unmap.operations + read.failed + write.failed;
  }
}

/** Nanoseconds of a clock that only goes forward. */
export function now(): number {
  return clock() * 1e6;
}
