/**
 * Memory for the data of requests of all connections, of all servers of this process.
 *
 * It is lent in pieces and taken back, and what is lent is counted: while that is little, each connection may have a good
 * deal of it; when it becomes much, each has to keep to its share and takes it in shorter pieces, so that the whole stays
 * within bounds however many clients ask for however much.
 */
import { AlignedPool } from '../host/index.ts';
import type { Lender } from '../nbd/index.ts';

const KIB = 1024;
/** Bytes for all connections together; beyond, each may have the least only. */
const WHOLE = 16 << 20;
/** Bytes that are lent while there is no want; from there on shares are kept to. */
const PLENTY = 8 << 20;
/** Bytes that are kept for later: all that was ever lent, since what is dropped stays until the next big collection. */
const KEPT = 2 * WHOLE;
/** What one connection may have while there is no want, and what it may have at least. */
const MOST = 2560 * KIB;
const LEAST = 128 * KIB;
/** Bytes that are lent from where on it is lent in short pieces. */
const TIGHT = 12 << 20;
/** Longest piece of a read or write that is done at a time, before that and after. */
const PIECE = 512 * KIB;
const SHORT_PIECE = 128 * KIB;
/** Blocks of what arrives. */
const BLOCK = 256 * KIB;
const SHORT_BLOCK = 64 * KIB;

class PayloadMemory implements Lender {
  /** Aligned, so that a direct read needs no copy. */
  readonly #pool = new AlignedPool(4096, KEPT);
  #lent = 0;

  /** Bytes that are lent. */
  get lent(): number {
    return this.#lent;
  }

  /** Longest piece that should be taken now, in bytes. */
  get piece(): number {
    return this.#lent < TIGHT ? PIECE : SHORT_PIECE;
  }

  get longest(): number {
    return this.#lent < TIGHT ? BLOCK : SHORT_BLOCK;
  }

  /** Bytes that each of `connections` may have now. */
  share(connections: number): number {
    if (this.#lent < PLENTY) return MOST;
    return this.#lent < WHOLE ? Math.max(LEAST, Math.floor(WHOLE / connections)) : LEAST;
  }

  take(length: number): Uint8Array {
    this.#lent += length;
    return this.#pool.take(length);
  }

  give(bytes: Uint8Array): void {
    this.#lent -= bytes.length;
    this.#pool.give(bytes);
  }

  /** Take it back without lending it again: something may still be written to it. */
  abandon(bytes: Uint8Array): void {
    this.#lent -= bytes.length;
  }

  /** Nobody is connected: memory that is kept goes back to the system. */
  trim(): void {
    this.#pool.trim();
  }
}

export const payloads = new PayloadMemory();
