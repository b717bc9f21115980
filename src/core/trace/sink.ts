/**
 * Who takes the records out of the ring and writes them: a thread, from when it is worth it, or, where there is no file to
 * start one from, we in between.
 */
import type { BlockError } from '../errors/block-error.ts';
import { builtThread } from '../host/index.ts';
import { InlineSink } from './inline-sink.ts';
import type { TraceNode } from './record.ts';
import type { RingWriter } from './ring-writer.ts';
import { ThreadSink } from './thread-sink.ts';
import type { WriterSettings } from './writer.ts';

/** Nothing here throws: `onFailure` is called instead. */
export interface Sink {
  addNode(node: TraceNode): void;
  /** Told once, when there is so much in the ring that somebody should begin to take it. */
  crowded(): void;
  /** Told several times a second. */
  linger(): void;
  /** The ring is full. True when there is room again; false when nothing more is wanted. */
  makeRoom(): boolean;
  /** Everything in the ring is in the file when this returns, so that the process may end. */
  save(): void;
  /**
   * Everything is in the file, and the file is closed when this ends: its length. Undefined when it could not be closed.
   * The last line says that it is all, so many requests; undefined: there is none, since something is missing.
   */
  close(requests: number | undefined): Promise<number | undefined>;
}

export interface SinkSettings {
  readonly writer: WriterSettings;
  readonly ring: RingWriter;
  /** Called once, when writing does not work any more. */
  onFailure(error: BlockError): void;
}

/** A sink of the best kind there is. */
export function openSink(settings: SinkSettings): Sink {
  const thread = builtThread('trace-thread');
  return thread === undefined ? new InlineSink(settings) : new LateSink(thread, settings);
}

/**
 * A thread, from when it is worth it: it takes a tenth of a second to start, which is longer than most commands run. What
 * fits in the ring, and is over before anybody would miss it in the file, is written by ourselves at the end; and so are
 * the lines about images until then, so that what the file is shows at once.
 */
export class LateSink implements Sink {
  readonly #thread: string;
  readonly #settings: SinkSettings;
  readonly #known: TraceNode[];
  readonly #inline: InlineSink;
  #sink: Sink;
  /** Something waited in the ring at the last look. */
  #waits = false;

  /** @param thread the file to start it from. */
  constructor(thread: string, settings: SinkSettings) {
    this.#thread = thread;
    this.#settings = settings;
    this.#known = [...settings.writer.known];
    this.#inline = new InlineSink(settings);
    this.#sink = this.#inline;
  }

  addNode(node: TraceNode): void {
    this.#known.push(node);
    this.#sink.addNode(node);
  }

  crowded(): void {
    this.#startThread();
  }

  /** The second look at the same records is the one that has them written. */
  linger(): void {
    if (this.#waits) this.#startThread().linger();
    else this.#waits = this.#settings.ring.recorded > 0;
  }

  makeRoom(): boolean {
    return this.#startThread().makeRoom();
  }

  save(): void {
    this.#sink.save();
  }

  close(requests: number | undefined): Promise<number | undefined> {
    return this.#sink.close(requests);
  }

  /** Where that must not be, or writing has failed already, all stays as it is. */
  #startThread(): Sink {
    if (this.#sink !== this.#inline || this.#inline.failed) return this.#sink;
    const writer = { ...this.#settings.writer, known: this.#known };
    try {
      this.#sink = new ThreadSink(this.#thread, { ...this.#settings, writer });
    } catch {
      // Node was told to allow no threads (`--permission`).
    }
    return this.#sink;
  }
}
