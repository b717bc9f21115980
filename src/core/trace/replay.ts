/**
 * Issuing the requests of a trace again.
 *
 * They are issued in the recorded order. When depends on the pace: at the recorded times, or as soon as all those
 * have ended that had ended before in the recording. In either case a request waits for one under way on the same
 * bytes when one of the two changes them, so that the content in the end is that of the recorded order; and for
 * memory and depth, which are bounded. Requests that are done at once cost no turn of the event loop.
 */
import { clock } from '../async/clock.ts';
import type { Maybe } from '../async/maybe.ts';
import { nextTurn } from '../async/turn.ts';
import { BlockError } from '../errors/block-error.ts';
import { BufferPool } from './buffer-pool.ts';
import { fillContent } from './content.ts';
import { type Flight, Flights } from './flights.ts';
import { Measured } from './measured.ts';
import { describe, type OffsetMap } from './offset-map.ts';
import { type Pace, Pacer } from './pacing.ts';
import { COPY_FLAG, changesContent, type TraceOp, type TraceRequest, transfersData } from './record.ts';
import type { Verifier } from './verifier.ts';

/** Longest request that transfers data, in bytes. */
export const MAX_TRANSFER = 256 * 1024 * 1024;
/** Memory of all requests under way. */
const MAX_BYTES = 512 * 1024 * 1024;
/** Requests done at once, after which the rest of the program gets its turn. */
const TURN = 512;

/** The disk that requests go to. */
export interface ReplayTarget {
  readonly size: number;
  read(offset: number, buf: Uint8Array): Maybe<void>;
  write(offset: number, buf: Uint8Array, flags: number): Maybe<void>;
  zero(offset: number, length: number, flags: number): Maybe<void>;
  discard(offset: number, length: number): Maybe<void>;
  flush(): Maybe<void>;
  truncate(size: number): Promise<void>;
}

export interface ReplayOptions {
  readonly target: ReplayTarget;
  readonly requests: AsyncIterable<readonly TraceRequest[]>;
  readonly pace: Pace;
  /** Most requests under way together with this one; of a trace without completions that is the only bound. */
  depth(request: TraceRequest): number;
  readonly seed: number;
  readonly map: OffsetMap;
  /** Kinds to issue; others are left out. */
  readonly only?: ReadonlySet<TraceOp> | undefined;
  /** Node whose requests are issued; default that of the first request. */
  readonly node?: string | undefined;
  readonly verifier?: Verifier | undefined;
  /** Issue nothing: the verifier only learns what a replay would have left behind. */
  readonly pretend?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Now and then. */
  onProgress?(): void;
  /** A request has failed that had not failed in the recording. */
  onError?(line: string): void;
}

export interface ReplayResult {
  readonly measured: Measured;
  /** Requests that were left out, by choice or by the map. */
  readonly leftOut: number;
  /** Requests that failed, and had not failed in the recording. */
  readonly newErrors: number;
  /** Nanoseconds from the first issue to the last completion, recorded (0 when unknown) and replayed. */
  readonly recordedTime: number;
  readonly replayedTime: number;
}

export async function replay(options: ReplayOptions): Promise<ReplayResult> {
  return new Replay(options).run();
}

class Replay {
  readonly #options: ReplayOptions;
  readonly #flights = new Flights();
  readonly #measured = new Measured();
  readonly #pacer: Pacer;
  readonly #memory = new BufferPool();
  #node: string | undefined;
  /** Writes of the node so far, also those that were left out: the number that their content is made of. */
  #writes = 0;
  #leftOut = 0;
  #newErrors = 0;
  #sinceTurn = 0;
  #firstStart: number | undefined;
  #lastEnd = 0;
  #begun = 0;
  /** The end of a truncate under way: what follows has its place in the disk as it will be. */
  #resizing: Promise<void> | undefined;

  constructor(options: ReplayOptions) {
    this.#options = options;
    this.#node = options.node;
    this.#pacer = new Pacer(options.pace.mode === 'timed' ? options.pace.speed : 1, options.signal);
  }

