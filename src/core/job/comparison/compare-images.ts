/**
 * Comparing the content of two disks.
 *
 * Several lanes work side by side, each on a piece of its own: some read large pieces, which the thread pool
 * does, and one reads small pieces, which the host answers at once where they are cached. So the pool and the
 * main thread copy at the same time, and what a lane compares is still in the processor's cache. Pieces are
 * handed out in order but finish in any, so the finding with the lowest offset is the result.
 */

import { nextTurn } from '../../async/turn.ts';
import type { Backend } from '../../block/backend/backend.ts';
import { isZero } from '../../bytes/zero.ts';
import { type Piece, PieceWalker } from './pieces.ts';
import { type ReadFailure, readPiece } from './read-piece.ts';

const SECTOR = 512;
/** Bytes of a piece that the thread pool reads, and how many are under way at once. */
const POOL_PIECE = 2 * 1024 * 1024;
const POOL_LANES = 2;
/** Bytes of a piece that is read at once, and how many of them pass before others get their turn. */
const QUICK_PIECE = 256 * 1024;
const QUICK_RUN = 4;

export interface CompareOptions {
  /** The status of both must agree everywhere too; the sizes are the caller's to compare. */
  readonly strict?: boolean;
  readonly signal?: AbortSignal;
  readonly progress?: (done: number, total: number) => void;
}

/** What comes first on the disks; offsets in bytes. */
export type Comparison =
  | { readonly kind: 'same' }
  /** The first sector that differs. */
  | { readonly kind: 'content'; readonly offset: number }
  | { readonly kind: 'status'; readonly offset: number }
  /** The comparison could not go on: `side` could not be read, or its status not be found out. */
  | {
      readonly kind: 'failed';
      readonly stage: 'status' | 'read';
      readonly offset: number;
      readonly side: 0 | 1;
      readonly error: unknown;
    };

type Finding = Exclude<Comparison, { readonly kind: 'same' }>;

/** Compare two disks; of different sizes, what the longer one has more must be zeroes to be the same. */
export function compareImages(first: Backend, second: Backend, options: CompareOptions = {}): Promise<Comparison> {
  return new Comparing([first, second], options).run();
}

class Comparing {
  readonly #disks: readonly [Backend, Backend];
  readonly #options: CompareOptions;
  readonly #walker: PieceWalker;
  #finding: Finding | undefined;
  /** The walker is waiting for a status. */
  #walking: Promise<unknown> | undefined;

  constructor(disks: readonly [Backend, Backend], options: CompareOptions) {
    this.#disks = disks;
    this.#options = options;
    this.#walker = new PieceWalker(disks, options.strict ?? false);
  }

  async run(): Promise<Comparison> {
    const lanes = Array.from({ length: POOL_LANES }, () => this.#lane(POOL_PIECE, Number.POSITIVE_INFINITY));
    lanes.push(this.#lane(QUICK_PIECE, QUICK_RUN));
    const ends = await Promise.allSettled(lanes);
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
    const { finding } = this.#walker;
    if (finding) this.#found(statusFinding(finding));
    return this.#finding ?? { kind: 'same' };
  }

  /** Compare pieces until there are none left, or one of all lanes has found something. */
  async #lane(size: number, run: number): Promise<void> {
    const buffers = [Buffer.allocUnsafeSlow(size), Buffer.allocUnsafeSlow(size)] as const;
    let quick = 0;
    for (;;) {
      this.#options.signal?.throwIfAborted();
      if (this.#finding) return;
      const piece = await this.#nextPiece(size);
      if (!piece) return;
      const read = readPiece(this.#disks, piece, buffers);
      const failure = read instanceof Promise ? await read : read;
      if (!(read instanceof Promise) && ++quick % run === 0) await nextTurn();
      this.#judge(piece, buffers, failure);
      this.#options.progress?.(this.#walker.offset, this.#walker.size);
    }
  }

  /** One lane at a time walks; the others wait for it when it has to wait. */
  async #nextPiece(size: number): Promise<Piece | undefined> {
    while (this.#walking) await this.#walking.catch(() => undefined);
    const next = this.#walker.next(size);
    if (!(next instanceof Promise)) return next;
    this.#walking = next;
    try {
      return await next;
    } finally {
      this.#walking = undefined;
    }
  }

  #judge(piece: Piece, [first, second]: readonly [Buffer, Buffer], failure: ReadFailure | undefined): void {
    const length = failure ? failure.offset - piece.offset : piece.length;
    const at = difference({ ...piece, length }, first, second);
    if (at !== undefined) this.#found({ kind: 'content', offset: piece.offset + at });
    else if (failure) this.#found({ kind: 'failed', stage: 'read', ...failure });
  }

  #found(finding: Finding): void {
    if (!this.#finding || finding.offset < this.#finding.offset) this.#finding = finding;
  }
}

function statusFinding(finding: NonNullable<PieceWalker['finding']>): Finding {
  const { offset, failure } = finding;
  if (!failure) return { kind: 'status', offset };
  return { kind: 'failed', stage: 'status', offset, side: failure.side, error: failure.error };
}

/** Where in the piece the first sector that differs begins. */
function difference({ length, readFirst, readSecond }: Piece, first: Buffer, second: Buffer): number | undefined {
  const isSame = (from: number, to: number): boolean => {
    if (readFirst && readSecond) return first.compare(second, from, to, from, to) === 0;
    return isZero(readFirst ? first : second, from, to);
  };
  if (isSame(0, length)) return undefined;
  let low = 0;
  // Halve until one sector is left: all before `low` is the same.
  for (let span = length; span > SECTOR; ) {
    const half = Math.ceil(span / 2 / SECTOR) * SECTOR;
    if (isSame(low, low + half)) {
      low += half;
      span -= half;
    } else span = half;
  }
  return low;
}
