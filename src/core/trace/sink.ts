/** Who takes the records out of the ring: a thread, or, where there is no file to start one from, we in between. */
import type { Worker } from 'node:worker_threads';
import { asBlockError, BlockError } from '../errors/block-error.ts';
import { builtThread } from '../host/index.ts';
import type { TraceNode } from './record.ts';
import type { RingWriter } from './ring-writer.ts';
import type { FromThread, ToThread } from './thread-messages.ts';
import { TraceWriter, type WriterSettings } from './writer.ts';

export interface Sink {
  addNode(node: TraceNode): void;
  /** Told when there is so much in the ring that somebody should begin to take it. */
  crowded?(): void;
  /** The ring is full. True when there is room again; false when nothing more is wanted. */
  makeRoom(): boolean;
  /** Everything is in the file when this ends; never rejects, `onFailure` has been called instead. */
  close(requests: number): Promise<void>;
}

export interface SinkSettings {
  readonly writer: WriterSettings;
  readonly ring: RingWriter;
  /** Called once, when writing does not work any more. */
  onFailure(error: BlockError): void;
}

/** A sink of the best kind there is. */
export function openSink(settings: SinkSettings): Sink {
  const file = builtThread('trace-thread');
  return file === undefined ? new InlineSink(settings) : new LateSink(file, settings);
}

/** How long records may wait for a thread, in milliseconds. */
const START_MS = 500;

/**
 * A thread, from when it is worth it: it takes a tenth of a second to start, which is longer than most commands run. What
 * fits in the ring, and is over before anybody would miss it in the file, is written by ourselves at the end.
 */
class LateSink implements Sink {
  readonly #file: string;
  readonly #settings: SinkSettings;
  readonly #nodes: TraceNode[] = [];
  readonly #timer: NodeJS.Timeout;
  #sink: Sink | undefined;

  constructor(file: string, settings: SinkSettings) {
    this.#file = file;
    this.#settings = settings;
    this.#timer = setInterval(() => this.#late(), START_MS).unref();
  }

  addNode(node: TraceNode): void {
    if (this.#sink) this.#sink.addNode(node);
    else this.#nodes.push(node);
  }

  crowded(): void {
    this.#startThread();
  }

  #late(): void {
    if (this.#settings.ring.recorded > 0) this.#startThread();
  }

  makeRoom(): boolean {
    return this.#startThread().makeRoom();
  }

  close(requests: number): Promise<void> {
    return (this.#sink ?? this.#begin(new InlineSink(this.#settings))).close(requests);
  }

  #startThread(): Sink {
    return this.#sink ?? this.#begin(new ThreadSink(this.#file, this.#settings));
  }

  #begin(sink: Sink): Sink {
    clearInterval(this.#timer);
    this.#sink = sink;
    for (const node of this.#nodes) sink.addNode(node);
    return sink;
  }
}

/** How long the thread may make no progress at all before tracing is given up, in milliseconds. */
const PATIENCE_MS = 10_000;

export class ThreadSink implements Sink {
  readonly #worker: Worker;
  readonly #settings: SinkSettings;
  readonly #ended: Promise<void>;
  #failed = false;

  constructor(file: string, settings: SinkSettings) {
    this.#settings = settings;
    // Loaded now, at once and not before: it brings all of Node's streams with it.
    const threads = process.getBuiltinModule('node:worker_threads');
    this.#worker = new threads.Worker(file, { workerData: settings.writer });
    this.#ended = new Promise((resolve) => {
      this.#worker.on('message', (message: FromThread) => {
        if (message.kind === 'closed') resolve();
        else this.#fail(new BlockError(message.message, { code: message.code }));
      });
      this.#worker.on('error', (error) => {
        this.#fail(this.#lost(asBlockError(error).message));
        resolve();
      });
      this.#worker.on('exit', () => resolve());
    });
    this.#worker.unref(); // a trace alone keeps no program alive
  }

  addNode(node: TraceNode): void {
    this.#say({ kind: 'node', node });
  }

  /** Requests wait as long as the thread gets on, so that none is lost; not for a file that takes nothing. */
  makeRoom(): boolean {
    const { ring } = this.#settings;
    if (this.#failed || ring.failed) return false;
    for (;;) {
      const { taken } = ring;
      if (ring.publishWithin(PATIENCE_MS)) return true;
      if (ring.failed) return false;
      if (ring.taken === taken) break;
    }
    this.#fail(this.#lost('it takes no data'));
    return false;
  }

  async close(requests: number): Promise<void> {
    this.#worker.ref();
    this.#say({ kind: 'close', requests });
    let taken: number | undefined;
    const patience = setInterval(() => {
      const now = this.#settings.ring.taken;
      if (now === taken) this.#leave();
      taken = now;
    }, PATIENCE_MS);
    await this.#ended;
    clearInterval(patience);
  }

  /** The thread is in a system call that does not end. */
  #leave(): void {
    this.#fail(this.#lost('it takes no data'));
    void this.#worker.terminate();
  }

  #say(message: ToThread): void {
    this.#worker.postMessage(message);
  }

  #fail(error: BlockError): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#settings.onFailure(error);
  }

  #lost(why: string): BlockError {
    return new BlockError(`trace file '${this.#settings.writer.path}': ${why}`, { code: 'EIO' });
  }
}

/** How often what there is is written, in milliseconds. */
const LINGER_MS = 500;

export class InlineSink implements Sink {
  readonly #settings: SinkSettings;
  #writer: TraceWriter | undefined;
  readonly #timer: NodeJS.Timeout;

  constructor(settings: SinkSettings) {
    this.#settings = settings;
    this.#attempt(() => {
      this.#writer = new TraceWriter(settings.writer);
    });
    this.#timer = setInterval(() => this.#drain(), LINGER_MS).unref();
  }

  addNode(node: TraceNode): void {
    this.#attempt(() => this.#writer?.addNode(node));
  }

  #drain(): void {
    this.#attempt(() => {
      this.#writer?.drain();
      this.#writer?.flush();
    });
  }

  makeRoom(): boolean {
    this.#drain();
    return this.#writer !== undefined && this.#settings.ring.publish();
  }

  async close(requests: number): Promise<void> {
    clearInterval(this.#timer);
    this.#attempt(() => this.#writer?.close(requests));
  }

  #attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#writer?.abandon();
      this.#writer = undefined;
      this.#settings.onFailure(asBlockError(error));
    }
  }
}