  async run(): Promise<ReplayResult> {
    this.#begun = clock();
    try {
      for await (const group of this.#options.requests) {
        for (const request of group) {
          if (this.#resizing) await this.#resizing;
          const place = this.#choose(request);
          if (place === undefined) continue;
          const wait = this.#before(request, place.offset);
          if (wait) await wait;
          this.#options.signal?.throwIfAborted();
          this.#issue(request, place);
        }
        this.#options.onProgress?.();
      }
    } finally {
      await this.#flights.whenEmpty();
    }
    return {
      measured: this.#measured,
      leftOut: this.#leftOut,
      newErrors: this.#newErrors,
      recordedTime: Math.max(0, this.#lastEnd - (this.#firstStart ?? 0)),
      replayedTime: (clock() - this.#begun) * 1e6,
    };
  }

  /** Where the request goes; undefined when it is left out. Throws when it cannot be issued. */
  #choose(request: TraceRequest): Place | undefined {
    const { only, map, target } = this.#options;
    this.#node ??= request.node;
    // A copy that the kernel refused was followed by requests that made it.
    const refused = (request.flags & COPY_FLAG) !== 0 && request.result !== 0;
    const ours = request.node === this.#node && !refused;
    const write = ours && request.op === 'write' ? this.#writes++ : 0;
    const wanted = ours && (only?.has(request.op) ?? true);
    const offset = wanted ? map.place(request, target.size) : undefined;
    if (offset === undefined) {
      this.#leftOut++;
      return undefined;
    }
    if (transfersData(request.op) && request.length > MAX_TRANSFER) {
      throw new BlockError(`${describe(request)} is longer than the limit of ${MAX_TRANSFER} bytes`);
    }
    return { offset, write };
  }

  /** What is to be waited for; nothing when the request may begin. */
  #before(request: TraceRequest, offset: number): Promise<void> | undefined {
    const { pace, pretend, onProgress } = this.#options;
    const late = pace.mode === 'asap' || pretend || this.#pacer.untilDue(request.start) <= 0;
    const turn = ++this.#sinceTurn >= TURN;
    if (late && !turn && this.#mayBegin(request, flightOf(request, offset))) return undefined;
    if (turn) onProgress?.();
    return this.#wait(request, offset, turn);
  }

  async #wait(request: TraceRequest, offset: number, turn: boolean): Promise<void> {
    const { pace, pretend } = this.#options;
    this.#sinceTurn = 0;
    if (turn) await nextTurn();
    if (pace.mode === 'timed' && !pretend) await this.#pacer.wait(request.start);
    const flight = flightOf(request, offset);
    while (!this.#mayBegin(request, flight)) await this.#flights.one();
  }

  #mayBegin(request: TraceRequest, flight: Flight): boolean {
    const flights = this.#flights;
    if (flights.count === 0) return true;
    if (flights.count >= this.#options.depth(request) || flights.bytes + flight.bytes > MAX_BYTES) return false;
    if (request.op === 'truncate' || flights.conflictsWith(flight)) return false;
    return this.#options.pace.mode === 'timed' || !flights.hasEndedBefore(request.start);
  }

  #issue(request: TraceRequest, place: Place): void {
    const { offset } = place;
    const { verifier, pretend } = this.#options;
    this.#firstStart ??= request.start;
    this.#lastEnd = Math.max(this.#lastEnd, request.end ?? request.start);
    if (pretend) {
      verifier?.note(request, place, request.result !== 0);
      return;
    }
    this.#measured.sample(request, offset);
    const memory = this.#prepare(request, place);
    const begin = clock();
    let done: Maybe<void>;
    try {
      done = this.#send(request, offset, memory);
    } catch (error) {
      this.#ended(request, { place, begin, memory }, error);
      return;
    }
    if (!(done instanceof Promise)) {
      this.#ended(request, { place, begin, memory }, undefined);
      return;
    }
    const flight = flightOf(request, offset);
    this.#flights.begin(flight);
    const end = (error: unknown): void => {
      this.#ended(request, { place, begin, memory }, error);
      this.#flights.end(flight);
    };
    const ended = done.then(() => end(undefined), end);
    if (request.op !== 'truncate') return;
    this.#resizing = ended.then(() => {
      this.#resizing = undefined;
    });
  }

  #prepare({ op, length }: TraceRequest, { offset, write }: Place): Buffer | undefined {
    if (!transfersData(op)) return undefined;
    const memory = this.#memory.take(length);
    if (op === 'write') fillContent(memory, { seed: this.#options.seed, number: write }, offset);
    return memory;
  }

  #send({ op, length, flags }: TraceRequest, offset: number, memory: Buffer | undefined): Maybe<void> {
    const { target } = this.#options;
    const known = flags & ~COPY_FLAG;
    if (op === 'read' && memory) return target.read(offset, memory);
    if (op === 'write' && memory) return target.write(offset, memory, known);
    if (op === 'zero') return target.zero(offset, length, known);
    if (op === 'discard') return target.discard(offset, length);
    return op === 'truncate' ? target.truncate(length) : target.flush();
  }

  #ended(
    request: TraceRequest,
    issued: { place: Place; begin: number; memory: Buffer | undefined },
    error: unknown,
  ): void {
    const { place, begin, memory } = issued;
    const { verifier } = this.#options;
    this.#measured.add(request, (clock() - begin) * 1e6, error !== undefined);
    if (error !== undefined && request.result === 0) this.#failed(request, error);
    verifier?.note(request, place, error !== undefined);
    if (request.op === 'read' && memory && error === undefined)
      verifier?.check(memory, place.offset, describe(request));
    if (memory) this.#memory.give(memory);
  }

  #failed(request: TraceRequest, error: unknown): void {
    this.#newErrors++;
    this.#options.onError?.(`${describe(request)}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Where a request goes, and which of the writes it is. */
export interface Place {
  readonly offset: number;
  readonly write: number;
}

function flightOf({ op, end, length }: TraceRequest, offset: number): Flight {
  const bytes = transfersData(op) ? length : 0;
  const placed = op === 'flush' || op === 'truncate' ? 0 : length;
  return { recordedEnd: end, offset, end: offset + placed, changes: changesContent(op), bytes };
}
