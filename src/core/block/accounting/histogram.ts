/** Latencies counted in bins with boundaries that a user chose. */
import { Usage } from '../../errors/block-error.ts';

export interface HistogramState {
  /** Nanoseconds; bin n reaches from boundary n - 1 up to boundary n. */
  readonly boundaries: readonly number[];
  /** One more than boundaries. */
  readonly bins: readonly number[];
}

/** More bins than this serve nobody, and each costs on every request. */
const MAX_BOUNDARIES = 1024;

export class Histogram {
  readonly #boundaries: readonly number[];
  readonly #bins: number[];

  /** @throws Usage unless the boundaries are positive and ascend. */
  constructor(boundaries: readonly number[]) {
    if (boundaries.length === 0) throw new Usage('a latency histogram needs at least one boundary');
    if (boundaries.length > MAX_BOUNDARIES) {
      throw new Usage(`a latency histogram has ${boundaries.length} boundaries, more than ${MAX_BOUNDARIES}`);
    }
    let previous = 0;
    for (const boundary of boundaries) {
      if (boundary <= previous) {
        throw new Usage(
          `the boundaries of a latency histogram must ascend from above 0, ${boundary} follows ${previous}`,
        );
      }
      previous = boundary;
    }
    this.#boundaries = [...boundaries];
    this.#bins = new Array<number>(boundaries.length + 1).fill(0);
  }

  add(ns: number, count = 1): void {
    let low = 0;
    let high = this.#boundaries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ns < (this.#boundaries[middle] ?? 0)) high = middle;
      else low = middle + 1;
    }
    this.#bins[low] = (this.#bins[low] ?? 0) + count;
  }

  get state(): HistogramState {
    return { boundaries: [...this.#boundaries], bins: [...this.#bins] };
  }
}
