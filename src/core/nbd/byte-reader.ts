/**
 * Messages out of a stream: chunks of any size go in, pieces of exactly the length asked for come out.
 *
 * What has arrived is handed out at once, without a promise, as a view of the chunk where it lies in one; only a piece
 * across a boundary is copied. A chunk that is pushed belongs to the reader; or the source puts what arrives into `space`
 * and says so with `filled`, and views then hold until the next arrival, unless `hold` keeps them. While more than
 * `highWater` bytes wait that nobody asks for, the source is asked to pause, so that a peer that floods fills its own buffers and not ours.
 */
import type { Maybe } from '../async/maybe.ts';
import { BlockError } from '../errors/block-error.ts';
import type { ReceiveMemory } from './receive-memory.ts';

/** Whatever chunks come from: a socket, or a test. */
export interface ByteSource {
  pause(): void;
  resume(): void;
}

/** The stream ended or failed where more was expected. */
export class ConnectionLost extends BlockError {
  /** It ended between two messages: nothing was cut off. */
  readonly clean: boolean;

  constructor(message: string, clean: boolean, cause?: unknown) {
    super(message, { code: 'ECONNRESET', cause });
    this.clean = clean;
  }
}

const NO_SPACE = new Uint8Array(0);

/** Bytes kept for a slow consumer before the source has to pause. */
const HIGH_WATER = 256 * 1024;

interface Waiter {
  readonly length: number;
  /** Where to put the bytes as they arrive; undefined to collect them. */
  readonly target: Uint8Array | undefined;
  filled: number;
  readonly what: string;
  resolve(): void;
  reject(error: Error): void;
}

/** Who takes what arrives as it arrives. */
interface Taker {
  readonly length: number;
  readonly what: string;
  action(): boolean;
  resolve(): void;
  reject(error: unknown): void;
}

export class ByteReader {
  readonly #source: ByteSource;
  readonly #highWater: number;
  readonly #memory: ReceiveMemory | undefined;
  #chunks: Uint8Array[] = [];
  /** Bytes of the first chunk that are handed out already. */
  #at = 0;
  #buffered = 0;
  #waiter: Waiter | undefined;
  #taker: Taker | undefined;
  #paused = false;
  #end: { readonly cause: unknown } | undefined;

  /** @param memory of a source that uses {@link space} */
  constructor(source: ByteSource, highWater = HIGH_WATER, memory?: ReceiveMemory) {
    this.#source = source;
    this.#highWater = highWater;
    this.#memory = memory;
  }

  /** Bytes of memory that hold what has arrived, as far as that is ours. */
  get memory(): number {
    return this.#memory?.bytes ?? 0;
  }

