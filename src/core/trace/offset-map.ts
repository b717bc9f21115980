/**
 * Where requests go on another disk than the one they were recorded on:
 *
 *     +SIZE or -SIZE       all are moved by so much
 *     modulo               offsets are taken modulo the size of the image; one that would run over the end then ends
 *                          at the end
 *     FROM:LENGTH:TO       what lies in the LENGTH bytes at FROM goes to TO; several may be given, and what lies in
 *                          none of them is left out
 *
 * Flushes and truncates have no place: flushes always go through, truncates only without a map.
 */
import { readSize } from '../bytes/sizes.ts';
import { BlockError, Usage } from '../errors/block-error.ts';
import type { TraceRequest } from './record.ts';

interface Piece {
  readonly from: number;
  readonly length: number;
  readonly to: number;
}

type Rule =
  | { readonly kind: 'same' | 'modulo' }
  | { readonly kind: 'shift'; readonly by: number }
  | { readonly kind: 'pieces'; readonly pieces: readonly Piece[] };

export class OffsetMap {
  readonly #rule: Rule;

  private constructor(rule: Rule) {
    this.#rule = rule;
  }

  /** From the words of a command line; `option` is how it is called there. Throws Usage. */
  static parse(words: readonly string[], option: string): OffsetMap {
    const [first] = words;
    if (first === undefined) return new OffsetMap({ kind: 'same' });
    if (words.every((word) => word.includes(':'))) {
      return new OffsetMap({ kind: 'pieces', pieces: words.map((word) => pieceOf(word, option)) });
    }
    if (words.length > 1) throw new Usage(`${option} may be given several times only with FROM:LENGTH:TO`);
    if (first === 'modulo') return new OffsetMap({ kind: 'modulo' });
    const by = /^[+-]/.test(first) ? sizeOf(first.slice(1)) : undefined;
    if (by === undefined) throw new Usage(`${option} expects +SIZE, -SIZE, modulo or FROM:LENGTH:TO, not '${first}'`);
    return new OffsetMap({ kind: 'shift', by: first.startsWith('-') ? -by : by });
  }

  /** Where the request goes on a disk of `size` bytes; undefined when it is left out. Throws when it fits nowhere. */
  place(request: TraceRequest, size: number): number | undefined {
    const rule = this.#rule;
    if (request.op === 'flush') return 0;
    if (request.op === 'truncate') return rule.kind === 'same' ? 0 : undefined;
    const { offset, length } = request;
    const placed = rule.kind === 'modulo' ? wrapped(request, size) : moved(rule, request);
    if (placed === undefined) return undefined;
    if (placed < 0 || placed + length > size) {
      const where = placed === offset ? '' : `, moved to ${placed},`;
      throw new BlockError(`${describe(request)}${where} lies outside the disk of ${size} bytes`, {
        hint: 'See --map-offset for ways to fit a trace onto another disk',
      });
    }
    return placed;
  }
}

/** `record 7, a write of 512 bytes at 0`. */
export function describe({ number, op, offset, length }: TraceRequest): string {
  return `record ${number}, a ${op} of ${length} bytes at ${offset},`.replace(/,$/, '');
}

function wrapped(request: TraceRequest, size: number): number {
  if (request.length > size) {
    throw new BlockError(`${describe(request)} is longer than the disk of ${size} bytes`);
  }
  return Math.min(request.offset % Math.max(1, size), size - request.length);
}

function moved(rule: Rule, request: TraceRequest): number | undefined {
  const { offset, length } = request;
  if (rule.kind === 'shift') return offset + rule.by;
  if (rule.kind !== 'pieces') return offset;
  const touched = rule.pieces.find(
    (each) => offset < each.from + each.length && offset + Math.max(1, length) > each.from,
  );
  if (!touched) return undefined;
  if (offset < touched.from || offset + length > touched.from + touched.length) {
    throw new BlockError(`${describe(request)} lies only in part in ${touched.from}:${touched.length}`);
  }
  return offset - touched.from + touched.to;
}

function pieceOf(word: string, option: string): Piece {
  const parts = word.split(':').map(sizeOf);
  const [from, length, to] = parts;
  if (parts.length === 3 && from !== undefined && to !== undefined && length) return { from, length, to };
  throw new Usage(`${option} expects FROM:LENGTH:TO in sizes, not '${word}'`);
}

function sizeOf(text: string): number | undefined {
  const size = readSize(text);
  return size.ok ? size.value : undefined;
}
