/** What goes into the file of a trace: records in, lines out, compressed by the ending of its name. */
import fs from 'node:fs';
import { asBlockError, BlockError } from '../errors/block-error.ts';
import { type Compressor, compressorFor } from './compression.ts';
import { footerLine, headerLine, nodeLine, RecordEncoder, type TraceHeader } from './encode.ts';
import type { TraceNode } from './record.ts';
import type { RingMemory } from './ring-memory.ts';
import { RingReader } from './ring-reader.ts';
import { lengthOf, type TraceFile } from './trace-file.ts';

/** Bytes of text that are gathered before they are compressed and written. */
const CHUNK = 1 << 18;
const NEWLINE = 10;

export interface WriterSettings {
  /** Where to write, behind what is there. It stays open. */
  readonly file: TraceFile;
  readonly header: TraceHeader;
  /** Reading of the monotonic clock, in nanoseconds, that counts as 0. */
  readonly origin: bigint;
  /** Images that the file already speaks of; without any it is empty. */
  readonly known: readonly TraceNode[];
  /** Where the records come from. */
  readonly ring: RingMemory;
}

/** Everything here but {@link TraceWriter.abandon} throws BlockError where the file cannot be written to. */
export class TraceWriter {
  readonly #file: TraceFile;
  readonly #header: TraceHeader;
  readonly #encoder: RecordEncoder;
  readonly #compress: Compressor | undefined;
  readonly #ring: RingReader;
  #begun: boolean;
  /** Bytes of the file that are whole lines. */
  #good: number;

  constructor({ file, header, origin, known, ring }: WriterSettings) {
    this.#file = file;
    this.#ring = new RingReader(ring);
    this.#header = header;
    this.#begun = known.length > 0;
    this.#encoder = new RecordEncoder(origin, CHUNK);
    for (const node of known) this.#encoder.addNode(node.name);
    this.#compress = compressorFor(file.path);
    this.#good = lengthOf(file);
  }

  /** Introduce a further image; its index is that of the calls. */
  addNode(node: TraceNode): void {
    this.#encoder.addNode(node.name);
    this.flush();
    // A reader that looks on sees at once what this is; and a file that cannot be written to is found at once.
    this.#write(Buffer.from(this.#begun ? nodeLine(node) : headerLine(this.#header, node)));
    this.#begun = true;
  }

  /** Take what is in the ring; true when there was something. */
  drain(): boolean {
    let any = false;
    while (this.#encoder.gather(this.#ring) > 0) {
      any = true;
      if (this.#encoder.full) this.flush();
    }
    return any;
  }

  /** Hand what is gathered to the system. */
  flush(): void {
    const lines = this.#encoder.take();
    if (lines.length > 0) this.#write(lines);
  }

  /** All that is left, and the last line when this is the end: after so many requests. */
  finish(requests: number | undefined): void {
    this.drain();
    this.flush();
    if (requests !== undefined) this.#write(Buffer.from(footerLine(requests)));
  }

  #write(text: Uint8Array): void {
    let at = 0;
    try {
      const bytes = this.#compress?.(text) ?? text;
      while (at < bytes.length) at += writeSome(this.#file.fd, bytes, at);
      this.#good += bytes.length;
    } catch (error) {
      // Of lines those that are whole stay; of a frame there is nothing to read.
      if (!this.#compress && at > 0) this.#good += text.lastIndexOf(NEWLINE, at - 1) + 1;
      throw this.#failure(error);
    }
  }

  /** After a failure: what was written so far stays, less a line or a frame that was not written whole. */
  abandon(): void {
    try {
      if (lengthOf(this.#file) > this.#good) fs.ftruncateSync(this.#file.fd, this.#good);
    } catch {
      // a pipe, or a disk that has gone: a reader passes over the torn end
    }
  }

  #failure(error: unknown): BlockError {
    const { message, code } = asBlockError(error);
    const why = hasCode(error, 'EAGAIN')
      ? 'it takes no data'
      : hasCode(error, 'EPIPE')
        ? 'nobody reads from it'
        : message;
    return new BlockError(`trace file '${this.#file.path}': ${why}`, { code, cause: error });
  }
}

/** Pause before a full pipe is tried again, and how often that is done, all in all ten seconds. */
const PAUSE_MS = 10;
const PAUSES = 1000;

function writeSome(fd: number, bytes: Uint8Array, at: number): number {
  for (let pauses = 0; ; pauses++) {
    try {
      return fs.writeSync(fd, bytes, at);
    } catch (error) {
      if (!hasCode(error, 'EAGAIN') || pauses === PAUSES) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
    }
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
