/** Latencies of any number in bounded memory: buckets whose width grows with the value, by 1.6 % of it at most. */

/** Buckets in each power of two. */
const STEPS = 64;
const STEP_BITS = 6;
const BUCKETS = (54 - STEP_BITS) * STEPS + STEPS;

export class Histogram {
  readonly #buckets = new Float64Array(BUCKETS);
  #count = 0;
  #sum = 0;
  #max = 0;

  /** @param value a whole number, in nanoseconds. */
  add(value: number): void {
    this.#buckets[bucketOf(value)] = (this.#buckets[bucketOf(value)] ?? 0) + 1;
    this.#count++;
    this.#sum += value;
    if (value > this.#max) this.#max = value;
  }

  get count(): number {
    return this.#count;
  }

  get max(): number {
    return this.#max;
  }

  get mean(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }

  /** The value below which `part`, 0 to 1, of all lie; 0 when there are none. */
  quantile(part: number): number {
    const wanted = Math.max(1, Math.ceil(part * this.#count));
    let seen = 0;
    for (let index = 0; index < BUCKETS; index++) {
      seen += this.#buckets[index] ?? 0;
      if (seen >= wanted) return Math.min(this.#max, middleOf(index));
    }
    return this.#max;
  }
}

function bucketOf(value: number): number {
  if (value < STEPS) return value;
  const power = Math.floor(Math.log2(value));
  const width = 2 ** (power - STEP_BITS);
  const step = Math.min(STEPS - 1, Math.floor(value / width) - STEPS);
  return Math.min(BUCKETS - 1, (power - STEP_BITS + 1) * STEPS + Math.max(0, step));
}

function middleOf(index: number): number {
  if (index < STEPS) return index;
  const width = 2 ** (Math.floor(index / STEPS) - 1);
  return Math.floor((STEPS + (index % STEPS) + 0.5) * width);
}
