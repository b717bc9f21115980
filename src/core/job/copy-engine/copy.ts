/**
 * The copy engine: moves disks into another, for mirror, backup, stream, commit and rebase alike.
 *
 *     planner ──segments──▶ workers: throttle ─▶ read ─▶ turn ─▶ begin writes ─▶ wait for them
 *
 * The workers take segments in the order of offsets; each has one buffer, so what is in flight is bounded in number and
 * in bytes. A worker whose requests complete at once goes straight on to its next segment; the others come in when one
 * has to wait. By default the copy is parallel but orderly: the writes of a segment begin only when those of the one
 * before have begun, so that a target which allocates as it is written to lays the disk out in its order. `unordered`
 * drops that. When a segment fails, nothing behind it begins, and what is before it comes to its end: so it is always the
 * first failure on the disk that is told, whichever request in flight ended first. All have ended when the copy returns.
 */
import { clock } from '../../async/clock.ts';
import { after, attempt, type Maybe } from '../../async/maybe.ts';
import { nextTurn } from '../../async/turn.ts';
import { Cancelled, withContext } from '../../errors/block-error.ts';
import { alignedBuffer } from '../../host/index.ts';
import { BEFORE_ALL, FirstFailure } from '../first-failure.ts';
import { Offload, piecesOf } from './offload.ts';
import { OrderedNotes } from './ordered-notes.ts';
import { endOf, Planner } from './planner.ts';
import { Reader } from './reader.ts';
import { Turnstile } from './turnstile.ts';
import type { CopyOptions, Segment } from './types.ts';
import { Writer } from './writer.ts';

/** Bytes of a transfer, unless the target's clusters are larger. */
export const TRANSFER = 1024 * 1024;
/** Shorter when compressing: every cluster in flight has a compressor of its own. */
const COMPRESSED_TRANSFER = 256 * 1024;
const MAX_TRANSFER = 2 * 1024 * 1024;
export const DEFAULT_PARALLEL = 8;
export const DEFAULT_SPARSE = 4096;
/** Holes that are read along rather than kept apart. */
const JOIN_GAP = 32 * 1024;
/** Longest zeroing request. */
const MAX_ZERO = 1024 * 1024 * 1024;
/** Longest time in milliseconds without a look at timers and signals. */
const SLICE_MS = 10;
const PAGE = 4096;
/** Segments that are only counted between two pauses. */
const PAUSE_EVERY = 256;

/**
 * Bytes that a copy is going to read, as far as block status can tell; undefined where that cannot be had. With
 * {@link CopyOptions.known}, that copy need not ask for it again. `pause` is called now and then.
 */
export async function dataToCopy(options: CopyOptions, pause: () => Maybe<void>): Promise<number | undefined> {
  const planner = plannerFor(options);
  let bytes = 0;
  try {
    for (let index = 0; ; index++) {
      const segment = await planner.next();
      if (!segment) return bytes;
      if (segment.kind === 'data') bytes += segment.length;
      if (index % PAUSE_EVERY === 0) await pause();
    }
  } catch (error) {
    if (error instanceof Cancelled) throw error;
    return undefined;
  }
}

/** Copy all sources to the target. Throws what ended it, with nothing in flight any more. */
export async function copy(options: CopyOptions): Promise<void> {
  await new Copy(options).run();
}

/** Bytes of allocation that are written as one. */
function clusterOf({ target, compressed = false }: CopyOptions): number {
  return Math.max(target.unit ?? 1, compressed ? (target.clusterSize ?? 1) : 1);
}

function transferOf(options: CopyOptions): number {
  const usual = options.compressed ? COMPRESSED_TRANSFER : TRANSFER;
  return options.transfer ?? Math.min(MAX_TRANSFER, Math.max(usual, clusterOf(options)));
}

/** What is to be compressed has to come through memory. */
function offloads({ offload = false, compressed = false }: CopyOptions): boolean {
  return offload && !compressed;
}

function plannerFor(options: CopyOptions, offload?: Offload): Planner {
  const { sources, target, sparse = DEFAULT_SPARSE } = options;
  const transfer = transferOf(options);
  return new Planner({
    sources,
    transfer,
    offload,
    shorter: () => options.control.evenLength?.() ?? Number.POSITIVE_INFINITY,
    unit: sparse === 0 && !options.compressed ? 1 : Math.min(clusterOf(options), transfer),
    // What the kernel copies nobody looks at for zeroes.
    joinGap: offloads(options) || sparse === 0 ? 0 : JOIN_GAP,
    minZero: sparse,
    maxZero: target.readsZero ? Number.POSITIVE_INFINITY : MAX_ZERO,
    everything: sparse === 0,
    wholeUnits: options.compressed ?? false,
    known: options.known,
    onStatusError: (error, offset) => {
      // Who moves segments in a way of his own looks there himself, and decides about errors.
      if (!options.salvage && !options.move)
        throw withContext(`error while reading block status at offset ${offset}`, error);
    },
  });
}

