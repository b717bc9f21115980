/**
 * Requests recorded in a trace (docs/trace-format.md) on the way to where they go, with the times of their issue and
 * completion. Nothing is changed: requests go on as they come, also unaligned ones, and those that are done at once stay
 * so. What becomes of the trace file never harms them.
 *
 * Block status is not recorded.
 */
import type { Maybe } from '../async/maybe.ts';
import { asBlockError, withContext } from '../errors/block-error.ts';
import {
  beginRecording,
  COPY_FLAG,
  errnoOf,
  type Issued,
  now,
  type Recording,
  type TraceNode,
  traceOps,
} from '../trace/index.ts';
import { Flag, type Flags, type HostExtent, type TruncateOptions } from './driver.ts';
import type { Edge, RequestTarget } from './graph/edge.ts';
import { totalLength } from './request/pieces.ts';

const [READ, WRITE, ZERO, DISCARD, FLUSH, TRUNCATE] = traceOps.map((_, index) => index) as [
  number,
  number,
  number,
  number,
  number,
  number,
];
const FLAG_SHIFT = 8;

export class RecordedRequests implements RequestTarget {
  readonly #target: RequestTarget;
  readonly #recorder: Recording['recorder'];
  readonly #node: number;
  #inFlight = 0;
  /** Called with the end of each request that had to be waited for, when somebody waits for the last one. */
  #onEnd: (() => void) | undefined;

  private constructor(target: RequestTarget, { recorder, node }: Recording) {
    this.#target = target;
    this.#recorder = recorder;
    this.#node = node;
  }

  /**
   * Record what goes to `target` in `file`, as requests of `node`. Throws when the file cannot be made; `warn` is told
   * when it cannot be written to any more.
   */
  static async to(
    target: RequestTarget,
    { file, node, warn }: { file: string; node: TraceNode; warn(message: string): void },
  ): Promise<RecordedRequests> {
    try {
      return new RecordedRequests(target, await beginRecording(file, node, warn));
    } catch (error) {
      throw withContext(`cannot record in '${file}'`, error);
    }
  }

  /**
   * Nothing more comes, and what is under way has ended below; everything is in the file when this ends, unless others
   * record in it too. Never rejects.
   */
  async close(): Promise<void> {
    // The target may be done with the last of them while we have not heard of it yet.
    while (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#onEnd = resolve;
      });
    }
    await this.#recorder.leave();
  }

  /** The most frequent one: as {@link #record}, without a closure or a number on the heap. */
  read(offset: number, buf: Uint8Array): Maybe<void> {
    const { ring } = this.#recorder;
    if (ring === undefined) return this.#target.read(offset, buf);
    const number = this.#recorder.take();
    const depth = ++this.#inFlight;
    const { length } = buf;
    ring.begin();
    let done: Maybe<void>;
    try {
      done = this.#target.read(offset, buf);
    } catch (error) {
      this.#failed({ kind: READ, offset, length, number, start: ring.left(), depth, node: this.#node }, error);
      throw error;
    }
    if (done instanceof Promise) {
      return this.#later(done, { kind: READ, offset, length, number, start: ring.left(), depth, node: this.#node });
    }
    if (!ring.ended(READ, offset, length, number, depth, this.#node)) {
      this.#recorder.record({ kind: READ, offset, length, number, start: ring.left(), depth, node: this.#node }, 0);
    }
    this.#inFlight--;
  }

  readv(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    return this.#record(READ, offset, totalLength(bufs), () => this.#target.readv(offset, bufs));
  }

  write(offset: number, buf: Uint8Array, flags: Flags): Maybe<void> {
    return this.#record(withFlags(WRITE, flags), offset, buf.length, () => this.#target.write(offset, buf, flags));
  }

  writev(offset: number, bufs: readonly Uint8Array[], flags: Flags): Maybe<void> {
    const kind = withFlags(WRITE, flags);
    return this.#record(kind, offset, totalLength(bufs), () => this.#target.writev(offset, bufs, flags));
  }

  writeCompressed(offset: number, buf: Uint8Array): Maybe<void> {
    const kind = withFlags(WRITE, Flag.COMPRESSED);
    return this.#record(kind, offset, buf.length, () => this.#target.writeCompressed(offset, buf));
  }

  zero(offset: number, length: number, flags: Flags): Maybe<void> {
    return this.#record(withFlags(ZERO, flags), offset, length, () => this.#target.zero(offset, length, flags));
  }

  discard(offset: number, length: number): Maybe<void> {
    return this.#record(DISCARD, offset, length, () => this.#target.discard(offset, length));
  }

  flush(): Maybe<void> {
    return this.#record(FLUSH, 0, 0, () => this.#target.flush());
  }

  async truncate(size: number, how: TruncateOptions): Promise<void> {
    await this.#record(TRUNCATE, 0, size, () => this.#target.truncate(size, how));
  }

  copyRangeFrom(offset: number, target: Edge, targetOffset: number, length: number): Maybe<boolean> {
    const kind = withFlags(READ, COPY_FLAG);
    return this.#record(kind, offset, length, () => this.#target.copyRangeFrom(offset, target, targetOffset, length));
  }

  copyRangeTo(offset: number, source: HostExtent, length: number): Maybe<boolean> {
    const kind = withFlags(WRITE, COPY_FLAG);
    return this.#record(kind, offset, length, () => this.#target.copyRangeTo(offset, source, length));
  }

  /** A copy that the kernel could not make (false) has not been a request: another way follows. */
  #record<T>(kind: number, offset: number, length: number, action: () => Maybe<T>): Maybe<T> {
    if (this.#recorder.ring === undefined) return action();
    const number = this.#recorder.take();
    const depth = ++this.#inFlight;
    const issued: Issued = { kind, offset, length, number, start: now(), depth, node: this.#node };
    let done: Maybe<T>;
    try {
      done = action();
    } catch (error) {
      this.#failed(issued, error);
      throw error;
    }
    if (done instanceof Promise) return this.#later(done, issued);
    this.#ended(issued, done);
    return done;
  }

  #later<T>(done: Promise<T>, issued: Issued): Promise<T> {
    return done.then(
      (value) => {
        this.#ended(issued, value);
        this.#onEnd?.();
        return value;
      },
      (error: unknown) => {
        this.#failed(issued, error);
        this.#onEnd?.();
        throw error;
      },
    );
  }

  #ended(issued: Issued, value: unknown): void {
    this.#inFlight--;
    if (value === false) this.#recorder.forget(issued);
    else this.#recorder.record(issued, 0);
  }

  #failed(issued: Issued, error: unknown): void {
    this.#inFlight--;
    this.#recorder.record(issued, errnoOf(asBlockError(error).code));
  }
}

function withFlags(op: number, flags: number): number {
  return op | (flags << FLAG_SHIFT);
}
