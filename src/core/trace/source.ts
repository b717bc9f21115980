/** Reading a trace of whatever format, of any length, in the order of issue. */
import { BlockError, withContext } from '../errors/block-error.ts';
import { BlkparseParser, isBlkparse } from './blkparse.ts';
import { type Position, readChunks } from './chunks.ts';
import { FioParser, isFioLog } from './fio-log.ts';
import { type Line, readLines } from './lines.ts';
import { OwnParser } from './own-parser.ts';
import { shown, type TraceParser } from './parser.ts';
import type { TraceRequest } from './record.ts';
import { Reorder } from './reorder.ts';

export class TraceSource {
  readonly path: string;
  readonly position: Position = { done: 0, total: 0, torn: false };
  #parser: TraceParser | undefined;
  #torn = false;

  /** @param path the file; `-` for standard input. */
  constructor(path: string) {
    this.path = path;
  }

  /** Known once {@link requests} has given something, or has ended. */
  get parser(): TraceParser | undefined {
    return this.#parser;
  }

  /** After the end: why something may be missing. */
  get incomplete(): string | undefined {
    if (this.#torn || this.position.torn) return 'it is cut off in the middle of a record';
    return this.#parser?.incomplete;
  }

  /** The requests in groups; within and among them in the order of issue. Throws BlockError with file and line. */
  async *requests(): AsyncGenerator<readonly TraceRequest[]> {
    const reorder = new Reorder();
    const take = (request: TraceRequest): void => reorder.add(request);
    try {
      for await (const lines of readLines(readChunks(this.path, this.position))) {
        for (const line of lines) this.#line(line, take);
        const ready = reorder.ready();
        if (ready.length > 0) yield ready;
      }
    } catch (error) {
      if (error instanceof BlockError && error.message.startsWith('line ')) {
        throw withContext(`trace '${this.path}'`, error);
      }
      throw error;
    }
    if (!this.#parser) throw new BlockError(`trace '${this.path}': it is empty`);
    this.#parser.end(take);
    yield reorder.rest();
  }

  #line({ text, number, torn }: Line, take: (request: TraceRequest) => void): void {
    try {
      this.#parser ??= parserFor(text);
      this.#parser.line(text, take);
    } catch (error) {
      if (torn && number > 1) {
        this.#torn = true;
        return;
      }
      throw withContext(`line ${number}`, error);
    }
  }
}

function parserFor(firstLine: string): TraceParser {
  if (firstLine.startsWith('{')) return new OwnParser();
  if (isFioLog(firstLine)) return new FioParser();
  if (isBlkparse(firstLine)) return new BlkparseParser();
  throw new BlockError(`it begins no trace that is known (ours, fio's iolog, blkparse): ${shown(firstLine)}`);
}
