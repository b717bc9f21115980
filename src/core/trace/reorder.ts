/**
 * From the order in which records were written to that of issue. A record is written when its request has ended, so
 * one that took long comes late; until then those that were issued after it are kept.
 */
import type { TraceRequest } from './record.ts';

/** Requests that are kept for one that is missing; then it is taken for lost. */
const MOST_KEPT = 1 << 18;

export class Reorder {
  readonly #kept = new Map<number, TraceRequest>();
  #next = 0;

  add(request: TraceRequest): void {
    this.#kept.set(request.number, request);
    if (this.#kept.size > MOST_KEPT && !this.#kept.has(this.#next)) this.#next = this.#least();
  }

  #least(): number {
    let least = Number.POSITIVE_INFINITY;
    for (const number of this.#kept.keys()) least = Math.min(least, number);
    return least;
  }

  /** Those whose turn has come. */
  ready(): TraceRequest[] {
    const found: TraceRequest[] = [];
    for (let request = this.#kept.get(this.#next); request; request = this.#kept.get(this.#next)) {
      this.#kept.delete(this.#next++);
      found.push(request);
    }
    return found;
  }

  /** All that is left, at the end. */
  rest(): TraceRequest[] {
    const found = [...this.#kept.values()].sort((a, b) => a.number - b.number);
    this.#kept.clear();
    return found;
  }
}
