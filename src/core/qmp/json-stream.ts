/**
 * Values of JSON out of a stream of bytes that comes in pieces of any size.
 *
 * Only the bounds of a value are looked for here (brackets outside of strings); it is read by the parser of the options,
 * which takes what QMP takes: the standard, and strings in single quotes. After something that is no JSON, reading goes
 * on behind the next line break or behind a byte 0xff, which a client sends to begin anew.
 */
import { BlockError } from '../errors/block-error.ts';
import { parseJson } from '../options/json.ts';

export interface JsonLimits {
  /** Longest value, in bytes. */
  readonly bytes: number;
  /** Deepest nesting of lists and objects. */
  readonly depth: number;
}

export const DEFAULT_LIMITS: JsonLimits = { bytes: 16 * 1024 * 1024, depth: 128 };

export type JsonItem = { readonly value: unknown } | { readonly error: BlockError };

const QUOTE = 0x22;
const APOSTROPHE = 0x27;
const BACKSLASH = 0x5c;
const OPEN = new Set([0x7b, 0x5b]);
const CLOSE = new Set([0x7d, 0x5d]);
const NEWLINE = 0x0a;
const RESET = 0xff;

/** Between values, in one, or behind a mistake. */
type State = 'between' | 'inside' | 'skipping';

export class JsonStream {
  readonly #limits: JsonLimits;
  #state: State = 'between';
  #parts: Uint8Array[] = [];
  #length = 0;
  /** The quote that ends the string we are in, 0 outside of one. */
  #quote = 0;
  #escaped = false;
  #depth = 0;

  constructor(limits: JsonLimits = DEFAULT_LIMITS) {
    this.#limits = limits;
  }

  /** The values that are complete with `chunk`, and the mistakes in it, in order. */
  *push(chunk: Uint8Array): Generator<JsonItem> {
    let start = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] ?? 0;
      if (this.#state === 'between') {
        if (isSpace(byte)) continue;
        start = at;
        if (!OPEN.has(byte)) {
          yield this.#mistake(`JSON parse error, unexpected ${shown(byte)} where an object should begin`, byte);
          continue;
        }
        this.#state = 'inside';
      } else if (this.#state === 'skipping') {
        if (byte === NEWLINE || byte === RESET) this.#reset();
        continue;
      }
      const fault = this.#step(byte, this.#length + at - start + 1);
      if (fault !== undefined) {
        yield this.#mistake(fault, byte);
        continue;
      }
      if (this.#depth > 0 || this.#quote !== 0) continue;
      this.#keep(chunk.subarray(start, at + 1));
      yield this.#take();
    }
    if (this.#state === 'inside') this.#keep(chunk.slice(start));
  }

  /** What is wrong when the stream ends here. */
  end(): JsonItem | undefined {
    if (this.#state !== 'inside') return undefined;
    this.#reset();
    return { error: new BlockError('JSON parse error, the input ends within a value') };
  }

  /** Follow one byte of a value; says what is wrong with it. */
  #step(byte: number, length: number): string | undefined {
    if (byte === RESET) return 'JSON parse error, the value was broken off';
    if (length > this.#limits.bytes) return `a JSON value is longer than ${this.#limits.bytes} bytes`;
    if (this.#quote !== 0) return this.#inString(byte);
    if (byte === QUOTE || byte === APOSTROPHE) this.#quote = byte;
    else if (OPEN.has(byte)) this.#depth++;
    else if (CLOSE.has(byte)) this.#depth--;
    else if (byte < 0x20 && !isSpace(byte)) return `JSON parse error, unexpected ${shown(byte)}`;
    if (this.#depth > this.#limits.depth) return `a JSON value is nested deeper than ${this.#limits.depth} levels`;
    return undefined;
  }

  #inString(byte: number): string | undefined {
    if (byte < 0x20) return 'JSON parse error, a control character within a string';
    if (this.#escaped) this.#escaped = false;
    else if (byte === BACKSLASH) this.#escaped = true;
    else if (byte === this.#quote) this.#quote = 0;
    return undefined;
  }

  #keep(part: Uint8Array): void {
    this.#parts.push(part);
    this.#length += part.length;
    // A client that sends byte by byte must not cost an object for each.
    if (this.#parts.length > 64) this.#parts = [Buffer.concat(this.#parts)];
  }

  #take(): JsonItem {
    const bytes = Buffer.concat(this.#parts);
    this.#reset();
    try {
      const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
      return { value: parseJson(text, 'JSON parse error, the command', { exact: true }) };
    } catch (error) {
      if (error instanceof BlockError) return { error };
      return { error: new BlockError('JSON parse error, the command is not valid UTF-8') };
    }
  }

  #mistake(message: string, byte: number): JsonItem {
    this.#reset();
    if (byte !== NEWLINE && byte !== RESET) this.#state = 'skipping';
    return { error: new BlockError(message) };
  }

  #reset(): void {
    this.#state = 'between';
    this.#parts = [];
    this.#length = 0;
    this.#quote = 0;
    this.#escaped = false;
    this.#depth = 0;
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === NEWLINE || byte === 0x0d || byte === 0x09;
}

function shown(byte: number): string {
  return byte > 0x20 && byte < 0x7f ? `'${String.fromCharCode(byte)}'` : `byte 0x${byte.toString(16).padStart(2, '0')}`;
}
