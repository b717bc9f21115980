/**
 * Checking what a replay reads. The content of every replayed write is known (`content.ts`), so what is read must be
 * that of the last writer; ranges that nothing of this replay has written may hold anything.
 */
import type { Maybe } from '../async/maybe.ts';
import { BlockError } from '../errors/block-error.ts';
import { fillContent } from './content.ts';
import { KnownContent, type KnownRange, ZEROES } from './known-content.ts';
import type { TraceRequest } from './record.ts';

/** Bytes compared at once. */
const PIECE = 1 << 20;

export interface VerifyResult {
  /** Bytes that were compared, and ranges that were not as they should be. */
  readonly bytes: number;
  readonly mismatches: number;
  /** For want of memory not all could be kept in mind. */
  readonly partial: boolean;
}

export class Verifier {
  readonly #known = new KnownContent();
  readonly #seed: number;
  readonly #report: (line: string) => void;
  #expected: Buffer = Buffer.alloc(0);
  #bytes = 0;
  #mismatches = 0;

  /** @param report told of each range that is wrong, in one line. */
  constructor(seed: number, report: (line: string) => void) {
    this.#seed = seed;
    this.#report = report;
  }

  get result(): VerifyResult {
    return { bytes: this.#bytes, mismatches: this.#mismatches, partial: this.#known.forgot };
  }

  /** A request of the replay has ended, or would have; what it leaves behind is known, or not any more. */
  note({ op, length }: TraceRequest, { offset, write }: { offset: number; write: number }, failed: boolean): void {
    if (op === 'read' || op === 'flush') return;
    if (op === 'truncate') {
      this.#known.set(length, Number.MAX_SAFE_INTEGER, undefined);
      return;
    }
    const sure = !failed && op !== 'discard';
    this.#known.set(offset, offset + length, sure ? (op === 'zero' ? ZEROES : write) : undefined);
  }

  /** Compare what was read at `offset`. */
  check(data: Uint8Array, offset: number, what: string): void {
    for (const range of this.#known.within(offset, offset + data.length)) {
      for (let at = range.start; at < range.end; at += PIECE) {
        const end = Math.min(range.end, at + PIECE);
        this.#compare(data.subarray(at - offset, end - offset), at, range, what);
      }
    }
  }

  #compare(data: Uint8Array, offset: number, { writer }: KnownRange, what: string): void {
    const expected = this.#content(writer, offset, data.length);
    this.#bytes += data.length;
    if (expected.equals(data)) return;
    this.#mismatches++;
    const at = expected.findIndex((byte, index) => byte !== data[index]);
    const meant = writer === ZEROES ? 'zeroes' : `the content of write ${writer}`;
    this.#report(`${what}: byte ${offset + at} is not ${meant}`);
  }

  #content(writer: number, offset: number, length: number): Buffer {
    if (this.#expected.length < length) this.#expected = Buffer.allocUnsafeSlow(length);
    const expected = this.#expected.subarray(0, length);
    if (writer === ZEROES) expected.fill(0);
    else fillContent(expected, { seed: this.#seed, number: writer }, offset);
    return expected;
  }

  /** Read back all that is known. */
  async readBack(
    read: (offset: number, buf: Uint8Array) => Maybe<void>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const buf = Buffer.allocUnsafeSlow(PIECE);
    for (const { start, end } of this.#known.within(0, Number.MAX_SAFE_INTEGER)) {
      for (let at = start; at < end; at += PIECE) {
        if (signal?.aborted) throw new BlockError('interrupted', { code: 'ECANCELED' });
        const piece = buf.subarray(0, Math.min(PIECE, end - at));
        await read(at, piece);
        this.check(piece, at, 'read back');
      }
    }
  }
}
