/**
 * Guest clusters whose L2 entries are about to change: an allocating write is registered from the moment its
 * host clusters are decided until its entries are linked. Any other request that would change or overwrite
 * one of these clusters waits for it; reads see the old entry until then.
 */
import type { Maybe } from '../../core/async/maybe.ts';

export class InFlightRange {
  /** Guest cluster numbers [first, end). */
  readonly first: number;
  readonly end: number;
  #ended: Promise<void> | undefined;
  #wake: (() => void) | undefined;

  constructor(first: number, end: number) {
    this.first = first;
    this.end = end;
  }

  whenEnded(): Promise<void> {
    this.#ended ??= new Promise((wake) => {
      this.#wake = wake;
    });
    return this.#ended;
  }

  end_(): void {
    this.#wake?.();
  }
}

export class InFlight {
  readonly #ranges: InFlightRange[] = [];

  begin(first: number, end: number): InFlightRange {
    const range = new InFlightRange(first, end);
    this.#ranges.push(range);
    return range;
  }

  end(range: InFlightRange): void {
    const index = this.#ranges.indexOf(range);
    if (index < 0) return;
    const last = this.#ranges.pop();
    if (last && last !== range) this.#ranges[index] = last;
    range.end_();
  }

  get none(): boolean {
    return this.#ranges.length === 0;
  }

  /** The lowest range that overlaps [first, end). */
  overlapping(first: number, end: number): InFlightRange | undefined {
    let lowest: InFlightRange | undefined;
    for (const range of this.#ranges) {
      if (range.first < end && first < range.end && (!lowest || range.first < lowest.first)) lowest = range;
    }
    return lowest;
  }

  /** Wait until nothing is in flight in [first, end); more may have come in meanwhile elsewhere. */
  settle(first: number, end: number): Maybe<void> {
    const range = this.overlapping(first, end);
    if (!range) return;
    return range.whenEnded().then(() => this.settle(first, end));
  }
}
