/**
 * The end of the ring where records come in (`ring-memory.ts`). Adding one costs two readings of the clock, a few
 * comparisons and a few stores; nobody is woken, the thread comes by.
 */
import { ADDED, FAILED, FINISHED, RECORD_WORDS, RING_WORDS, type RingMemory, RUN_WORDS, TAKEN } from './ring-memory.ts';

const MASK = RING_WORDS - 1;
/** Words that go over to the ring together: 16 KiB. */
const STAGED = 2048;
/** Words in the ring with which it is time that somebody takes them. */
const CROWDED = RING_WORDS / 4;

/** The clock of a trace: nanoseconds, never going back. The fastest one there is, measured. */
export const now = process.hrtime.bigint;

/** A request, with what is known of it at its issue but for the time. */
export interface Request {
  /** Number of the operation and, from bit 8, the flags. */
  readonly kind: number;
  readonly offset: number;
  readonly length: number;
  readonly number: number;
  /** Requests of the node in flight, itself among them. */
  readonly depth: number;
  /** Index of the node. */
  readonly node: number;
}

export interface Issued extends Request {
  readonly start: bigint;
}

/**
 * Records are put together in a little memory of its own, which stays in the processor's cache, and go over in bulk:
 * written one by one into the ring, each would wait for a line of memory.
 */
export class RingWriter {
  readonly #staged = new ArrayBuffer(STAGED * 8);
  readonly #times = new BigInt64Array(this.#staged);
  readonly #large = new Float64Array(this.#staged);
  readonly #small = new Int32Array(this.#staged);
  readonly #ring: BigInt64Array;
  readonly #control: Int32Array;
  /** Called once, at a time when {@link CROWDED} is reached. */
  readonly #onCrowded: () => void;
  #crowded = false;
  /** Starts of the requests that have begun and not returned yet, the innermost last. As numbers here they cost nothing. */
  #starts = new BigInt64Array(16);
  #nested = 0;
  /** Words put together, and not in the ring yet. */
  #end = 0;
  /** Words ever put into the ring, modulo 2^32. */
  #added: number;
  /** Records of runs that have ended. */
  #recorded = 0;
  /** The run that goes on: where it begins, and what its next record must be like. No number is -1: there is none. */
  #run = 0;
  #number = -1;
  #kind = 0;
  #length = 0;
  #depth = 0;
  #node = 0;
  #errno = 0;

  constructor({ words, control }: RingMemory, onCrowded: () => void = () => undefined) {
    this.#ring = new BigInt64Array(words);
    this.#control = new Int32Array(control);
    this.#added = Atomics.load(this.#control, ADDED);
    this.#onCrowded = onCrowded;
  }

  /** A request begins that may return at once; others may begin and return before it does. */
  begin(): void {
    if (this.#nested === this.#starts.length) {
      const longer = new BigInt64Array(this.#nested * 2);
      longer.set(this.#starts);
      this.#starts = longer;
    }
    this.#starts[this.#nested++] = now();
  }

  /** The innermost of those returned without having ended: when it began. */
  left(): bigint {
    return this.#starts[--this.#nested] ?? 0n;
  }

  /**
   * The innermost of those returned, and ends now without an error: a {@link Request} by its parts, since an object for
   * each would be most of what a record costs. False when there is no room: nothing has changed.
   */
  ended(kind: number, offset: number, length: number, number: number, depth: number, node: number): boolean {
    if (!this.#hasRoom(kind, length, number, depth, node, 0)) return false;
    const at = this.#end;
    const begun = this.#nested - 1;
    const times = this.#times;
    times[at + 1] = now();
    // There is one. A default would make numbers on the heap of all.
    times[at] = this.#starts[begun] as bigint;
    this.#large[at + 2] = offset;
    this.#nested = begun;
    this.#end = at + RECORD_WORDS;
    return true;
  }

  /** Add a request that completes now. False when there is no room, and nothing was added. */
  add({ kind, offset, length, number, depth, node, start }: Issued, errno: number): boolean {
    if (!this.#hasRoom(kind, length, number, depth, node, errno)) return false;
    const at = this.#end;
    this.#times[at] = start;
    this.#times[at + 1] = now();
    this.#large[at + 2] = offset;
    this.#end = at + RECORD_WORDS;
    return true;
  }

  /** There is room for such a record, in the run that goes on or in a new one. */
  #hasRoom(kind: number, length: number, number: number, depth: number, node: number, errno: number): boolean {
    if (
      number === this.#number &&
      kind === this.#kind &&
      length === this.#length &&
      depth === this.#depth &&
      node === this.#node &&
      errno === this.#errno &&
      this.#end <= STAGED - RECORD_WORDS
    ) {
      this.#number = number + 1;
      return true;
    }
    return this.#beginRun(kind, length, number, depth, node, errno);
  }

  #beginRun(kind: number, length: number, number: number, depth: number, node: number, errno: number): boolean {
    this.#endRun();
    if (this.#end > STAGED - RUN_WORDS - RECORD_WORDS && !this.publish()) return false;
    const run = this.#end;
    this.#large[run] = number;
    this.#large[run + 1] = length;
    const small = this.#small;
    const pairs = run * 2;
    small[pairs + 4] = kind;
    small[pairs + 5] = errno;
    small[pairs + 6] = depth;
    small[pairs + 7] = node;
    this.#run = run;
    this.#number = number + 1;
    this.#kind = kind;
    this.#length = length;
    this.#depth = depth;
    this.#node = node;
    this.#errno = errno;
    this.#end = run + RUN_WORDS;
    return true;
  }

  #endRun(): void {
    if (this.#number === -1) return;
    const records = this.#inRun;
    this.#small[(this.#run + 4) * 2] = records;
    this.#recorded += records;
    this.#number = -1;
  }

  /** Records of the run that goes on. */
  get #inRun(): number {
    return this.#number === -1 ? 0 : (this.#end - this.#run - RUN_WORDS) / RECORD_WORDS;
  }

  /** Let the other end have all that was added; false when the ring has no room for it, and it stays here. */
  publish(): boolean {
    this.#endRun();
    const count = this.#end;
    const waiting = (this.#added - this.taken) | 0;
    if (RING_WORDS - waiting < count) return false;
    const start = this.#added & MASK;
    const first = Math.min(count, RING_WORDS - start);
    this.#ring.set(this.#times.subarray(0, first), start);
    if (first < count) this.#ring.set(this.#times.subarray(first, count), 0);
    this.#end = 0;
    this.#added = (this.#added + count) | 0;
    Atomics.store(this.#control, ADDED, this.#added);
    if (!this.#crowded && waiting + count >= CROWDED) {
      this.#crowded = true;
      this.#onCrowded();
    }
    return true;
  }

  /**
   * Stand still until word comes that something was taken, or `ms` milliseconds have passed. True when what was added went
   * over.
   */
  publishWithin(ms: number): boolean {
    const { taken } = this;
    if (this.publish()) return true;
    Atomics.wait(this.#control, TAKEN, taken, ms);
    return this.publish();
  }

  /** Stand still until the other end has finished, or `ms` milliseconds have passed. */
  whenFinished(ms: number): void {
    Atomics.wait(this.#control, FINISHED, 0, ms);
  }

  /** Records ever added. */
  get recorded(): number {
    return this.#recorded + this.#inRun;
  }

  /** Words ever taken, modulo 2^32: it changes as long as somebody takes anything. */
  get taken(): number {
    return Atomics.load(this.#control, TAKEN);
  }

  /** Writing does not work any more: nobody takes anything. */
  get failed(): boolean {
    return Atomics.load(this.#control, FAILED) !== 0;
  }
}
