/** Records as lines of text. The bytes are put together in one buffer that serves again and again. */
import { type TraceNode, traceOps } from './record.ts';
import type { RingReader } from './ring.ts';

/** Records that are encoded at once. */
const PIECE = 4096;

/** No record is longer: five numbers of 16 digits, a node name of 31 letters and 100 bytes of names. */
const MOST_BYTES = 256;
export const FORMAT_NAME = 'blockyard-trace';
export const FORMAT_VERSION = 1;
const CLOSE = ascii('"}\n');

/** What stands before each number of a record; the node name follows. */
const KEYS = {
  number: ascii('{"n":'),
  start: ascii(',"start":'),
  end: ascii(',"end":'),
  ops: traceOps.map((op) => ascii(`,"op":"${op}","offset":`)),
  length: ascii(',"length":'),
  flags: ascii(',"flags":'),
  result: ascii(',"result":'),
  depth: ascii(',"depth":'),
  node: ascii(',"node":"'),
};

export class RecordEncoder {
  readonly #origin: bigint;
  readonly #nodes: Uint8Array[] = [];
  readonly #out = new Uint8Array(PIECE * MOST_BYTES);
  #at = 0;

  /** @param origin reading of the clock that counts as 0. */
  constructor(origin: bigint) {
    this.#origin = origin;
  }

  /** From now on records may speak of a further node. */
  addNode(name: string): void {
    this.#nodes.push(ascii(name));
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
    this.#field(KEYS.start, Number(ring.start(index) - this.#origin));
    this.#field(KEYS.end, Number(ring.end(index) - this.#origin));
    this.#field(KEYS.ops[kind & 0xff] ?? KEYS.length, ring.offset(index));
    this.#field(KEYS.length, ring.length(index));
    this.#field(KEYS.flags, kind >>> 8);
    this.#field(KEYS.result, ring.errno(index));
    this.#field(KEYS.depth, ring.depth(index));
    this.#bytes(KEYS.node);
    this.#bytes(this.#nodes[ring.node(index)] ?? CLOSE.subarray(0, 0));
    this.#bytes(CLOSE);
  }

  #field(key: Uint8Array, value: number): void {
    this.#bytes(key);
    this.#digits(value);
  }

  /** Shorter than what `set` costs to call. */
  #bytes(bytes: Uint8Array): void {
    const out = this.#out;
    let at = this.#at;
    for (let from = 0; from < bytes.length; from++) out[at++] = bytes[from] ?? 0;
    this.#at = at;
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

  /** `value` below 10^9 in this many digits, with leading zeroes. */
  #small(value: number, digits: number): number {
    const out = this.#out;
    let rest = value | 0;
    for (let at = this.#at + digits - 1; at >= this.#at; at--) {
      const tens = (rest / 10) | 0;
      out[at] = 48 + rest - tens * 10;
      rest = tens;
    }
    return digits;
  }
}

function digitsOf(value: number): number {
  let digits = 1;
  for (let power = 10; power <= value; power *= 10) digits++;
  return digits;
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

function ascii(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}
