/** Records as lines of text, gathered in one buffer that serves again and again. */
import { asciiText, putDecimal, putText, type Text, textAt } from './ascii.ts';
import { type TraceNode, traceOps } from './record.ts';
import type { RingReader } from './ring.ts';

/** No record is longer: five numbers of 16 digits, a node name of 31 letters and 100 bytes of names. */
const MOST_BYTES = 256;
export const FORMAT_NAME = 'blockyard-trace';
export const FORMAT_VERSION = 1;

const NOTHING = asciiText('');
const CLOSE = asciiText('"}\n');

/** What stands before each number of a record; the node name follows. */
const KEYS = {
  number: asciiText('{"n":'),
  start: asciiText(',"start":'),
  end: asciiText(',"end":'),
  ops: traceOps.map((op) => asciiText(`,"op":"${op}","offset":`)),
  length: asciiText(',"length":'),
  flags: asciiText(',"flags":'),
  result: asciiText(',"result":'),
  depth: asciiText(',"depth":'),
  node: asciiText(',"node":"'),
};

export class RecordEncoder {
  readonly #origin: number;
  readonly #nodes: Text[] = [];
  readonly #bytes: Uint8Array;
  readonly #out: DataView;
  #at = 0;
  /** What stands behind the offset of a record, with the numbers it is made of: mostly the same as of the one before. */
  #tail: Text = NOTHING;
  #kind = -1;
  #length = -1;
  #errno = -1;
  #depth = -1;
  #node = -1;

  /**
   * @param origin reading of the clock that counts as 0.
   * @param room bytes of text that are gathered.
   */
  constructor(origin: bigint, room: number) {
    this.#origin = Number(origin);
    this.#bytes = new Uint8Array(room);
    this.#out = new DataView(this.#bytes.buffer);
  }

  /** From now on records may speak of a further node. */
  addNode(name: string): void {
    this.#nodes.push(asciiText(name));
  }

  /** The lines gathered, gone with the next call of anything here. */
  take(): Uint8Array {
    const lines = this.#bytes.subarray(0, this.#at);
    this.#at = 0;
    return lines;
  }

  /** There may be no room for a further line. */
  get full(): boolean {
    return this.#bytes.length - this.#at < MOST_BYTES;
  }

  /**
   * Gather the lines of records of `ring`: of all that wait, or of as many as there is room for, or of those before one
   * whose node has not been introduced yet. How many they were.
   */
  gather(ring: RingReader): number {
    const room = Math.floor((this.#bytes.length - this.#at) / MOST_BYTES);
    const most = Math.min(room, ring.waiting);
    let count = 0;
    for (; count < most; count++) {
      ring.look(count);
      if (ring.node >= this.#nodes.length) break;
      this.#record(ring);
    }
    if (count > 0) ring.take(count);
    return count;
  }

  #record(ring: RingReader): void {
    const out = this.#out;
    const kind = ring.kind;
    let at = this.#at;
    at = putDecimal(out, putText(out, at, KEYS.number), ring.number);
    at = putDecimal(out, putText(out, at, KEYS.start), ring.start - this.#origin);
    at = putDecimal(out, putText(out, at, KEYS.end), ring.end - this.#origin);
    at = putDecimal(out, putText(out, at, KEYS.ops[kind & 0xff] ?? KEYS.length), ring.offset);
    if (
      kind !== this.#kind ||
      ring.length !== this.#length ||
      ring.errno !== this.#errno ||
      ring.depth !== this.#depth ||
      ring.node !== this.#node
    ) {
      this.#tail = this.#newTail(ring, at);
    }
    this.#at = putText(out, at, this.#tail);
  }

  /** Put the rest of the record down behind what is gathered, and keep it. */
  #newTail(ring: RingReader, from: number): Text {
    const out = this.#out;
    this.#kind = ring.kind;
    this.#length = ring.length;
    this.#errno = ring.errno;
    this.#depth = ring.depth;
    this.#node = ring.node;
    let at = putDecimal(out, putText(out, from, KEYS.length), this.#length);
    at = putDecimal(out, putText(out, at, KEYS.flags), this.#kind >>> 8);
    at = putDecimal(out, putText(out, at, KEYS.result), this.#errno);
    at = putDecimal(out, putText(out, at, KEYS.depth), this.#depth);
    at = putText(out, putText(out, at, KEYS.node), this.#nodes[this.#node] ?? NOTHING);
    at = putText(out, at, CLOSE);
    return textAt(out, from, at - from);
  }
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
