/** Clusters that nothing refers to, given out for the structures of a repair. */
import { CorruptImage } from '../../../core/errors/block-error.ts';
import type { CheckState } from '../check/state.ts';

export class FreeClusters {
  readonly #state: CheckState;
  #next: number;

  /** None below `from` are given out. Cluster 0 never is. */
  constructor(state: CheckState, from: number) {
    if (!state.beyondAll) {
      throw new CorruptImage(
        `'${state.image.fileName}': more references than can be remembered point past the end of the file, so that nothing can be placed there`,
      );
    }
    this.#state = state;
    this.#next = Math.max(1, from);
  }

  /** The first of `length` clusters in a row, counted from now on. */
  take(length: number): number {
    const { counts, beyond } = this.#state;
    let start = this.#next;
    for (let cluster = start; cluster < start + length; cluster++) {
      if (counts.get(cluster) !== 0 || beyond.has(cluster)) start = cluster + 1;
    }
    counts.addRun(start, length);
    // What was passed over is too short for runs; single clusters in it are not worth a search.
    this.#next = start + length;
    return start;
  }
}
