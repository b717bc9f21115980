/** Buffers for pieces, and the threads that hash what was read into them. */
import os from 'node:os';
import { Worker } from 'node:worker_threads';
import { BlockError } from '../../errors/block-error.ts';
import { builtThread } from '../../host/index.ts';
import { type HashReply, type HashRequest, type HashThreadSettings, hashPiece, PIECE } from './hash-piece.ts';
import type { Subtree } from './merkle-tree.ts';

/** More threads than this would wait for the one that reads. */
const MAX_THREADS = 8;
const SLOTS_PER_THREAD = 2;

type Waiter = { resolve(subtrees: readonly Subtree[]): void; reject(error: BlockError): void };

export class HashPool implements AsyncDisposable {
  readonly #algorithm: string;
  /** One that is with a thread is empty here until it comes back. */
  readonly #buffers: ArrayBuffer[];
  readonly #threads: Worker[] = [];
  readonly #waiting = new Map<number, Waiter>();
  #failure: BlockError | undefined;

  /** `threads` 0 hashes at once, on the thread of the caller; the default is one for each processor. */
  constructor(algorithm: string, threads = Math.min(MAX_THREADS, os.availableParallelism())) {
    this.#algorithm = algorithm;
    const file = builtThread('hash-thread');
    const count = file === undefined ? 0 : threads;
    this.#buffers = Array.from({ length: Math.max(1, count * SLOTS_PER_THREAD) }, () => new ArrayBuffer(PIECE));
    for (let i = 0; i < count && file !== undefined; i++) {
      const worker = new Worker(file, { workerData: { algorithm } satisfies HashThreadSettings });
      worker.on('message', (reply: HashReply) => this.#done(reply));
      worker.on('error', (error) => this.#fail(error.message));
      worker.on('exit', () => this.#fail('it has ended'));
      worker.unref();
      this.#threads.push(worker);
    }
  }

  /** Number of buffers. */
  get slots(): number {
    return this.#buffers.length;
  }

  /** The first `length` bytes of a buffer; it may be filled again when what was in it is hashed. */
  buffer(slot: number, length: number): Uint8Array {
    const buffer = this.#buffers[slot];
    if (!buffer) throw new Error(`there is no buffer ${slot}`);
    return Buffer.from(buffer, 0, length);
  }

  /** The subtrees of the first `length` bytes of a buffer. */
  hash(slot: number, length: number): Promise<readonly Subtree[]> {
    const worker = this.#threads[slot % this.#threads.length];
    const buffer = this.#buffers[slot];
    if (!worker || !buffer) return Promise.resolve(hashPiece(this.#algorithm, this.buffer(slot, length)));
    if (this.#failure) return Promise.reject(this.#failure);
    worker.ref();
    return new Promise((resolve, reject) => {
      this.#waiting.set(slot, { resolve, reject });
      worker.postMessage({ slot, buffer, length } satisfies HashRequest, [buffer]);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const worker of this.#threads) worker.removeAllListeners('exit');
    await Promise.all(this.#threads.map((worker) => worker.terminate()));
  }

  #done({ slot, buffer, subtrees }: HashReply): void {
    this.#buffers[slot] = buffer;
    const waiter = this.#waiting.get(slot);
    this.#waiting.delete(slot);
    waiter?.resolve(subtrees);
  }

  #fail(why: string): void {
    this.#failure ??= new BlockError(`a thread that hashes was lost: ${why}`);
    for (const waiter of this.#waiting.values()) waiter.reject(this.#failure);
    this.#waiting.clear();
  }
}
