/** Writing for a copy: data as it is or compressed, zeroes as cheaply as the target allows. */
import { all, type Maybe } from '../../async/maybe.ts';
import { Flag } from '../../block/driver.ts';
import { isZero, nextRun } from '../../bytes/zero.ts';
import type { CopyTarget } from './types.ts';

export interface WriteOptions {
  readonly target: CopyTarget;
  /** Shortest run of zeroes that is looked for, in bytes; 0 looks for none. */
  readonly sparse: number;
  readonly compressed: boolean;
}

export class Writer {
  readonly #target: CopyTarget;
  readonly #compressed: boolean;
  readonly #cluster: number;
  /** Blocks that are zero as a whole or count as data, and the shortest run of such that counts; 0 for none. */
  readonly #granularity: number;
  readonly #minZero: number;

  constructor({ target, sparse, compressed }: WriteOptions) {
    this.#target = target;
    this.#compressed = compressed;
    this.#cluster = target.clusterSize ?? 1;
    this.#granularity = sparse === 0 ? 0 : Math.max(2 ** Math.floor(Math.log2(sparse)), target.unit ?? 1);
    this.#minZero = Math.max(sparse, this.#granularity);
  }

  /** Write `buf` at `offset`: all requests begin before this returns, in the order of offsets. */
  write(offset: number, buf: Uint8Array): Maybe<void> {
    const pending: Promise<void>[] = [];
    try {
      if (this.#compressed) this.#writeClusters(offset, buf, pending);
      else this.#writeRuns(offset, buf, pending);
    } catch (error) {
      if (pending.length === 0) throw error;
      pending.push(Promise.reject(error));
    }
    return pending.length === 1 ? pending[0] : all(pending);
  }

  /** Make a range read as zeroes; nothing to do where it does already. */
  zero(offset: number, length: number): Maybe<void> {
    if (this.#target.readsZero) return;
    return this.#target.backend.zero(offset, length, Flag.MAY_UNMAP);
  }

  #writeRuns(offset: number, buf: Uint8Array, pending: Promise<void>[]): void {
    const { backend } = this.#target;
    if (this.#granularity === 0) {
      collect(backend.write(offset, buf), pending);
      return;
    }
    const options = { offset, granularity: this.#granularity, minZero: this.#minZero };
    for (let at = 0; at < buf.length; ) {
      const run = nextRun(buf, at, options);
      if (run > 0) collect(backend.write(offset + at, buf.subarray(at, at + run)), pending);
      else collect(this.zero(offset + at, -run), pending);
      at += Math.abs(run);
    }
  }

  #writeClusters(offset: number, buf: Uint8Array, pending: Promise<void>[]): void {
    const { backend } = this.#target;
    for (let at = 0; at < buf.length; ) {
      const start = offset + at;
      const length = Math.min(buf.length - at, this.#cluster - (start % this.#cluster));
      const cluster = buf.subarray(at, at + length);
      // A part of a cluster (beside what is not copied, or behind the last source) can only be stored as it is.
      const whole = start % this.#cluster === 0 && (length === this.#cluster || start + length === backend.size);
      if (this.#granularity > 0 && isZero(cluster)) collect(this.zero(start, length), pending);
      else collect(whole ? backend.writeCompressed(start, cluster) : backend.write(start, cluster), pending);
      at += length;
    }
  }
}

function collect(done: Maybe<void>, pending: Promise<void>[]): void {
  if (done instanceof Promise) pending.push(done);
}