class Copy {
  readonly #options: CopyOptions;
  readonly #planner: Planner;
  readonly #reader = new Reader();
  readonly #writer: Writer;
  readonly #turn = new Turnstile();
  readonly #notes = new OrderedNotes((note) => this.#options.control.warn(note));
  readonly #transfer: number;
  readonly #offload: Offload | undefined;
  /** By the order of segments. */
  readonly #failure = new FirstFailure();
  #lastYield = clock();

  constructor(options: CopyOptions) {
    const { target, sparse = DEFAULT_SPARSE, compressed = false } = options;
    this.#options = options;
    this.#transfer = transferOf(options);
    this.#writer = new Writer({ target, sparse, compressed });
    this.#offload = offloads(options) ? new Offload() : undefined;
    this.#planner = plannerFor(options, this.#offload);
  }

  async run(): Promise<void> {
    const { parallel = DEFAULT_PARALLEL, unordered, target } = this.#options;
    const image = unordered ? undefined : target.backend.image.layer.image;
    const workers: Promise<void>[] = [];
    image?.layOutInOrder?.(true);
    for (let i = 0; i < parallel; i++) workers.push(this.#work());
    await Promise.all(workers);
    image?.layOutInOrder?.(false);
    this.#notes.tellRest();
    this.#failure.throwIfThere();
  }

  /** Take segments until there are none; never rejects. */
  async #work(): Promise<void> {
    const { control } = this.#options;
    let made: Uint8Array | undefined;
    const buffer = (): Uint8Array => {
      made ??= this.#newBuffer();
      return made;
    };
    // Whoever wants no more, wants nothing more of what is planned already.
    let index = BEFORE_ALL;
    try {
      while (!this.#failure.isThere) {
        index = BEFORE_ALL;
        const paused = control.checkpoint();
        if (paused) await paused;
        if (clock() - this.#lastYield > SLICE_MS) await this.#yield();
        index = Number.POSITIVE_INFINITY;
        const next = this.#planner.next();
        const segment = next instanceof Promise ? await next : next;
        if (!segment) return;
        index = segment.index;
        const done = this.#deal(segment, buffer, next instanceof Promise);
        if (done) await done;
      }
    } catch (error) {
      this.#fail(error, error instanceof Cancelled ? BEFORE_ALL : index);
    }
  }

  /** @param late time has passed since the last look at whether to go on */
  #deal(segment: Segment, buffer: () => Uint8Array, late: boolean): Maybe<void> {
    const { control } = this.#options;
    return attempt(
      () =>
        after(late ? control.checkpoint() : undefined, () => {
          if (this.#failure.isBefore(segment.index)) return;
          return after(this.#process(segment, buffer), () => {
            this.#notes.end(segment.index);
            control.advance(segment.length, segment.kind);
          });
        }),
      () => {
        if (segment.mapped) this.#offload?.ended();
      },
    );
  }

  #fail(error: unknown, index: number): void {
    if (this.#failure.note(index, error)) this.#turn.endAt(index);
  }

