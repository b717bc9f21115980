/** Copying in the kernel, for as long as that proves possible. */
import type { Maybe } from '../../async/maybe.ts';
import type { Segment } from './types.ts';

/** Longer than what goes through memory: it takes none, and a call costs what it costs. */
export const OFFLOAD_TRANSFER = 16 * 1024 * 1024;

/** Segments that could not be copied, and none that could, after which no more are tried. */
const PATIENCE = 4;

/**
 * Whether the kernel copies is found out first: segments of the usual length are tried one at a time, and nothing else is
 * planned meanwhile. From then on all are tried, or none. What is copied this way keeps its zeroes as data, so which
 * segments are must not depend on which of those in flight happens to end first.
 *
 *     trial ──one is copied──▶ proven
 *       └──several are not, or one fails──▶ off
 */
export class Offload {
  #state: 'trial' | 'proven' | 'off' = 'trial';
  #declined = 0;
  #trial: Promise<void> | undefined;
  #endTrial: () => void = () => undefined;

  /** Longest segment to be planned for it now, in bytes, where `transfer` is the usual length; undefined: plan none. */
  longest(transfer: number): number | undefined {
    if (this.#state === 'off') return undefined;
    return this.#state === 'trial' ? transfer : Math.max(OFFLOAD_TRANSFER, transfer);
  }

  get onTrial(): boolean {
    return this.#state === 'trial';
  }

  /** A promise while a segment is being tried: what comes next is not known yet. */
  get undecided(): Maybe<void> {
    return this.#trial;
  }

  /** A segment is planned for it; {@link ended} follows in any case. */
  planned(): void {
    if (this.#state !== 'trial') return;
    this.#trial = new Promise((resolve) => {
      this.#endTrial = resolve;
    });
  }

  /** What was {@link planned} has been dealt with. */
  ended(): void {
    this.#trial = undefined;
    this.#endTrial();
  }

  /**
   * Run `attempt`, which says whether it has copied a segment. False where it has not, for whatever reason: then it is to
   * go through memory, which also finds what is wrong. Once it is proven, one segment may be unfit.
   */
  async copied(attempt: () => Maybe<boolean>): Promise<boolean> {
    try {
      if (await attempt()) {
        this.#state = 'proven';
        return true;
      }
      if (++this.#declined >= PATIENCE) this.#giveUp();
    } catch {
      this.#giveUp();
    }
    return false;
  }

  #giveUp(): void {
    if (this.#state === 'trial') this.#state = 'off';
  }
}

/** A long segment in the pieces that it would have been planned in: none reaches across a multiple of `limit` bytes. */
export function* piecesOf(segment: Segment, limit: number): Generator<Segment> {
  const end = segment.offset + segment.length;
  for (let at = segment.offset; at < end; ) {
    const stop = Math.min(end, at - (at % limit) + limit);
    yield { ...segment, offset: at, length: stop - at };
    at = stop;
  }
}
