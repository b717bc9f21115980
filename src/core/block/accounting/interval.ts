/**
 * Figures over the last while: what ended in the last `seconds`, rather than since the beginning. Two periods overlap by
 * half, and the older one is asked, so that what is told covers between half of the length and all of it.
 */
import { IO_KINDS, type IoKind } from './counters.ts';

export interface KindReport {
  /** Shortest, longest and mean latency in nanoseconds; 0 where nothing ended. */
  readonly min: number;
  readonly max: number;
  readonly average: number;
  /** Mean number of requests under way. */
  readonly depth: number;
}

export interface IntervalReport {
  readonly seconds: number;
  readonly kinds: Readonly<Record<IoKind, KindReport>>;
}

class Period {
  begun: number;
  readonly min: Record<IoKind, number> = { read: 0, write: 0, flush: 0, unmap: 0 };
  readonly max: Record<IoKind, number> = { read: 0, write: 0, flush: 0, unmap: 0 };
  readonly sum: Record<IoKind, number> = { read: 0, write: 0, flush: 0, unmap: 0 };
  readonly count: Record<IoKind, number> = { read: 0, write: 0, flush: 0, unmap: 0 };

  constructor(begun: number) {
    this.begun = begun;
  }

  add(kind: IoKind, ns: number): void {
    if (this.count[kind] === 0 || ns < this.min[kind]) this.min[kind] = ns;
    if (ns > this.max[kind]) this.max[kind] = ns;
    this.sum[kind] += ns;
    this.count[kind]++;
  }
}

export class Interval {
  readonly seconds: number;
  #older: Period;
  #newer: Period;

  /** @param now nanoseconds, as all times here. */
  constructor(seconds: number, now: number) {
    this.seconds = seconds;
    this.#older = new Period(now);
    this.#newer = new Period(now + (seconds * 1e9) / 2);
  }

  add(kind: IoKind, ns: number, now: number): void {
    this.#turn(now);
    this.#older.add(kind, ns);
    if (now >= this.#newer.begun) this.#newer.add(kind, ns);
  }

  report(now: number): IntervalReport {
    this.#turn(now);
    const { min, max, sum, count, begun } = this.#older;
    const elapsed = Math.max(1, now - begun);
    const kinds = Object.fromEntries(
      IO_KINDS.map((kind) => [
        kind,
        {
          min: min[kind],
          max: max[kind],
          average: count[kind] === 0 ? 0 : Math.round(sum[kind] / count[kind]),
          depth: sum[kind] / elapsed,
        },
      ]),
    ) as Record<IoKind, KindReport>;
    return { seconds: this.seconds, kinds };
  }

  #turn(now: number): void {
    const length = this.seconds * 1e9;
    if (now - this.#older.begun < length) return;
    // After a long silence neither of the two says anything of the last while.
    const fresh = now - this.#newer.begun >= length;
    this.#older = fresh ? new Period(now) : this.#newer;
    this.#newer = new Period(this.#older.begun + length / 2);
  }
}
