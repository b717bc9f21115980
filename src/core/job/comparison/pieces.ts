/**
 * What there is to compare on two disks: their status side by side, cut into pieces of one kind. Where both
 * read as zeroes there is nothing to do, and nothing comes out; past its end a disk counts as zeroes.
 */
import type { Maybe } from '../../async/maybe.ts';
import { after } from '../../async/maybe.ts';
import type { Backend } from '../../block/backend/backend.ts';
import type { ChainExtent } from '../../block/graph/status.ts';

/** A range to compare; a side that is not read must be all zeroes for the other to match. */
export interface Piece {
  readonly offset: number;
  readonly length: number;
  readonly readFirst: boolean;
  readonly readSecond: boolean;
}

/** The status could not be found out, or differs where it must not. */
export interface StatusFinding {
  readonly offset: number;
  /** Absent: the two differ. */
  readonly failure?: { readonly side: 0 | 1; readonly error: unknown };
}

interface Sight {
  readonly end: number;
  readonly allocated: boolean;
  readonly data: boolean;
  readonly zero: boolean;
}

/** Hands out pieces in the order of their offsets. One at a time: ask again only when the last answer is there. */
export class PieceWalker {
  readonly #disks: readonly [Backend, Backend];
  readonly #strict: boolean;
  readonly size: number;
  #offset = 0;
  #sights: [Sight | undefined, Sight | undefined] = [undefined, undefined];
  #finding: StatusFinding | undefined;

  constructor(disks: readonly [Backend, Backend], strict: boolean) {
    this.#disks = disks;
    this.#strict = strict;
    this.size = Math.max(disks[0].size, disks[1].size);
  }

  /** How far the disks have been handed out, or passed over as zeroes. */
  get offset(): number {
    return this.#offset;
  }

  /** What ended the walk early. */
  get finding(): StatusFinding | undefined {
    return this.#finding;
  }

  /** The next piece, at most `limit` bytes; undefined at the end of the disks, or where the walk had to end. */
  next(limit: number): Maybe<Piece | undefined> {
    let piece: Piece | undefined;
    while (this.#offset < this.size && !this.#finding) {
      const pending = this.#look(0) ?? this.#look(1);
      // What is found so far is worth its own request; the wait is for the next call.
      if (pending && !piece) return pending.then(() => this.next(limit));
      if (pending) return pending.then(() => piece);
      const [first, second] = this.#sights;
      if (!first || !second || this.#statusDiffers(first, second)) break;
      const readFirst = isContent(first);
      const readSecond = isContent(second);
      if (piece && (piece.readFirst !== readFirst || piece.readSecond !== readSecond)) return piece;
      const end = Math.min(first.end, second.end);
      if (readFirst || readSecond) {
        const offset: number = piece?.offset ?? this.#offset;
        const length: number = Math.min(end - offset, limit);
        piece = { offset, length, readFirst, readSecond };
        this.#offset = offset + length;
        if (length === limit) return piece;
      } else this.#offset = end;
    }
    return piece;
  }

  #statusDiffers(first: Sight, second: Sight): boolean {
    const same = first.allocated === second.allocated && first.data === second.data && first.zero === second.zero;
    if (same || !this.#strict) return false;
    this.#finding = { offset: this.#offset };
    return true;
  }

  /** Make sure the status of `side` at the current offset is known; a promise when that takes time. */
  #look(side: 0 | 1): Promise<void> | undefined {
    if ((this.#sights[side]?.end ?? 0) > this.#offset) return undefined;
    const disk = this.#disks[side];
    const offset = this.#offset;
    if (offset >= disk.size) {
      this.#sights[side] = { end: this.size, allocated: false, data: false, zero: true };
      return undefined;
    }
    const fail = (error: unknown): void => {
      this.#finding = { offset, failure: { side, error } };
    };
    try {
      const found = after(disk.chainStatus(offset, disk.size - offset), (extent) => this.#see(side, offset, extent));
      return found instanceof Promise ? found.catch(fail) : undefined;
    } catch (error) {
      fail(error);
      return undefined;
    }
  }

  #see(side: 0 | 1, offset: number, extent: ChainExtent): void {
    const { length, allocated, data, zero } = extent;
    if (length <= 0) throw new Error(`empty status at ${offset}`);
    this.#sights[side] = { end: offset + length, allocated, data, zero };
  }
}

/** What has to be read to know it. */
function isContent(sight: Sight): boolean {
  return sight.allocated && !sight.zero;
}
