/**
 * A leaky bucket of a rate that is limited. What passes is poured in, and leaks out at the average rate; while the bucket is fuller than its
 * size, nothing more may pass. Its size is what a burst may be: a tenth of a second at the average rate, or with a
 * burst rate that rate for its whole length. In a burst longer than a second, a second level that leaks at the burst
 * rate sees to it that the burst keeps to that rate.
 */
import type { BucketLimit } from './limits.ts';

/** Part of a second's worth that passes at once where no burst is configured, and within a burst. */
const SLACK = 0.1;

export class LeakyBucket {
  readonly #limit: BucketLimit;
  #level = 0;
  #burstLevel = 0;

  constructor(limit: BucketLimit) {
    this.#limit = limit;
  }

  leak(ms: number): void {
    const { average, max, maxLength } = this.#limit;
    this.#level = Math.max(0, this.#level - (average * ms) / 1000);
    if (maxLength > 1) this.#burstLevel = Math.max(0, this.#burstLevel - (max * ms) / 1000);
  }

  pour(units: number): void {
    this.#level += units;
    if (this.#limit.maxLength > 1) this.#burstLevel += units;
  }

  /** Milliseconds until something may pass; 0 for now. */
  wait(): number {
    const { average, max, maxLength } = this.#limit;
    const size = max > 0 ? max * maxLength : average * SLACK;
    if (this.#level > size) return ((this.#level - size) / average) * 1000;
    if (maxLength <= 1) return 0;
    return Math.max(0, ((this.#burstLevel - max * SLACK) / max) * 1000);
  }
}
