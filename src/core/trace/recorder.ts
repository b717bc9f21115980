/**
 * Recording the requests of a program in one file. What happens on the way of a request is two readings of the
 * clock and a few numbers put into a ring; text is made and written elsewhere (`sink.ts`).
 *
 * The file is a process's own business: the first recorder of a path begins it anew, and all that follow, together
 * or one after the other, go on with it, so that an image that is opened again loses nothing of its first part.
 * Whatever goes wrong with the file ends the recording with one warning, and no request ever hears of it.
 */
import fs from 'node:fs';
import type { BlockError } from '../errors/block-error.ts';
import { errnoOf, type TraceNode } from './record.ts';
import { type RingMemory, ringMemory } from './ring-memory.ts';
import { type Issued, RingWriter } from './ring-writer.ts';
import { openSink, type Sink } from './sink.ts';

/** How often the last few records are shown to the writer, in milliseconds. */
const LINGER_MS = 250;

export class TraceRecorder {
  readonly #path: string;
  readonly #program: string;
  readonly #known: TraceNode[] = [];
  readonly #origin = process.hrtime.bigint();
  readonly #wallClock = new Date();
  #users = 0;
  #next = 0;
  /** Records of the rings that were finished. */
  #recorded = 0;
  #ring: RingWriter | undefined;
  #sink: Sink | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Which file it was, and how long, when it was closed. */
  #identity: string | undefined;
  /** The closing of the last time: a further user waits for it. */
  #closing: Promise<void> | undefined;
  #failure: BlockError | undefined;

  constructor(path: string, program: string) {
    this.#path = path;
    this.#program = program;
  }

  /** The file is still the one that this recorder wrote. */
  get continues(): boolean {
    return this.#users > 0 || (this.#identity !== undefined && this.#identity === identityOf(this.#path));
  }

  /** Begin, or go on, with a further image; its index. Throws when the file cannot be made. */
  async join(node: TraceNode, warn: (message: string) => void): Promise<number> {
    this.#users++;
    await this.#closing;
    try {
      this.#open(warn);
    } catch (error) {
      this.#users--;
      throw error;
    }
    this.#sink?.addNode(node);
    return this.#known.push(node) - 1;
  }

  #open(warn: (message: string) => void): void {
    if (this.#sink || this.#failure) return;
    // Made here, so that a name that does not work is an error at once and not a warning later on.
    if (this.#known.length === 0) makeEmpty(this.#path);
    const memory = ringMemory();
    const ring = new RingWriter(memory, () => this.#sink?.crowded?.());
    this.#ring = ring;
    this.#timer = setInterval(() => ring.publish(), LINGER_MS).unref();
    this.#sink = openSink({
      ring,
      writer: this.#writerSettings(memory),
      onFailure: (error) => {
        this.#failure = error;
        this.#ring = undefined;
        warn(`${error.message}; tracing ends here`);
      },
    });
  }

  #writerSettings(ring: RingMemory): Parameters<typeof openSink>[0]['writer'] {
    const header = { program: this.#program, wallClock: this.#wallClock };
    return { path: this.#path, origin: this.#origin, known: [...this.#known], header, ring };
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
    if (this.#ring?.publish() === false) sink.makeRoom();
    clearInterval(this.#timer);
    this.#recorded += this.#ring?.recorded ?? 0;
    this.#sink = undefined;
    this.#ring = undefined;
    this.#closing = sink.close(this.#recorded);
    await this.#closing;
    this.#identity = identityOf(this.#path);
  }
}

function identityOf(path: string): string | undefined {
  const stat = fs.statSync(path, { throwIfNoEntry: false });
  return stat && `${stat.dev}:${stat.ino}:${stat.size}`;
}

/** Not a pipe: its reader would take the closing for the end. */
function makeEmpty(path: string): void {
  if (!fs.statSync(path, { throwIfNoEntry: false })?.isFIFO()) fs.closeSync(fs.openSync(path, 'w', 0o666));
}
