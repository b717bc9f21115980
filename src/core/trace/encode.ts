/** Records as lines of text. The bytes are put together in one buffer that serves again and again. */
import { type TraceNode, traceOps } from './record.ts';
import type { RingReader } from './ring.ts';

/** Records that are encoded at once. */
const PIECE = 4096;

/** No record is longer: five numbers of 16 digits, a node name of 31 letters and 100 bytes of names. */
const MOST_BYTES = 256;
export const FORMAT_NAME = 'blockyard-trace';
export const FORMAT_VERSION = 1;

/** Text in words of four bytes, the way it is put down; the last may have some bytes too many, which the next overwrites. */
interface Text {
  readonly words: Uint32Array;
  readonly length: number;
}

const CLOSE = text('"}\n');

/** What stands before each number of a record; the node name follows. */
const KEYS = {
  number: text('{"n":'),
  start: text(',"start":'),
  end: text(',"end":'),
  ops: traceOps.map((op) => text(`,"op":"${op}","offset":`)),
  length: text(',"length":'),
  flags: text(',"flags":'),
  result: text(',"result":'),
  depth: text(',"depth":'),
  node: text(',"node":"'),
};

/** The digits of 00 to 99, one after the other. */
const PAIRS = Buffer.from(Array.from({ length: 100 }, (_, value) => String(value).padStart(2, '0')).join(''));

export class RecordEncoder {
  readonly #origin: number;
  readonly #nodes: Text[] = [];
  readonly #out = new Uint8Array(PIECE * MOST_BYTES);
  readonly #words = new DataView(this.#out.buffer);
  #at = 0;
  /** What stands behind the offset of a record, with the numbers it is made of: mostly the same as of the one before. */
  readonly #tail = new Uint32Array(MOST_BYTES / 4);
  #tailBytes = 0;
  #kind = -1;
  #length = -1;
  #errno = -1;
  #depth = -1;
  #node = -1;

  /** @param origin reading of the clock that counts as 0. */
  constructor(origin: bigint) {
    this.#origin = Number(origin);
  }

  /** From now on records may speak of a further node. */
  addNode(name: string): void {
    this.#nodes.push(text(name));
  }

  /**
   * Take records out of `ring` and give their lines, gone with the next call; none when nothing waits, or when the
   * node of the next record has not been introduced yet.
   */
  takeFrom(ring: RingReader): Uint8Array {
    this.#at = 0;
    const most = Math.min(PIECE, ring.waiting);
    let index = 0;
    while (index < most && ring.node(index) < this.#nodes.length) this.#record(ring, index++);
    if (index > 0) ring.take(index);
    return this.#out.subarray(0, this.#at);
  }

  #record(ring: RingReader, index: number): void {
    const kind = ring.kind(index);
    this.#field(KEYS.number, ring.number(index));
    this.#field(KEYS.start, ring.start(index) - this.#origin);
    this.#field(KEYS.end, ring.end(index) - this.#origin);
    this.#field(KEYS.ops[kind & 0xff] ?? KEYS.length, ring.offset(index));
    if (
      kind === this.#kind &&
      ring.length(index) === this.#length &&
      ring.errno(index) === this.#errno &&
      ring.depth(index) === this.#depth &&
      ring.node(index) === this.#node
    ) {
      this.#put(this.#tail, this.#tailBytes);
    } else {
      this.#newTail(ring, index, kind);
    }
  }

  #newTail(ring: RingReader, index: number, kind: number): void {
    const from = this.#at;
    this.#kind = kind;
    this.#length = ring.length(index);
    this.#errno = ring.errno(index);
    this.#depth = ring.depth(index);
    this.#node = ring.node(index);
    this.#field(KEYS.length, this.#length);
    this.#field(KEYS.flags, kind >>> 8);
    this.#field(KEYS.result, this.#errno);
    this.#field(KEYS.depth, this.#depth);
    this.#text(KEYS.node);
    const name = this.#nodes[this.#node];
    if (name) this.#text(name);
    this.#text(CLOSE);
    this.#tailBytes = this.#at - from;
    for (let at = 0; at < this.#tailBytes; at += 4) this.#tail[at >> 2] = this.#words.getUint32(from + at, true);
  }

  #field(key: Text, value: number): void {
    this.#text(key);
    this.#digits(value);
  }

  #text({ words, length }: Text): void {
    this.#put(words, length);
  }

  #put(words: Uint32Array, length: number): void {
    const from = this.#at;
    for (let at = 0; at < length; at += 4) this.#words.setUint32(from + at, words[at >> 2] ?? 0, true);
    this.#at = from + length;
  }

  /** A whole number from 0 to 2^53, in decimal. */
  #digits(value: number): void {
    if (value < 1e9) {
      this.#at += this.#small(value, digitsOf(value));
      return;
    }
    const high = Math.floor(value / 1e8);
    this.#digits(high);
    this.#at += this.#small(value - high * 1e8, 8);
  }

  /** `value` below 10^9 in this many digits, with leading zeroes: two at a time. */
  #small(value: number, digits: number): number {
    const out = this.#out;
    const first = this.#at;
    let at = first + digits;
    let rest = value | 0;
    while (at - first >= 2) {
      const hundreds = (rest / 100) | 0;
      const pair = (rest - hundreds * 100) * 2;
      out[--at] = PAIRS[pair + 1] ?? 0;
      out[--at] = PAIRS[pair] ?? 0;
      rest = hundreds;
    }
    if (at > first) out[first] = 48 + rest;
    return digits;
  }
}

/** Of a number below 10^9. */
function digitsOf(value: number): number {
  if (value < 10_000) return value < 100 ? (value < 10 ? 1 : 2) : value < 1000 ? 3 : 4;
  if (value < 100_000_000) return value < 1_000_000 ? (value < 100_000 ? 5 : 6) : value < 10_000_000 ? 7 : 8;
  return 9;
}

export interface TraceHeader {
  /** Program and version that records. */
  readonly program: string;
  /** What the wall clock said when the monotonic one was at 0 of this trace. */
  readonly wallClock: Date;
}

/** The first line: what it is, and the first image. */
export function headerLine(header: TraceHeader, node: TraceNode): string {
  const { program, wallClock } = header;
  const clock = { source: 'monotonic', unit: 'ns', start: wallClock.toISOString() };
  return line({ format: FORMAT_NAME, version: FORMAT_VERSION, program, clock, ...nodeFields(node) });
}

/** The line that introduces a further image. */
export function nodeLine(node: TraceNode): string {
  return line(nodeFields(node));
}

/** The last line: nothing is missing, so many requests were recorded. */
export function footerLine(requests: number): string {
  return line({ requests });
}

function nodeFields({ name, size, fileName }: TraceNode): object {
  return { node: name, size, file: fileName };
}

function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
}

function text(ascii: string): Text {
  const length = ascii.length;
  const padded = Buffer.alloc(Math.ceil(length / 4) * 4);
  padded.write(ascii, 'latin1');
  return { words: Uint32Array.from({ length: padded.length / 4 }, (_, at) => padded.readUInt32LE(at * 4)), length };
}
