/** Speed of something that counts up, smoothed over the last seconds. */

import { clock } from '../../core/async/clock.ts';

/** Time over which old speed is forgotten, in milliseconds. */
const MEMORY_MS = 3000;
/** Samples closer than this are taken together. */
const SAMPLE_MS = 100;

export class RateMeter {
  readonly #now: () => number;
  #time: number;
  #done = 0;
  #latest = 0;
  /** Per millisecond; undefined before the first sample. */
  #rate: number | undefined;

  /** `now` in milliseconds, from any start. */
  constructor(now: () => number = () => clock()) {
    this.#now = now;
    this.#time = now();
  }

  /** So much is done in all. */
  add(done: number): void {
    this.#latest = done;
    const elapsed = this.#now() - this.#time;
    if (elapsed < SAMPLE_MS) return;
    const current = Math.max(0, done - this.#done) / elapsed;
    const weight = this.#rate === undefined ? 1 : 1 - Math.exp(-elapsed / MEMORY_MS);
    this.#rate = (this.#rate ?? 0) * (1 - weight) + current * weight;
    this.#time += elapsed;
    this.#done = done;
  }

  /** Per second; 0 while nothing is known. */
  rate(): number {
    return (this.#rate ?? 0) * 1000;
  }

  /** Seconds until `total`, to a tenth; null while nothing is known. */
  timeLeft(total: number): number | null {
    const rate = this.rate();
    if (rate <= 0) return null;
    return Math.round((10 * Math.max(0, total - this.#latest)) / rate) / 10;
  }
}
