/**
 * Records on their way from where requests are to the thread that writes them: a ring of numbers in memory that both
 * share. Adding one costs two readings of the clock and a few stores; nobody is woken, the thread comes by. Both ends
 * are in one process, so this layout is nobody else's business.
 */

/** Records in the ring: 2 MiB. */
const RECORDS = 1 << 15;
const MASK = RECORDS - 1;
/** Records that become visible together: making one visible waits until the memory is ours, which takes a while. */
const PUBLISH_MASK = 63;
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

class RingViews {
  protected readonly times: BigInt64Array;
  protected readonly large: Float64Array;
  protected readonly small: Int32Array;
  protected readonly control: Int32Array;

  constructor({ records, control }: RingMemory) {
    this.times = new BigInt64Array(records);
    this.large = new Float64Array(records);
    this.small = new Int32Array(records);
    this.control = new Int32Array(control);
  }

  /** Writing does not work any more: nobody takes anything. */
  get failed(): boolean {
    return Atomics.load(this.control, FAILED) !== 0;
  }
}

/** The clock of a trace: nanoseconds, never going back. The fastest one there is, measured. */
export const now = process.hrtime.bigint;

/** A request, with what is known of it at its issue. */
export interface Issued {
  /** Number of the operation and, from bit 8, the flags. */
  readonly kind: number;
  readonly offset: number;
  readonly length: number;
  readonly number: number;
  readonly start: bigint;
  /** Requests of the node in flight, itself among them. */
  readonly depth: number;
  /** Index of the node. */
  readonly node: number;
}

/** The end where records come in. */
export class RingWriter extends RingViews {
  #added = 0;
  /** Records that may be added before it has to be looked how many were taken. */
  #room = RECORDS;

  /** Records ever added, modulo 2^32. */
  get added(): number {
    return this.#added;
  }

  /** Add a request that completes now. False when there is no room, and nothing was added. */
  add(issued: Issued, errno: number): boolean {
    if (this.#room === 0 && !this.#look()) return false;
    this.#room--;
    const at = (this.#added & MASK) * WORDS;
    const { times, large, small } = this;
    times[at] = issued.start;
    times[at + 1] = now();
    large[at + 2] = issued.offset;
    large[at + 3] = issued.length;
    large[at + 4] = issued.number;
    const rest = at * 2 + SMALL;
    small[rest] = issued.kind;
    small[rest + 1] = errno;
    small[rest + 2] = issued.depth;
    small[rest + 3] = issued.node;
    this.#added = (this.#added + 1) | 0;
    if ((this.#added & PUBLISH_MASK) === 0) this.publish();
    return true;
  }

  /** Let the other end see all that was added. */
  publish(): void {
    Atomics.store(this.control, ADDED, this.#added);
  }

  #look(): boolean {
    this.#room = RECORDS - ((this.#added - Atomics.load(this.control, TAKEN)) | 0);
    return this.#room > 0;
  }

  /** Stand still until something is taken, or `ms` milliseconds have passed. True when there is room. */
  waitForRoom(ms: number): boolean {
    const taken = (this.#added - RECORDS) | 0;
    Atomics.wait(this.control, TAKEN, taken, ms);
    return this.#look();
  }

  /** Records ever taken, modulo 2^32. */
  get taken(): number {
    return Atomics.load(this.control, TAKEN);
  }
}

/** The end where they are taken. Indices count from the first record that has not been taken. */
export class RingReader extends RingViews {
  #taken = 0;

  /** Records that wait. */
  get waiting(): number {
    return (Atomics.load(this.control, ADDED) - this.#taken) | 0;
  }

  /** Done with the first `count`. */
  take(count: number): void {
    this.#taken = (this.#taken + count) | 0;
    Atomics.store(this.control, TAKEN, this.#taken);
    Atomics.notify(this.control, TAKEN);
  }

  fail(): void {
    Atomics.store(this.control, FAILED, 1);
    Atomics.notify(this.control, TAKEN);
  }

  start(index: number): bigint {
    return this.times[this.#word(index)] ?? 0n;
  }

  end(index: number): bigint {
    return this.times[this.#word(index) + 1] ?? 0n;
  }

  offset(index: number): number {
    return this.large[this.#word(index) + 2] ?? 0;
  }

  length(index: number): number {
    return this.large[this.#word(index) + 3] ?? 0;
  }

  number(index: number): number {
    return this.large[this.#word(index) + 4] ?? 0;
  }

  kind(index: number): number {
    return this.#smallWord(index, 0);
  }

  errno(index: number): number {
    return this.#smallWord(index, 1);
  }

  depth(index: number): number {
    return this.#smallWord(index, 2);
  }

  node(index: number): number {
    return this.#smallWord(index, 3);
  }

  #word(index: number): number {
    return ((this.#taken + index) & MASK) * WORDS;
  }

  #smallWord(index: number, which: number): number {
    return this.small[this.#word(index) * 2 + SMALL + which] ?? 0;
  }
}
