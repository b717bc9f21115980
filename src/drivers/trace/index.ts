/**
 * `trace`: every request that passes is recorded in a file (docs/trace-format.md), with the times of its issue and
 * completion. Nothing is changed: requests go on as they come, also unaligned ones, and those that are done at once
 * stay so. What becomes of the trace file never harms them.
 *
 * Block status is not recorded: the graph asks the child directly.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { Maybe } from '../../core/async/maybe.ts';
import type { Driver, Flags, HostExtent, Limits, OpenContext, TruncateOptions } from '../../core/block/driver.ts';
import { FilterImage } from '../../core/block/filter.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { asBlockError, withContext } from '../../core/errors/block-error.ts';
import { defineOptions, type OptionsOf, text } from '../../core/options/fields.ts';
import { COPY_FLAG, errnoOf, type Issued, now, TraceRecorder, traceOps } from '../../core/trace/index.ts';

const options = defineOptions({
  'trace-file': text({ help: 'File to record in; ending in .gz or .zst it is compressed', required: true }),
});

type TraceOptions = OptionsOf<typeof options>;

const [READ, WRITE, ZERO, DISCARD, FLUSH, TRUNCATE] = traceOps.map((_, index) => index) as [
  number,
  number,
  number,
  number,
  number,
  number,
];
const FLAG_SHIFT = 8;

class TraceImage extends FilterImage {
  readonly #recorder: TraceRecorder;
  readonly #node: number;
  readonly #limits: Limits;
  #inFlight = 0;

  constructor(file: Edge, recorder: TraceRecorder, node: number) {
    super(file);
    this.#recorder = recorder;
    this.#node = node;
    // What the child cannot take as it is, the layer above the child puts right: behind the record.
    const { memoryAlignment, optimalTransfer } = file.limits;
    this.#limits = {
      ...(memoryAlignment === undefined ? {} : { memoryAlignment }),
      ...(optimalTransfer === undefined ? {} : { optimalTransfer }),
    };
  }

  override get limits(): Limits {
    return this.#limits;
  }

  /** The most frequent one: as {@link #record}, without a closure or a number on the heap. */
  override read(offset: number, buf: Uint8Array): Maybe<void> {
    const { ring } = this.#recorder;
    if (ring === undefined) return this.file.read(offset, buf);
    const number = this.#recorder.take();
    const depth = ++this.#inFlight;
    const { length } = buf;
    ring.begin();
    let done: Maybe<void>;
    try {
      done = this.file.read(offset, buf);
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

  override readv(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    return this.#record(READ, offset, lengthOf(bufs), () => this.file.readv(offset, bufs));
  }

  override write(offset: number, buf: Uint8Array, flags: Flags): Maybe<void> {
    return this.#record(withFlags(WRITE, flags), offset, buf.length, () => this.file.write(offset, buf, flags));
  }

  override writev(offset: number, bufs: readonly Uint8Array[], flags: Flags): Maybe<void> {
    return this.#record(withFlags(WRITE, flags), offset, lengthOf(bufs), () => this.file.writev(offset, bufs, flags));
  }

  protected override passCompressed(offset: number, buf: Uint8Array): Maybe<void> {
    const kind = withFlags(WRITE, COMPRESSED);
    return this.#record(kind, offset, buf.length, () => this.file.writeCompressed(offset, buf));
  }

  override zero(offset: number, length: number, flags: Flags): Maybe<void> {
    return this.#record(withFlags(ZERO, flags), offset, length, () => this.file.zero(offset, length, flags));
  }

  override discard(offset: number, length: number): Maybe<void> {
    return this.#record(DISCARD, offset, length, () => this.file.discard(offset, length));
  }

  override flush(): Maybe<void> {
    return this.#record(FLUSH, 0, 0, () => this.file.flush());
  }

  override async truncate(size: number, how: TruncateOptions): Promise<void> {
    await this.#record(TRUNCATE, 0, size, () => this.file.truncate(size, how));
  }

  override copyRangeFrom(offset: number, target: Edge, targetOffset: number, length: number): Maybe<boolean> {
    const kind = withFlags(READ, COPY_FLAG);
    return this.#record(kind, offset, length, () => this.file.copyRangeFrom(offset, target, targetOffset, length));
  }

  override copyRangeTo(offset: number, source: HostExtent, length: number): Maybe<boolean> {
    const kind = withFlags(WRITE, COPY_FLAG);
    return this.#record(kind, offset, length, () => this.file.copyRangeTo(offset, source, length));
  }

  /** A copy that the kernel could not make (false) has not been a request: another way follows. */
  #record<T>(kind: number, offset: number, length: number, action: () => Maybe<T>): Maybe<T> {
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
        return value;
      },
      (error: unknown) => {
        this.#failed(issued, error);
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

  override close(): Promise<void> {
    return this.#recorder.leave();
  }
}

/** Bit of compressed writes, as in the block layer's flags. */
const COMPRESSED = 16;

function withFlags(op: number, flags: number): number {
  return op | (flags << FLAG_SHIFT);
}

function lengthOf(bufs: readonly Uint8Array[]): number {
  let sum = 0;
  for (const buf of bufs) sum += buf.length;
  return sum;
}

/** Who records in a file, by its path: a file is there once for all of a process, so this is too. */
const recorders = new Map<string, TraceRecorder>();

function recorderFor(name: string): TraceRecorder {
  const key = realPath(name);
  const known = recorders.get(key);
  if (known?.continues) return known;
  const recorder = new TraceRecorder(name, PROGRAM);
  recorders.set(key, recorder);
  return recorder;
}

/** Of a file that may not exist yet. */
function realPath(name: string): string {
  const full = path.resolve(name);
  try {
    return path.join(fs.realpathSync(path.dirname(full)), path.basename(full));
  } catch {
    return full;
  }
}

const PROGRAM = 'blockyard';

async function open(context: OpenContext<TraceOptions>): Promise<TraceImage> {
  const file = context.child('file');
  const recorder = recorderFor(context.options['trace-file']);
  const node = { name: file.node.name, size: file.node.image.size, fileName: context.fileName };
  try {
    return new TraceImage(file, recorder, await recorder.join(node, context.warn));
  } catch (error) {
    throw withContext(`cannot record in '${context.options['trace-file']}'`, error);
  }
}

export const traceDriver: Driver<TraceOptions> = { name: 'trace', kind: 'filter', options, open };
