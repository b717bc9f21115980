/**
 * Records on their way from where requests are to the thread that writes them: a ring of numbers in memory that both
 * share. Adding one costs two readings of the clock and a few stores; nobody is woken, the thread comes by. Both ends
 * are in one process, so this layout is nobody else's business.
 */

/** Records in the ring: 2 MiB. */
const RECORDS = 1 << 15;
const MASK = RECORDS - 1;
/** Records that go over to the ring together: 32 KiB. */
const STAGED = 512;
/** 64-bit words of a record: issue, completion, offset, length, number, op and flags + errno, depth + node. */
const WORDS = 8;
/** Where the 32-bit words of a record begin. */
const SMALL = 10;
const RECORD_BYTES = WORDS * 8;

/** Words of the control block: records ever added, records ever taken (both modulo 2^32), writing has failed. */
const ADDED = 0;
const TAKEN = 1;
const FAILED = 2;

export interface RingMemory {
  readonly records: SharedArrayBuffer;
  readonly control: SharedArrayBuffer;
}

export function ringMemory(): RingMemory {
  return { records: new SharedArrayBuffer(RECORDS * RECORD_BYTES), control: new SharedArrayBuffer(12) };
}

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
 * The end where records come in. They are put together in a little memory of its own, which stays in the processor's
 * cache, and go over in bulk: written one by one into the ring, each would wait for a line of memory.
 */
export class RingWriter {
  readonly #staged = new ArrayBuffer(STAGED * RECORD_BYTES);
  readonly #times = new BigInt64Array(this.#staged);
  readonly #large = new Float64Array(this.#staged);
  readonly #small = new Int32Array(this.#staged);
  readonly #ring: BigInt64Array;
  readonly #control: Int32Array;
  /** Starts of the requests that have begun and not returned yet, the innermost last. As numbers here they cost nothing. */
  #starts = new BigInt64Array(16);
  #nested = 0;
  /** Records put together, and not in the ring yet. */
  #count = 0;
  /** Records ever put into the ring. */
  #added = 0;

  constructor({ records, control }: RingMemory) {
    this.#ring = new BigInt64Array(records);
    this.#control = new Int32Array(control);
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
    if (this.#count === STAGED && !this.publish()) return false;
    const at = this.#count * WORDS;
    const begun = this.#nested - 1;
    const times = this.#times;
    times[at + 1] = now();
    // There is one. A default would make numbers on the heap of all.
    times[at] = this.#starts[begun] as bigint;
    this.#nested = begun;
    this.#put(at, kind, offset, length, number, depth, node, 0);
    return true;
  }

  /** Add a request that completes now. False when there is no room, and nothing was added. */
  add(issued: Issued, errno: number): boolean {
    if (this.#count === STAGED && !this.publish()) return false;
    const at = this.#count * WORDS;
    this.#times[at] = issued.start;
    this.#times[at + 1] = now();
    const { kind, offset, length, number, depth, node } = issued;
    this.#put(at, kind, offset, length, number, depth, node, errno);
    return true;
  }

  /** What stands beside the times of the record at this word, which is the next. */
  #put(
    at: number,
    kind: number,
    offset: number,
    length: number,
    number: number,
    depth: number,
    node: number,
    errno: number,
  ): void {
    this.#count++;
    const large = this.#large;
    large[at + 2] = offset;
    large[at + 3] = length;
    large[at + 4] = number;
    const small = this.#small;
    const rest = at * 2 + SMALL;
    small[rest] = kind;
    small[rest + 1] = errno;
    small[rest + 2] = depth;
    small[rest + 3] = node;
  }

  /** Let the other end have all that was added; false when the ring has no room for it, and it stays here. */
  publish(): boolean {
    const count = this.#count;
    if (RECORDS - ((this.#added - this.taken) | 0) < count) return false;
    const start = this.#added & MASK;
    const first = Math.min(count, RECORDS - start);
    this.#ring.set(this.#times.subarray(0, first * WORDS), start * WORDS);
    this.#ring.set(this.#times.subarray(first * WORDS, count * WORDS), 0);
    this.#count = 0;
    this.#added += count;
    Atomics.store(this.#control, ADDED, this.#added | 0);
    return true;
  }

  /** Stand still until something is taken, or `ms` milliseconds have passed. True when what was added went over. */
  publishWithin(ms: number): boolean {
    const taken = this.taken;
    if (this.publish()) return true;
    Atomics.wait(this.#control, TAKEN, taken, ms);
    return this.publish();
  }

  /** Records ever added. */
  get recorded(): number {
    return this.#added + this.#count;
  }

  /** Records ever taken, modulo 2^32. */
  get taken(): number {
    return Atomics.load(this.#control, TAKEN);
  }

  /** Writing does not work any more: nobody takes anything. */
  get failed(): boolean {
    return Atomics.load(this.#control, FAILED) !== 0;
  }
}

/** The end where they are taken. Indices count from the first record that has not been taken. */
export class RingReader {
  readonly #halves: Uint32Array;
  readonly #large: Float64Array;
  readonly #small: Int32Array;
  readonly #control: Int32Array;
  #taken = 0;
  /** Word where the record begins that is looked at. */
  #at = 0;

  constructor({ records, control }: RingMemory) {
    this.#halves = new Uint32Array(records);
    this.#large = new Float64Array(records);
    this.#small = new Int32Array(records);
    this.#control = new Int32Array(control);
  }

  /** Records that wait. */
  get waiting(): number {
    return (Atomics.load(this.#control, ADDED) - this.#taken) | 0;
  }

  /** Done with the first `count`. */
  take(count: number): void {
    this.#taken = (this.#taken + count) | 0;
    Atomics.store(this.#control, TAKEN, this.#taken);
    Atomics.notify(this.#control, TAKEN);
  }

  fail(): void {
    Atomics.store(this.#control, FAILED, 1);
    Atomics.notify(this.#control, TAKEN);
  }

  /** The record that the following speak of. */
  look(index: number): void {
    this.#at = ((this.#taken + index) & MASK) * WORDS;
  }

  /** Nanoseconds of the clock, exact for the hundred days that a machine runs at a time, and to 2 ns for as many more. */
  get start(): number {
    return this.#time(this.#at);
  }

  get end(): number {
    return this.#time(this.#at + 1);
  }

  /** In halves, of which the low one comes first on every machine there is a Node for: no number on the heap. */
  #time(word: number): number {
    return (this.#halves[word * 2 + 1] ?? 0) * 2 ** 32 + (this.#halves[word * 2] ?? 0);
  }

  get offset(): number {
    return this.#large[this.#at + 2] ?? 0;
  }

  get length(): number {
    return this.#large[this.#at + 3] ?? 0;
  }

  get number(): number {
    return this.#large[this.#at + 4] ?? 0;
  }

  get kind(): number {
    return this.#small[this.#at * 2 + SMALL] ?? 0;
  }

  get errno(): number {
    return this.#small[this.#at * 2 + SMALL + 1] ?? 0;
  }

  get depth(): number {
    return this.#small[this.#at * 2 + SMALL + 2] ?? 0;
  }

  get node(): number {
    return this.#small[this.#at * 2 + SMALL + 3] ?? 0;
  }
}