  async #yield(): Promise<void> {
    await nextTurn();
    this.#lastYield = clock();
  }

  #newBuffer(): Uint8Array {
    const { sources, target } = this.#options;
    const wanted = [target.backend, ...sources.map((source) => source.backend)].map(
      (backend) => backend.limits.memoryAlignment ?? 1,
    );
    return alignedBuffer(this.#transfer, Math.max(PAGE, ...wanted));
  }

  #process(segment: Segment, buffer: () => Uint8Array): Maybe<void> {
    const { kind, offset, length } = segment;
    if (kind === 'skip') return this.#inTurn(segment, () => undefined);
    const { move, control } = this.#options;
    if (kind === 'zero') {
      this.#options.observe?.(segment, undefined);
      const zero = (): Maybe<void> => this.#change(segment, () => this.#writer.zero(offset, length));
      return move ? move(segment, zero) : zero();
    }
    return after(control.throttle(length), () => {
      // One that is not mapped after all may be as long as one that is.
      const isOrdinary = !segment.mapped && length <= this.#transfer;
      const usual = (): Maybe<void> =>
        isOrdinary ? this.#copyData(segment, buffer()) : this.#copyBelow(segment, buffer);
      return move ? move(segment, usual) : usual();
    });
  }

  #copyData(segment: Segment, buffer: Uint8Array): Maybe<void> {
    const buf = buffer.subarray(0, segment.length);
    return after(this.#read(segment, buf), (there) => {
      if (there) {
        this.#options.observe?.(segment, buf);
        return this.#change(segment, () => this.#writer.write(segment.offset, buf));
      }
      return this.#inTurn(segment, () => undefined);
    });
  }

  /** In the kernel, or else through memory, once its turn has come. */
  async #copyBelow(segment: Segment, buffer: () => Uint8Array): Promise<void> {
    const { source, offset, length } = segment;
    const { backend } = this.#options.target;
    const inKernel = (): Maybe<boolean> =>
      source.backend.copyRangeTo(offset - source.targetOffset, backend, offset, length);
    const inMemory = async (): Promise<void> => {
      for (const piece of piecesOf(segment, this.#transfer)) {
        if (this.#failure.isBefore(segment.index)) return;
        await this.#copyNow(piece, buffer().subarray(0, piece.length));
      }
    };
    if (!segment.mapped) return this.#holdingTurn(segment, inMemory);
    const copied = (): Maybe<boolean | undefined> => this.#offload?.copied(inKernel);
    if (!this.#offload?.onTrial) return (await this.#inTurn(segment, copied)) ? undefined : inMemory();
    // It may be the first of many that go through memory, and these are to be laid out in order.
    await this.#holdingTurn(segment, async () => ((await copied()) ? undefined : inMemory()));
  }

  /** Through memory, when the turn of its segment has come already. */
  async #copyNow(segment: Segment, buf: Uint8Array): Promise<void> {
    const write = (): Maybe<void> => this.#writer.write(segment.offset, buf);
    if (!(await this.#read(segment, buf))) return;
    try {
      await write();
    } catch (error) {
      await this.#writeFailed(segment, write, error);
    }
  }

  /** False when the range is to be left out. */
  #read(segment: Segment, buf: Uint8Array): Maybe<boolean> {
    const end = segment.offset + segment.length;
    if (end <= endOf(segment.source)) return this.#readPart(segment, buf);
    return this.#readAcross(segment, buf);
  }

  /** A segment that goes on into the sources behind its own. */
  async #readAcross(segment: Segment, buf: Uint8Array): Promise<boolean> {
    const end = segment.offset + segment.length;
    let at = segment.offset;
    for (const source of this.#options.sources) {
      const stop = Math.min(end, endOf(source));
      if (stop <= at) continue;
      const part = { ...segment, source, offset: at, length: stop - at };
      if (!(await this.#readPart(part, buf.subarray(at - segment.offset, stop - segment.offset)))) return false;
      at = stop;
    }
    return true;
  }

  #readPart(segment: Segment, buf: Uint8Array): Maybe<boolean> {
    const { source, offset } = segment;
    try {
      const done = this.#reader.read(source.backend, offset - source.targetOffset, buf);
      if (!(done instanceof Promise)) return true;
      return done.then(
        () => true,
        (error: unknown) => this.#readFailed(segment, buf, error),
      );
    } catch (error) {
      return this.#readFailed(segment, buf, error);
    }
  }

  async #readFailed(segment: Segment, buf: Uint8Array, error: unknown): Promise<boolean> {
    const { control, salvage } = this.#options;
    const { source, offset } = segment;
    const at = offset - source.targetOffset;
    if (salvage) {
      await this.#reader.salvage(source.backend, { offset: at, buf }, (start, length, why) =>
        this.#notes.note(
          segment.index,
          `${length} bytes at byte ${start} could not be read and are replaced by zeroes: ${why.message}`,
        ),
      );
      return true;
    }
    for (let last = error; ; ) {
      const next = await control.onError('read', withContext(`error while reading at byte ${at}`, last), segment);
      if (next === 'ignore') return false;
      try {
        await source.backend.read(at, buf);
        return true;
      } catch (again) {
        last = again;
      }
    }
  }

  /** Begin a request that changes the target when its turn has come, and see it through. */
  #change(segment: Segment, begin: () => Maybe<void>): Maybe<void> {
    const failed = (error: unknown): Promise<void> => this.#writeFailed(segment, begin, error);
    try {
      const done = this.#inTurn(segment, begin);
      return done instanceof Promise ? done.catch(failed) : done;
    } catch (error) {
      return failed(error);
    }
  }

  async #writeFailed(segment: Segment, begin: () => Maybe<void>, error: unknown): Promise<void> {
    for (let last = error; ; ) {
      const next = await this.#options.control.onError(
        'write',
        withContext(`error while writing at byte ${segment.offset}`, last),
        segment,
      );
      if (next === 'ignore') return;
      try {
        return await begin();
      } catch (again) {
        last = again;
      }
    }
  }

  /** Nothing begins any more once something before it has failed. */
  #inTurn<T>({ index }: Segment, begin: () => Maybe<T>): Maybe<T | undefined> {
    if (this.#options.unordered) return begin();
    return after(this.#turn.wait(index), () => {
      if (this.#failure.isBefore(index)) return;
      try {
        return begin();
      } finally {
        this.#turn.pass(index);
      }
    });
  }

  /** The next one has to wait until `action` has ended. */
  async #holdingTurn({ index }: Segment, action: () => Promise<void>): Promise<void> {
    if (this.#options.unordered) return action();
    await this.#turn.wait(index);
    if (this.#failure.isBefore(index)) return;
    await action();
    this.#turn.pass(index);
  }
}
