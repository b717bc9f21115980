/** The file of a trace: records in, lines out, compressed by the ending of its name. Runs in a thread of its own. */
import fs from 'node:fs';
import { asBlockError, BlockError } from '../errors/block-error.ts';
import { type Compressor, compressorFor } from './compression.ts';
import { footerLine, headerLine, nodeLine, RecordEncoder, type TraceHeader } from './encode.ts';
import type { TraceNode } from './record.ts';
import type { RingMemory } from './ring-memory.ts';
import { RingReader } from './ring-reader.ts';

/** Bytes of text that are gathered before they are compressed and written. */
const CHUNK = 1 << 18;

export interface WriterSettings {
  readonly path: string;
  readonly header: TraceHeader;
  /** Reading of the monotonic clock, in nanoseconds, that counts as 0. */
  readonly origin: bigint;
  /** Go on with a file that this process began: images it already speaks of. */
  readonly known: readonly TraceNode[];
  /** Where the records come from. */
  readonly ring: RingMemory;
}

export class TraceWriter {
  readonly #path: string;
  readonly #header: TraceHeader;
  readonly #encoder: RecordEncoder;
  readonly #compress: Compressor | undefined;
  readonly #fd: number;
  readonly #ring: RingReader;
  #begun: boolean;
  #closed = false;
  /** Bytes of the file that are whole lines. */
  #good: number;

  /** Throws when the file cannot be made. */
  constructor({ path, header, origin, known, ring }: WriterSettings) {
    this.#path = path;
    this.#ring = new RingReader(ring);
    this.#header = header;
    this.#begun = known.length > 0;
    this.#encoder = new RecordEncoder(origin, CHUNK);
    for (const node of known) this.#encoder.addNode(node.name);
    this.#compress = compressorFor(path);
    try {
      this.#fd = fs.openSync(path, openFlags(path, this.#begun), 0o666);
      this.#good = this.#begun ? fs.fstatSync(this.#fd).size : 0;
    } catch (error) {
      throw this.#failure(error);
    }
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

  #write(text: Uint8Array): void {
    try {
      const bytes = this.#compress?.(text) ?? text;
      for (let at = 0; at < bytes.length; ) at += writeSome(this.#fd, bytes, at);
      this.#good += bytes.length;
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** Write all that is left, with the last line. Throws as the others do; the file is closed in any case. */
  close(requests: number): void {
    try {
      this.drain();
      this.flush();
      this.#write(Buffer.from(footerLine(requests)));
    } finally {
      this.#close();
    }
  }

  /** After a failure: what was written so far stays, less a line or a frame that was not written whole. */
  abandon(): void {
    this.#ring.fail();
    if (this.#closed) return;
    try {
      fs.ftruncateSync(this.#fd, this.#good);
    } catch {
      // a pipe, or a disk that has gone: a reader passes over the torn end
    }
    this.#close();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    fs.closeSync(this.#fd);
  }

  #failure(error: unknown): BlockError {
    const { message, code } = asBlockError(error);
    return new BlockError(`trace file '${this.#path}': ${message}`, { code, cause: error });
  }
}

/** A pipe is opened without waiting for a reader: a thread that hangs in the system cannot be ended. */
function openFlags(path: string, append: boolean): string | number {
  if (!fs.statSync(path, { throwIfNoEntry: false })?.isFIFO()) return append ? 'a' : 'w';
  return fs.constants.O_WRONLY | fs.constants.O_NONBLOCK;
}

/** Pause before a full pipe is tried again, and how often that is done, all in all ten seconds. */
const PAUSE_MS = 10;
const PAUSES = 1000;

function writeSome(fd: number, bytes: Uint8Array, at: number): number {
  for (let pauses = 0; ; pauses++) {
    try {
      return fs.writeSync(fd, bytes, at);
    } catch (error) {
      const full = error instanceof Error && 'code' in error && error.code === 'EAGAIN';
      if (!full || pauses === PAUSES) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
    }
  }
}
