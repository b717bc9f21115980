/**
 * A benchmark: requests of one kind and length, as many under way as asked for, and how long all of them took.
 *
 * Requests are begun in a loop. One that completes at once leaves its place to the next turn of the loop; one that has
 * to wait comes back to the loop when it has ended. So nothing nests, however many requests there are.
 *
 *     begin ──▶ done at once ───────────────────────────┐
 *       ▲  └──▶ has to wait: in flight ──▶ has ended ────┤
 *       └── place free, not flushing, more to do ◀──────┘
 */
import { clock } from '../async/clock.ts';
import type { Maybe } from '../async/maybe.ts';
import type { Backend } from '../block/backend/backend.ts';
import { BlockError, Cancelled, withContext } from '../errors/block-error.ts';
import { alignedBuffer } from '../host/index.ts';
import { BEFORE_ALL, FirstFailure } from './first-failure.ts';

export interface BenchmarkOptions {
  readonly kind: 'read' | 'write';
  /** Requests in all. */
  readonly count: number;
  /** Requests under way at any time, at most. */
  readonly depth: number;
  /** Bytes of a request. */
  readonly length: number;
  /** Where on the disk to begin, in bytes, and from one request to the next; what leaves the disk begins anew. */
  readonly offset: number;
  readonly step: number;
  /** Byte that is written. */
  readonly pattern: number;
  /** Writes between two flushes; 0 for none. */
  readonly flushInterval: number;
  /** Flush only when the writes before have ended, and begin no other until it has. */
  readonly drain: boolean;
  readonly signal: AbortSignal;
}

/** Most memory that the buffers of a benchmark may take, in bytes. */
export const MAX_MEMORY = 4 * 1024 ** 3;
const PAGE = 4096;
/** Requests between two looks at the clock, and the longest time in milliseconds without one at timers and signals. */
const LOOK_EVERY = 64;
const SLICE_MS = 10;

/**
 * Run it; the seconds from the first request to the end of the last one, and of the last flush.
 * Throws what made a request fail, or Cancelled; nothing is in flight any more then.
 */
export async function benchmark(backend: Backend, options: BenchmarkOptions): Promise<number> {
  const { kind, depth, count, length } = options;
  const buffers = kind === 'write' ? 1 : Math.min(depth, count);
  if (buffers * length > MAX_MEMORY) {
    throw new BlockError(`${buffers} buffers of ${length} bytes would take more than ${MAX_MEMORY} bytes of memory`);
  }
  return await new Benchmark(backend, options).run();
}

class Benchmark {
  readonly #backend: Backend;
  readonly #options: BenchmarkOptions;
  /** What writes take their data from. */
  readonly #data: Uint8Array | undefined;
  /** Buffers that no request reads into. */
  readonly #free: Uint8Array[] = [];
  #left: number;
  /** Requests that were begun. */
  #begun = 0;
  #offset: number;
  #untilFlush: number;
  #inFlight = 0;
  #flushes = 0;
  /** Nothing may begin: writes are to end before a flush, or the flush is under way. */
  #held = false;
  /** By the order in which requests were begun. */
  readonly #failure = new FirstFailure();
  #lastYield = 0;
  #yielding = false;
  #end: () => void = () => undefined;

  constructor(backend: Backend, options: BenchmarkOptions) {
    this.#backend = backend;
    this.#options = options;
    this.#left = options.count;
    this.#offset = options.offset;
    this.#untilFlush = options.flushInterval;
    if (options.kind === 'write') this.#data = this.#newBuffer().fill(options.pattern);
  }

  async run(): Promise<number> {
    const begin = clock();
    this.#lastYield = begin;
    await new Promise<void>((resolve) => {
      this.#end = resolve;
      this.#go();
    });
    this.#failure.throwIfThere();
    return (clock() - begin) / 1000;
  }

  #newBuffer(): Uint8Array {
    return alignedBuffer(this.#options.length, Math.max(PAGE, this.#backend.limits.memoryAlignment ?? 1));
  }

  /** Begin what may begin. Called from the event loop, and never from within itself. */
  #go(): void {
    const { depth, signal } = this.#options;
    if (signal.aborted) this.#failure.note(BEFORE_ALL, new Cancelled());
    while (this.#left > 0 && this.#inFlight < depth && !this.#held && !this.#failure.isThere) {
      if (this.#left % LOOK_EVERY === 0 && clock() - this.#lastYield > SLICE_MS) {
        this.#yield();
        return;
      }
      this.#beginRequest();
    }
    const ended = this.#inFlight === 0 && this.#flushes === 0;
    if (ended && !this.#yielding && (this.#left === 0 || this.#failure.isThere)) this.#end();
  }

  /** Let the event loop have a turn. */
  #yield(): void {
    if (this.#yielding) return;
    this.#yielding = true;
    setImmediate(() => {
      this.#yielding = false;
      this.#lastYield = clock();
      this.#go();
    });
  }

  #beginRequest(): void {
    const offset = this.#offset;
    const buffer = this.#data ?? this.#free.pop() ?? this.#newBuffer();
    this.#left--;
    this.#moveOn();
    const number = ++this.#begun;
    const isPoint = this.#untilFlush > 0 && --this.#untilFlush === 0;
    this.#start({ offset, number }, buffer);
    if (isPoint) this.#reachFlush();
  }

  #start(request: Request, buffer: Uint8Array): void {
    const { offset } = request;
    try {
      const done = this.#data ? this.#backend.write(offset, buffer) : this.#backend.read(offset, buffer);
      if (done instanceof Promise) this.#wait(done, request, buffer);
      else this.#giveBack(buffer);
    } catch (error) {
      this.#failRequest(request, error);
    }
  }

  #wait(done: Promise<void>, request: Request, buffer: Uint8Array): void {
    this.#inFlight++;
    done
      .then(
        () => this.#giveBack(buffer),
        (error: unknown) => this.#failRequest(request, error),
      )
      .then(() => {
        this.#inFlight--;
        if (this.#inFlight === 0 && this.#held && !this.#failure.isThere) this.#flush();
        this.#go();
      });
  }

  #giveBack(buffer: Uint8Array): void {
    if (!this.#data) this.#free.push(buffer);
  }

  #moveOn(): void {
    const { size } = this.#backend;
    const { step, length } = this.#options;
    this.#offset += step;
    if (this.#offset >= size) this.#offset = size === 0 ? 0 : this.#offset % size;
    if (this.#offset + length > size) this.#offset = 0;
  }

  #reachFlush(): void {
    this.#untilFlush = this.#options.flushInterval;
    this.#held = this.#options.drain;
    if (!this.#held || this.#inFlight === 0) this.#flush();
  }

  #flush(): void {
    const number = this.#begun;
    let done: Maybe<void>;
    try {
      done = this.#backend.flush();
    } catch (error) {
      done = Promise.reject(error);
    }
    if (!(done instanceof Promise)) {
      this.#held = false;
      return;
    }
    this.#flushes++;
    done
      .catch((error: unknown) => this.#failure.note(number, withContext('Flush failed', error)))
      .then(() => {
        this.#flushes--;
        this.#held = false;
        this.#go();
      });
  }

  #failRequest({ offset, number }: Request, error: unknown): void {
    this.#failure.note(number, withContext(`Failed request: ${this.#options.kind} at offset ${offset}`, error));
  }
}

interface Request {
  /** In bytes. */
  readonly offset: number;
  /** How many were begun with it. */
  readonly number: number;
}
