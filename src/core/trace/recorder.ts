/**
 * Recording the requests of a program in one file. What happens on the way of a request is two readings of the
 * clock and a few numbers put into a ring; text is made and written elsewhere (`sink.ts`).
 *
 * The file is a process's own business: the first who records in it begins it anew, and all that follow, together
 * or one after the other, go on with it, so that an image that is opened again loses nothing of its first part.
 * Whatever goes wrong with the file ends the recording with one warning, and no request ever hears of it.
 */
import type { BlockError } from '../errors/block-error.ts';
import { errnoOf, type TraceNode } from './record.ts';
import { ringMemory } from './ring-memory.ts';
import { type Issued, RingWriter } from './ring-writer.ts';
import { openSink, type Sink } from './sink.ts';
import { claimTraceFile, closeTraceFile, emptyTraceFile, lengthOf, type TraceFile } from './trace-file.ts';

/** How often the last few records are shown to the writer, in milliseconds. */
const LINGER_MS = 250;

export class TraceRecorder {
  readonly #program: string;
  readonly #known: TraceNode[] = [];
  readonly #origin = process.hrtime.bigint();
  readonly #wallClock = new Date();
  #users = 0;
  #next = 0;
  /** Records of the rings that were finished. */
  #recorded = 0;
  #ring: RingWriter | undefined;
  /** There is one from the first user until, after the last one, everything is in the file. */
  #sink: Sink | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Length of the file when it was closed, in bytes. */
  #length: number | undefined;
  /** The closing of the last time: a further user waits for it. */
  #closing: Promise<void> | undefined;
  #failure: BlockError | undefined;

  constructor(program: string) {
    this.#program = program;
  }

  /** What is in `file`, which is the one it was, is still what this recorder wrote. */
  continues(file: TraceFile): boolean {
    return this.#users > 0 || this.#sink !== undefined || this.#length === lengthOf(file);
  }

  /**
   * Begin, or go on, with a further image; its index. `file` is the recorder's from now on. Throws when it must not be
   * begun anew.
   */
  async join(file: TraceFile, node: TraceNode, warn: (message: string) => void): Promise<number> {
    this.#users++;
    await this.#closing;
    try {
      this.#open(file, warn);
    } catch (error) {
      this.#users--;
      throw error;
    }
    this.#sink?.addNode(node);
    return this.#known.push(node) - 1;
  }

  #open(file: TraceFile, warn: (message: string) => void): void {
    if (this.#sink || this.#failure) {
      closeTraceFile(file);
      // Who comes while others are here has been warned with them.
      if (this.#failure && this.#users === 1) warn(`${this.#failure.message}; nothing more is recorded there`);
      return;
    }
    takeOver(file, this.#known.length === 0);
    const memory = ringMemory();
    const ring = new RingWriter(memory, () => this.#sink?.crowded());
    this.#ring = ring;
    const header = { program: this.#program, wallClock: this.#wallClock };
    this.#sink = openSink({
      ring,
      writer: { file, origin: this.#origin, known: [...this.#known], header, ring: memory },
      onFailure: (error) => {
        this.#failure = error;
        this.#ring = undefined;
        warn(`${error.message}; tracing ends here`);
      },
    });
    this.#timer = setInterval(() => this.#linger(), LINGER_MS).unref();
  }

  #linger(): void {
    this.#ring?.publish();
    this.#sink?.linger();
  }

  /** Number of a request that is issued now. */
  take(): number {
    return this.#next++;
  }

  /**
   * Where the next request goes that may return at once: to be told of its begin and of its return. Undefined when
   * nothing is recorded any more.
   */
  get ring(): RingWriter | undefined {
    return this.#ring;
  }

  /** The request has ended now, well or with the error of this number. */
  record(issued: Issued, errno: number): void {
    const ring = this.#ring;
    if (ring === undefined) return;
    if (!ring.add(issued, errno) && !(this.#sink?.makeRoom() && ring.add(issued, errno))) {
      this.#ring = undefined;
    }
  }

  /** It has turned out to be no request. When others have begun since, its number is used up by a failure. */
  forget(issued: Issued): void {
    if (issued.number + 1 === this.#next) this.#next--;
    else this.record(issued, errnoOf('ENOTSUP'));
  }

  /** A user leaves; with the last one the file is finished, and everything is in it when this ends. */
  async leave(): Promise<void> {
    if (--this.#users > 0) return;
    const sink = this.#sink;
    if (!sink) return;
    this.#closing = this.#finish(sink);
    await this.#closing;
  }

  async #finish(sink: Sink): Promise<void> {
    this.#handOver(sink);
    clearInterval(this.#timer);
    this.#recorded += this.#ring?.recorded ?? 0;
    this.#ring = undefined;
    this.#length = await sink.close(this.#failure ? undefined : this.#recorded);
    this.#sink = undefined;
  }

  /** All that has been recorded goes to the ring. */
  #handOver(sink: Sink): void {
    if (this.#ring?.publish() === false) sink.makeRoom();
  }

  /** The process is about to end, whoever still records: put into the file, at once, what there is. */
  save(): void {
    const sink = this.#sink;
    if (!sink) return;
    this.#handOver(sink);
    sink.save();
  }
}

/** Throws with `file` closed, and as it was. */
function takeOver(file: TraceFile, anew: boolean): void {
  try {
    claimTraceFile(file);
    if (anew) emptyTraceFile(file);
  } catch (error) {
    closeTraceFile(file);
    throw error;
  }
}
