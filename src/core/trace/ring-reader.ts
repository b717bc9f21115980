/** The end of the ring where records are taken (`ring-memory.ts`). */
import { ADDED, FAILED, FINISHED, RECORD_WORDS, RING_WORDS, type RingMemory, RUN_WORDS, TAKEN } from './ring-memory.ts';

const MASK = RING_WORDS - 1;

/** Stands before a record of a run, or between runs. */
export class RingReader {
  readonly #halves: Uint32Array;
  readonly #large: Float64Array;
  readonly #small: Int32Array;
  readonly #control: Int32Array;
  /** Words ever taken, modulo 2^32: those of a run and of its records up to the one that comes next. */
  #taken: number;
  /** Records of the run that have not been taken. */
  left = 0;
  /** Number of the next of them. */
  number = 0;
  /** What they all have. */
  length = 0;
  kind = 0;
  errno = 0;
  depth = 0;
  node = 0;

  constructor({ words, control }: RingMemory) {
    this.#halves = new Uint32Array(words);
    this.#large = new Float64Array(words);
    this.#small = new Int32Array(words);
    this.#control = new Int32Array(control);
    this.#taken = Atomics.load(this.#control, TAKEN);
  }

  /** Stand before the record that comes next, perhaps of another run. False when there is none. */
  seek(): boolean {
    if (this.left > 0) return true;
    if (Atomics.load(this.#control, ADDED) === this.#taken) return false;
    this.number = this.#double(0);
    this.length = this.#double(1);
    this.kind = this.#int(2, 0);
    this.errno = this.#int(2, 1);
    this.depth = this.#int(3, 0);
    this.node = this.#int(3, 1);
    this.left = this.#int(4, 0);
    this.#taken = (this.#taken + RUN_WORDS) | 0;
    return true;
  }

  /** Issue of the record `index` places further on, in nanoseconds of the clock. */
  start(index: number): number {
    return this.#time(index * RECORD_WORDS);
  }

  /** Its completion. */
  end(index: number): number {
    return this.#time(index * RECORD_WORDS + 1);
  }

  offset(index: number): number {
    return this.#double(index * RECORD_WORDS + 2);
  }

  /** Done with the next `count` of the run. */
  take(count: number): void {
    this.left -= count;
    this.number += count;
    this.#taken = (this.#taken + count * RECORD_WORDS) | 0;
    Atomics.store(this.#control, TAKEN, this.#taken);
    Atomics.notify(this.#control, TAKEN);
  }

  /** Nothing is taken any more, since it cannot be written. */
  fail(): void {
    Atomics.store(this.#control, FAILED, 1);
    Atomics.notify(this.#control, TAKEN);
  }

  /** Nothing is taken any more, since all that was wanted has been written. */
  finish(): void {
    Atomics.store(this.#control, FINISHED, 1);
    Atomics.notify(this.#control, FINISHED);
  }

  /**
   * Exact for the hundred days that a machine runs at a time, and to 2 ns for as many more. By halves, of which the low
   * one comes first on every machine there is a Node for: no number on the heap.
   */
  #time(word: number): number {
    const at = ((this.#taken + word) & MASK) * 2;
    return (this.#halves[at + 1] ?? 0) * 2 ** 32 + (this.#halves[at] ?? 0);
  }

  #double(word: number): number {
    return this.#large[(this.#taken + word) & MASK] ?? 0;
  }

  #int(word: number, half: number): number {
    return this.#small[((this.#taken + word) & MASK) * 2 + half] ?? 0;
  }
}