  /** Where the source is to put what arrives next: where it is wanted, if somebody waits for it. */
  space(): Uint8Array {
    const waiter = this.#waiter;
    if (waiter?.target && this.#buffered === 0) return waiter.target.subarray(waiter.filled);
    return this.#memory?.space(this.#buffered) ?? NO_SPACE;
  }

  /** So many bytes have arrived in the last {@link space}, which is `bytes`. */
  filled(bytes: Uint8Array, length: number): void {
    const waiter = this.#waiter;
    if (!waiter?.target || waiter.target.buffer !== bytes.buffer) {
      // Bytes for a waiter that has gone meanwhile: the stream has ended.
      if (this.#memory && !this.#end) this.push(this.#memory.filled(length));
      return;
    }
    waiter.filled += length;
    if (!this.#satisfied(waiter)) return;
    this.#waiter = undefined;
    waiter.resolve();
  }

  /** Keep pieces that were just taken until the answer is called. */
  hold(pieces: readonly Uint8Array[]): (() => void) | undefined {
    return this.#memory?.hold(pieces);
  }

  /** The source is gone. */
  close(): void {
    this.discard();
    this.#memory?.close();
  }

  /** Bytes that have arrived and are not taken yet. */
  get buffered(): number {
    return this.#buffered;
  }

  /** No more will arrive. */
  get ended(): boolean {
    return this.#end !== undefined;
  }

  /** The next bytes of the stream; the chunk belongs to the reader from now on. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0 || this.#end) return;
    let rest = chunk;
    const waiter = this.#waiter;
    if (waiter?.target && this.#buffered === 0) {
      const part = rest.subarray(0, waiter.length - waiter.filled);
      waiter.target.set(part, waiter.filled);
      waiter.filled += part.length;
      rest = rest.subarray(part.length);
    }
    if (rest.length > 0) {
      this.#chunks.push(rest);
      this.#buffered += rest.length;
    }
    if (waiter && this.#satisfied(waiter)) {
      this.#waiter = undefined;
      waiter.resolve();
      // Taken as soon as he hears of it: whether he keeps up shows when more arrives.
      return;
    }
    if (this.#taker && this.#buffered >= this.#taker.length) this.#offer(this.#taker);
    const allowed = Math.max(this.#highWater, this.#waiter?.length ?? 0);
    if (this.#buffered > allowed && !this.#paused) {
      this.#paused = true;
      this.#source.pause();
    }
  }

  /** The stream has ended; with `cause`, it has failed. What has arrived can still be read. */
  end(cause?: unknown): void {
    if (this.#end) return;
    this.#end = { cause };
    const waiter = this.#waiter;
    this.#waiter = undefined;
    waiter?.reject(this.#lost(waiter.what, waiter.length, waiter.filled));
    const taker = this.#taker;
    this.#taker = undefined;
    taker?.reject(this.#lost(taker.what, taker.length, 0));
  }

  /**
   * Have `action` take what it wants whenever at least `length` bytes of `what` are there, as soon as they arrive and
   * without a promise for each arrival, until it answers true. What it throws, and the end of the stream, rejects.
   */
  whenever(length: number, what: string, action: () => boolean): Promise<void> {
    if (this.#waiter || this.#taker) throw new Error(`reading ${what} while something else is being read`);
    return new Promise((resolve, reject) => {
      const taker: Taker = { length, what, action, resolve, reject };
      if (this.#buffered >= length) this.#offer(taker);
      else if (this.#end) reject(this.#lost(what, length, 0));
      else this.#taker = taker;
      if (this.#taker && this.#paused) this.#resume();
    });
  }

  /** Exactly `length` bytes when they are there; undefined, with nothing taken, when not. */
  take(length: number): Uint8Array | undefined {
    if (this.#buffered < length || this.#waiter) return undefined;
    return this.#takeNow(length);
  }

  /**
   * As many bytes as are there, at most `most`, in one piece that need not be all of them; undefined for none.
   */
  takeSome(most: number): Uint8Array | undefined {
    const [first] = this.#chunks;
    if (!first || this.#waiter) return undefined;
    return this.#takeNow(Math.min(most, first.length - this.#at));
  }

  /**
   * Exactly `length` bytes of `what`. One reading at a time.
   * @throws BlockError when `length` is over `most`: what follows is not read; ConnectionLost when the stream ends.
   */
  readExactly(length: number, what: string, most: number): Maybe<Uint8Array> {
    if (length > most) {
      throw new BlockError(`${what} of ${length} bytes is longer than the limit of ${most}`, { code: 'EPROTO' });
    }
    if (this.#buffered >= length && !this.#waiter) return this.#keep(this.#takeNow(length));
    return this.#wait(length, undefined, what).then(() => this.#keep(this.#takeNow(length)));
  }

  /** What is handed out by promise is looked at later, when its memory may be in use again. */
  #keep(bytes: Uint8Array): Uint8Array {
    return this.#memory ? new Uint8Array(bytes) : bytes;
  }

  /** Fill `target` with what comes next: copied once, straight to where it belongs. Else as `readExactly`. */
  readInto(target: Uint8Array, what: string): Maybe<void> {
    let filled = 0;
    while (filled < target.length) {
      const part = this.takeSome(target.length - filled);
      if (!part) break;
      target.set(part, filled);
      filled += part.length;
    }
    if (filled < target.length) return this.#wait(target.length, target, what, filled);
  }

  /** Exactly `length` bytes in the pieces they arrived in, when they are there; undefined, with nothing taken, when not. */
  takePieces(length: number): Uint8Array[] | undefined {
    if (this.#buffered < length || this.#waiter) return undefined;
    const pieces: Uint8Array[] = [];
    for (let left = length; left > 0; ) {
      const piece = this.takeSome(left);
      if (!piece) break;
      pieces.push(piece);
      left -= piece.length;
    }
    return pieces;
  }

  /** Pass over `length` bytes of `what`. */
  async skip(length: number, what: string): Promise<void> {
    for (let left = length; left > 0; ) {
      if (this.#buffered === 0) await this.#wait(1, undefined, what);
      left -= this.takeSome(left)?.length ?? 0;
    }
  }

  /** Nothing when at least `length` bytes are there, else a promise of the moment they are. */
  available(length: number, what: string): Maybe<void> {
    if (this.#buffered < length) return this.#wait(length, undefined, what);
  }

  /** Give up what has arrived and is not read: what came before a change of protocol must not survive it. */
  discard(): void {
    this.#chunks = [];
    this.#at = 0;
    this.#buffered = 0;
    this.#resumeIfLow();
  }

  #offer(taker: Taker): void {
    // Not in place meanwhile: what is taken may be read in other ways from there on.
    this.#taker = undefined;
    try {
      if (taker.action()) taker.resolve();
      else if (this.#end) taker.reject(this.#lost(taker.what, taker.length, 0));
      else this.#taker = taker;
    } catch (error) {
      taker.reject(error);
    }
  }

  #takeNow(length: number): Uint8Array {
    const [first] = this.#chunks;
    const start = this.#at;
    if (!first || first.length - start < length) return this.#gather(length);
    this.#buffered -= length;
    if (start + length === first.length) {
      this.#chunks.shift();
      this.#at = 0;
    } else {
      this.#at = start + length;
    }
    if (this.#paused) this.#resumeIfLow();
    return first.subarray(start, start + length);
  }

  #gather(length: number): Uint8Array {
    const whole = new Uint8Array(length);
    for (let filled = 0; filled < length; ) {
      const first = this.#chunks[0] ?? whole; // there are `length` bytes, the caller has seen to it
      const part = first.subarray(this.#at, this.#at + length - filled);
      whole.set(part, filled);
      filled += part.length;
      this.#at += part.length;
      if (this.#at === first.length) {
        this.#chunks.shift();
        this.#at = 0;
      }
    }
    this.#buffered -= length;
    if (this.#paused) this.#resumeIfLow();
    return whole;
  }

  #wait(length: number, target: Uint8Array | undefined, what: string, filled = 0): Promise<void> {
    if (this.#waiter) throw new Error(`reading ${what} while ${this.#waiter.what} is being read`);
    if (this.#end) return Promise.reject(this.#lost(what, length, filled));
    return new Promise((resolve, reject) => {
      this.#waiter = { length, target, filled, what, resolve, reject };
      // Nothing would ever come from a source that is paused.
      if (this.#paused) this.#resume();
    });
  }

  #satisfied(waiter: Waiter): boolean {
    return waiter.target ? waiter.filled === waiter.length : this.#buffered >= waiter.length;
  }

  #resumeIfLow(): void {
    if (this.#paused && this.#buffered <= this.#highWater / 2) this.#resume();
  }

  #resume(): void {
    this.#paused = false;
    this.#source.resume();
  }

  #lost(what: string, length: number, filled: number): ConnectionLost {
    const there = filled + this.#buffered;
    const cause = this.#end?.cause;
    const how = cause instanceof Error ? `failed (${cause.message})` : 'was closed';
    const where = there === 0 ? `before ${what}` : `within ${what}: ${there} of ${length} bytes had arrived`;
    return new ConnectionLost(`the connection ${how} ${where}`, there === 0 && cause === undefined, cause);
  }
}
