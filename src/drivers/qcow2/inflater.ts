/**
 * Raw inflate states that are kept and reset, for clusters of one size.
 *
 * A zlib stream of Node ends for good when bytes follow the end of its data, as they do in a stored cluster, and
 * making one for each cluster takes the main thread about as long as inflating takes the pool. So the two hooks
 * that Node documents for those who implement streams are used by themselves: `_transform` starts the work,
 * `push` gets what comes out, and null where bytes are left over. The stream around them is never run.
 */
import type { InflateRaw } from 'node:zlib';
import { badCluster } from './bad-cluster.ts';
import { zlib } from './zlib.ts';

const WINDOW_BITS = 12;
/** Output is cut from a buffer of several clusters, so that few clusters come in two pieces. */
const OUTPUT_CLUSTERS = 8;
const MIN_OUTPUT = 256 * 1024;
const MAX_OUTPUT = 4 * 1024 * 1024;
/** Bytes of output buffers that idle states may keep. */
const MAX_IDLE_BYTES = 16 * 1024 * 1024;

export class InflaterPool {
  readonly #idle: Inflater[] = [];
  readonly #clusterSize: number;
  readonly #chunkSize: number;

  constructor(clusterSize: number) {
    this.#clusterSize = clusterSize;
    this.#chunkSize = Math.min(MAX_OUTPUT, Math.max(MIN_OUTPUT, OUTPUT_CLUSTERS * clusterSize));
  }

  /** What `stored` inflates to; at most about one output buffer more than a cluster. */
  async inflate(stored: Uint8Array): Promise<Uint8Array> {
    const state = this.#idle.pop() ?? new Inflater(this.#clusterSize, this.#chunkSize);
    const data = await state.run(stored);
    if (this.#idle.length * this.#chunkSize < MAX_IDLE_BYTES) this.#idle.push(state);
    return data;
  }
}

interface Settle {
  resolve(data: Uint8Array): void;
  reject(error: unknown): void;
}

class Inflater {
  readonly #stream: InflateRaw;
  readonly #limit: number;
  #pieces: Uint8Array[] = [];
  #length = 0;
  #settle: Settle | undefined;

  constructor(limit: number, chunkSize: number) {
    this.#limit = limit;
    this.#stream = zlib().createInflateRaw({
      windowBits: WINDOW_BITS,
      chunkSize,
      flush: zlib().constants.Z_SYNC_FLUSH,
    });
    this.#stream.push = (piece: Uint8Array | null) => this.#take(piece);
    this.#stream.on('error', (error) => this.#fail(error));
  }

  run(stored: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#stream._transform(stored, 'binary', (error) => (error ? this.#fail(error) : this.#done()));
    });
  }

  #take(piece: Uint8Array | null): boolean {
    if (piece === null) {
      this.#done();
      return false;
    }
    this.#pieces.push(piece);
    this.#length += piece.length;
    if (this.#length > this.#limit) {
      this.#fail(badCluster(`it unpacks to more than the cluster size ${this.#limit}`));
      this.#stream.destroy();
    }
    return true;
  }

  #done(): void {
    const settle = this.#settle;
    if (!settle) return;
    const [first = new Uint8Array(0), ...more] = this.#pieces;
    this.#clear();
    this.#stream.reset();
    settle.resolve(more.length === 0 ? first : Buffer.concat([first, ...more]));
  }

  #fail(error: unknown): void {
    const settle = this.#settle;
    this.#clear();
    settle?.reject(error);
  }

  #clear(): void {
    this.#pieces = [];
    this.#length = 0;
    this.#settle = undefined;
  }
}
