import type { SegmentKind } from './types.ts';

/** Bytes up to `end` of the target, from where was asked on, are of one kind. */
export interface Known {
  readonly end: number;
  readonly kind: SegmentKind;
  /** Data that lies in files below as it is. */
  readonly mapped: boolean;
}

const KINDS: readonly SegmentKind[] = ['data', 'zero', 'skip'];
/** Added to the number of a kind. */
const MAPPED = 4;
const FIRST_CAPACITY = 1024;
/** Stretches that are kept, at 9 bytes each; those behind them are asked for again. */
const MAX_STRETCHES = 1 << 20;

/**
 * What block status has said of sources that hold still, in the order of offsets in the target: kept from the walk that
 * counts what is to be copied for the one that copies it. Stretches stay as they were told, so that both cut alike.
 */
export class KnownStatus {
  #ends = new Float64Array(FIRST_CAPACITY);
  #kinds = new Uint8Array(FIRST_CAPACITY);
  #count = 0;
  /** Where the first stretch begins, and the last one ends. */
  #start = 0;
  #end = 0;
  /** The stretch that was looked at last, and where it begins. */
  #index = 0;
  #at = 0;
  readonly #limit: number;

  constructor(limit = MAX_STRETCHES) {
    this.#limit = limit;
  }

  /** Keep what is known from `start` on; left out where there is no room, or something before it is not known. */
  note(start: number, { end, kind, mapped }: Known): void {
    if (this.#count === 0) {
      this.#start = start;
      this.#at = start;
    } else if (start !== this.#end) return;
    if (this.#count >= this.#limit) return;
    if (this.#count === this.#ends.length) this.#grow();
    this.#ends[this.#count] = end;
    this.#kinds[this.#count++] = KINDS.indexOf(kind) + (mapped ? MAPPED : 0);
    this.#end = end;
  }

  /** What is known at `offset`; cheap where that is not before what was asked for last. */
  at(offset: number): Known | undefined {
    if (offset < this.#start || offset >= this.#end) return undefined;
    if (offset < this.#at) {
      this.#index = 0;
      this.#at = this.#start;
    }
    for (;;) {
      const end = this.#ends[this.#index] ?? 0;
      if (offset < end) break;
      this.#at = end;
      this.#index++;
    }
    const kind = this.#kinds[this.#index] ?? 0;
    return { end: this.#ends[this.#index] ?? 0, kind: KINDS[kind % MAPPED] ?? 'data', mapped: kind >= MAPPED };
  }

  #grow(): void {
    const ends = new Float64Array(this.#ends.length * 2);
    const kinds = new Uint8Array(this.#kinds.length * 2);
    ends.set(this.#ends);
    kinds.set(this.#kinds);
    this.#ends = ends;
    this.#kinds = kinds;
  }
}
