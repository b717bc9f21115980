/** Records as lines of text, gathered in one buffer that serves again and again. */
import { asciiText, putDecimal, putText, type Text, textAt } from './ascii.ts';
import { type TraceNode, traceOps } from './record.ts';
import type { RingReader } from './ring-reader.ts';

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
  /** What stands behind the offset of a record, with the numbers it is made of: mostly the same as in the run before. */
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
    let sum = 0;
    while (ring.seek() && ring.node < this.#nodes.length) {
      const count = Math.min(ring.left, Math.floor((this.#bytes.length - this.#at) / MOST_BYTES));
      if (count === 0) break;
      this.#run(ring, count);
      ring.take(count);
      sum += count;
    }
    return sum;
  }

  /** The next `count` of the records of a run. */
  #run(ring: RingReader, count: number): void {
    const out = this.#out;
    const origin = this.#origin;
    const { number } = ring;
    const op = KEYS.ops[ring.kind & 0xff] ?? KEYS.length;
    const tail = this.#tailOf(ring);
    let at = this.#at;
    for (let index = 0; index < count; index++) {
      at = putDecimal(out, putText(out, at, KEYS.number), number + index);
      at = putDecimal(out, putText(out, at, KEYS.start), ring.start(index) - origin);
      at = putDecimal(out, putText(out, at, KEYS.end), ring.end(index) - origin);
      at = putDecimal(out, putText(out, at, op), ring.offset(index));
      at = putText(out, at, tail);
    }
    this.#at = at;
  }

  /** What stands behind the offset. */
  #tailOf({ kind, length, errno, depth, node }: RingReader): Text {
    const same =
      kind === this.#kind &&
      length === this.#length &&
      errno === this.#errno &&
      depth === this.#depth &&
      node === this.#node;
    if (same) return this.#tail;
    this.#kind = kind;
    this.#length = length;
    this.#errno = errno;
    this.#depth = depth;
    this.#node = node;
    // Put down where the record will be, and kept.
    const out = this.#out;
    const from = this.#at;
    let at = putDecimal(out, putText(out, from, KEYS.length), length);
    at = putDecimal(out, putText(out, at, KEYS.flags), kind >>> 8);
    at = putDecimal(out, putText(out, at, KEYS.result), errno);
    at = putDecimal(out, putText(out, at, KEYS.depth), depth);
    at = putText(out, putText(out, at, KEYS.node), this.#nodes[node] ?? NOTHING);
    at = putText(out, at, CLOSE);
    this.#tail = textAt(out, from, at - from);
    return this.#tail;
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
