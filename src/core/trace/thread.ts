/**
 * The thread that writes a trace: an entry of its own, built to `dist/cli/trace-thread.cjs`. It comes by the ring
 * every few milliseconds while there are requests, and less often when there are none.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { asBlockError } from '../errors/block-error.ts';
import { RingReader } from './ring-reader.ts';
import type { FromThread, ToThread } from './thread-messages.ts';
import { TraceWriter, type WriterSettings } from './writer.ts';

/** The ring holds what fastest reading makes in twice the longer time: nobody has to wake us, which is slow. */
const BUSY_MS = 10;
const IDLE_MS = 40;
/** Looks at the ring after which what there is goes to the file even if it is little: half a second or more. */
const FLUSH_TURNS = 50;

class Thread {
  #writer: TraceWriter | undefined;
  #timer: NodeJS.Timeout | undefined;
  #turns = 0;
  readonly #ring: RingReader;
  readonly #say: (message: FromThread) => void;

  constructor(settings: WriterSettings, say: (message: FromThread) => void) {
    this.#ring = new RingReader(settings.ring);
    this.#say = say;
    this.#attempt(() => {
      this.#writer = new TraceWriter(settings);
    });
    this.#look();
  }

  hear(message: ToThread): void {
    this.#attempt(() => {
      if (message.kind === 'node') this.#writer?.addNode(message.node);
      else this.#writer?.finish(message.requests);
    });
    if (message.kind !== 'close') return;
    clearTimeout(this.#timer);
    this.#ring.finish();
  }

  #look(): void {
    let busy = false;
    this.#attempt(() => {
      busy = this.#writer?.drain() ?? false;
      if (++this.#turns % FLUSH_TURNS === 0 || !busy) this.#writer?.flush();
    });
    this.#timer = this.#writer && setTimeout(() => this.#look(), busy ? BUSY_MS : IDLE_MS);
  }

  #attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#writer?.abandon();
      this.#writer = undefined;
      this.#ring.fail();
      const { message, code } = asBlockError(error);
      this.#say({ kind: 'failed', message, code });
    }
  }
}

/** Loading the file is running the thread. */
if (parentPort) {
  const port = parentPort;
  const thread = new Thread(workerData as WriterSettings, (message) => port.postMessage(message));
  port.on('message', (message: ToThread) => {
    thread.hear(message);
    if (message.kind !== 'close') return;
    port.postMessage({ kind: 'closed' } satisfies FromThread);
    port.close();
  });
}
