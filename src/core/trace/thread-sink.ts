/** Records written by a thread (`thread.ts`). */
import type { Worker } from 'node:worker_threads';
import { asBlockError, BlockError } from '../errors/block-error.ts';
import type { TraceNode } from './record.ts';
import type { Sink, SinkSettings } from './sink.ts';
import type { FromThread, ToThread } from './thread-messages.ts';
import { closeTraceFile, lengthOf } from './trace-file.ts';

/** How long the thread may make no progress at all before tracing is given up, in milliseconds. */
const PATIENCE_MS = 10_000;
/** How long the end of the process may be put off for what has not been written, in milliseconds. */
const LAST_MS = 2000;

export class ThreadSink implements Sink {
  readonly #worker: Worker;
  readonly #settings: SinkSettings;
  readonly #ended: Promise<void>;
  #failed = false;
  #closed = false;

  /** Throws where no thread may be started. */
  constructor(file: string, settings: SinkSettings) {
    this.#settings = settings;
    // Loaded now, at once and not before: it brings all of Node's streams with it.
    const threads = process.getBuiltinModule('node:worker_threads');
    // What Node itself was told is about the program: a debugger, say, or its text on the command line.
    this.#worker = new threads.Worker(file, { workerData: settings.writer, execArgv: [] });
    this.#ended = new Promise((resolve) => {
      this.#worker.on('message', (message: FromThread) => {
        if (message.kind === 'failed') this.#fail(new BlockError(message.message, { code: message.code }));
        else {
          this.#closed = true;
          resolve();
        }
      });
      this.#worker.on('error', (error) => this.#fail(this.#lost(asBlockError(error).message)));
      this.#worker.on('exit', () => {
        if (!this.#closed) this.#fail(this.#lost('the thread that writes it has ended'));
        resolve();
      });
    });
    this.#worker.unref(); // a trace alone keeps no program alive
  }

  addNode(node: TraceNode): void {
    this.#say({ kind: 'node', node });
  }

  crowded(): void {}

  linger(): void {}

  /** Requests wait as long as the thread gets on, so that none is lost; not for a file that takes nothing. */
  makeRoom(): boolean {
    const { ring } = this.#settings;
    if (this.#failed || ring.failed) return false;
    let { taken } = ring;
    let since = performance.now();
    // Waiting may end before there is room, and even before anything was taken: by the word of what was taken before.
    while (performance.now() - since < PATIENCE_MS) {
      if (ring.publishWithin(PATIENCE_MS)) return true;
      if (ring.failed) return false;
      if (ring.taken === taken) continue;
      taken = ring.taken;
      since = performance.now();
    }
    this.#fail(this.#lost('it takes no data'));
    return false;
  }

  save(): void {
    this.#say({ kind: 'close', requests: undefined });
    this.#settings.ring.whenFinished(LAST_MS);
  }

  async close(requests: number | undefined): Promise<number | undefined> {
    this.#worker.ref();
    this.#say({ kind: 'close', requests });
    if (!(await this.#endsInTime())) {
      // In a system call that does not end, and perhaps never will: the file must stay open for it.
      this.#fail(this.#lost('it takes no data'));
      void this.#worker.terminate();
      return undefined;
    }
    const { file } = this.#settings.writer;
    const length = lengthOf(file);
    closeTraceFile(file);
    return length;
  }

  /** Wait for the thread as long as it gets on; false when it does not. */
  async #endsInTime(): Promise<boolean> {
    let patience: NodeJS.Timeout | undefined;
    let taken: number | undefined;
    const stuck = new Promise<false>((resolve) => {
      patience = setInterval(() => {
        const now = this.#settings.ring.taken;
        if (now === taken) resolve(false);
        taken = now;
      }, PATIENCE_MS);
    });
    try {
      return await Promise.race([this.#ended.then(() => true), stuck]);
    } finally {
      clearInterval(patience);
    }
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
    return new BlockError(`trace file '${this.#settings.writer.file.path}': ${why}`, { code: 'EIO' });
  }
}
