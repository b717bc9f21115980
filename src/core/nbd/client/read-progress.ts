/**
 * Which bytes of a read have come, when its reply comes in pieces: no byte twice, none outside, none missing.
 *
 * Pieces mostly come one behind the other, which is one number here; what comes out of order is kept as a sorted list
 * of disjoint stretches that join again as the gaps between them fill.
 */
import { broken } from './option-codec.ts';

/** Stretches at the same time: a server that scatters its data more than that is after something else. */
const MAX_STRETCHES = 4096;

export class ReadProgress {
  readonly #start: number;
  readonly #end: number;
  /** Starts and ends by turns, ascending. */
  readonly #edges: number[] = [];

  /** @param start offset of the read in bytes. */
  constructor(start: number, length: number) {
    this.#start = start;
    this.#end = start + length;
  }

  /** Everything has come. */
  get complete(): boolean {
    return this.#edges.length === 2 && this.#edges[0] === this.#start && this.#edges[1] === this.#end;
  }

  /** Is `offset` one of the bytes that were asked for. */
  covers(offset: number): boolean {
    return offset >= this.#start && offset < this.#end;
  }

  /** A piece is about to come. @throws BlockError when it is not wholly inside, or has come already. */
  add(offset: number, length: number): void {
    const end = offset + length;
    if (length <= 0 || offset < this.#start || end > this.#end) {
      const asked = `${this.#end - this.#start} bytes at ${this.#start}`;
      throw broken(`${length} bytes at ${offset} in reply to a read of ${asked}`);
    }
    const edges = this.#edges;
    if (edges.length === 0) {
      edges.push(offset, end);
      return;
    }
    const last = edges.length - 1;
    if (edges[last] === offset) {
      edges[last] = end;
      return;
    }
    this.#insert(offset, end);
  }

  #insert(offset: number, end: number): void {
    const edges = this.#edges;
    // The first stretch that ends behind where the piece begins.
    let low = 0;
    let high = edges.length / 2;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((edges[2 * middle + 1] ?? 0) > offset) high = middle;
      else low = middle + 1;
    }
    const at = 2 * low;
    const next = edges[at];
    if (next !== undefined && next < end) throw broken(`data at ${Math.max(next, offset)} came twice in one reply`);
    const joinsBefore = at > 0 && edges[at - 1] === offset;
    const joinsNext = next === end;
    if (joinsBefore && joinsNext) edges.splice(at - 1, 2);
    else if (joinsBefore) edges[at - 1] = end;
    else if (joinsNext) edges[at] = offset;
    else edges.splice(at, 0, offset, end);
    if (edges.length > 2 * MAX_STRETCHES) throw broken(`the reply to a read came in over ${MAX_STRETCHES} stretches`);
  }
}
