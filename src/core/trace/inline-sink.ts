/** Records written by ourselves, between requests. */
import { asBlockError } from '../errors/block-error.ts';
import type { TraceNode } from './record.ts';
import type { Sink, SinkSettings } from './sink.ts';
import { closeTraceFile, lengthOf } from './trace-file.ts';
import { TraceWriter } from './writer.ts';

export class InlineSink implements Sink {
  readonly #settings: SinkSettings;
  #writer: TraceWriter | undefined;

  constructor(settings: SinkSettings) {
    this.#settings = settings;
    this.#attempt(() => {
      this.#writer = new TraceWriter(settings.writer);
    });
  }

  /** Nothing is written any more. */
  get failed(): boolean {
    return this.#writer === undefined;
  }

  addNode(node: TraceNode): void {
    this.#attempt(() => this.#writer?.addNode(node));
  }

  crowded(): void {}

  linger(): void {
    this.save();
  }

  makeRoom(): boolean {
    this.#attempt(() => this.#writer?.drain());
    return this.#writer !== undefined && this.#settings.ring.publish();
  }

  save(): void {
    this.#attempt(() => this.#writer?.finish(undefined));
  }

  async close(requests: number | undefined): Promise<number> {
    this.#attempt(() => this.#writer?.finish(requests));
    const { file } = this.#settings.writer;
    const length = lengthOf(file);
    closeTraceFile(file);
    return length;
  }

  #attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#writer?.abandon();
      this.#writer = undefined;
      this.#settings.onFailure(asBlockError(error));
    }
  }
}
