/** Writing a trace as an I/O log of fio. */
import fs from 'node:fs';
import { asBlockError, BlockError, Usage } from '../../core/errors/block-error.ts';
import { fioHead, fioLine, fioTail } from '../../core/trace/fio-log.ts';
import type { OffsetMap } from '../../core/trace/offset-map.ts';
import type { TraceOp } from '../../core/trace/record.ts';
import type { TraceSource } from '../../core/trace/source.ts';
import { type Io, warn } from '../cli/io.ts';

export interface ExportOptions {
  readonly to: string;
  /** Name of the file in the log; default that of the image in the trace. */
  readonly image: string | undefined;
  readonly imageOpts: boolean;
  readonly map: OffsetMap;
  readonly only: ReadonlySet<TraceOp> | undefined;
  readonly node: string | undefined;
  readonly speed: number;
}

/** Text that is gathered before it is written. */
const CHUNK = 256 * 1024;

export async function exportFio(source: TraceSource, options: ExportOptions, io: Io): Promise<void> {
  if (options.imageOpts) throw new Usage("with '--export-fio' IMAGE is a file name for the log, not options");
  const out = new TextFile(options.to);
  let node = options.node;
  let file = options.image;
  let begin: number | undefined;
  let time = 0;
  let unknown = 0;
  try {
    for await (const group of source.requests()) {
      for (const request of group) {
        node ??= request.node;
        if (request.node !== node || !(options.only?.has(request.op) ?? true)) continue;
        const offset = options.map.place(request, Number.MAX_SAFE_INTEGER);
        if (offset === undefined) continue;
        if (begin === undefined) {
          begin = request.start;
          file ??= source.parser?.nodes.get(node)?.fileName ?? node;
          out.write(fioHead(file));
        }
        time = (request.start - begin) / options.speed;
        const line = fioLine({ ...request, offset, start: time }, file ?? '');
        if (line === undefined) unknown++;
        else out.write(line);
      }
      io.signal.throwIfAborted();
    }
    out.write((begin === undefined ? fioHead(file ?? 'image') : '') + fioTail(file ?? 'image', time));
  } finally {
    out.close();
  }
  if (source.incomplete !== undefined) warn(io, `trace '${source.path}': ${source.incomplete}`);
  if (unknown > 0) warn(io, `${unknown} truncates are left out: fio has none`);
}

class TextFile {
  readonly #path: string;
  readonly #fd: number;
  #text = '';

  constructor(path: string) {
    this.#path = path;
    this.#fd = this.#attempt(() => fs.openSync(path, 'w', 0o666));
  }

  write(text: string): void {
    this.#text += text;
    if (this.#text.length >= CHUNK) this.#flush();
  }

  #flush(): void {
    const bytes = Buffer.from(this.#text);
    this.#text = '';
    this.#attempt(() => {
      for (let at = 0; at < bytes.length; ) at += fs.writeSync(this.#fd, bytes, at);
    });
  }

  close(): void {
    try {
      this.#flush();
    } finally {
      fs.closeSync(this.#fd);
    }
  }

  #attempt<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      const { message, code } = asBlockError(error);
      throw new BlockError(`cannot write '${this.#path}': ${message}`, { code, cause: error });
    }
  }
}
