/** Copying in the kernel, for as long as that proves possible. */
import type { Maybe } from '../../async/maybe.ts';
import type { Segment } from './types.ts';

/** Longer than what goes through memory: it takes none, and a call costs what it costs. */
export const OFFLOAD_TRANSFER = 16 * 1024 * 1024;

/** Segments that could not be copied, and none that could, after which no more are tried. */
const PATIENCE = 4;

/**
 * What is copied this way keeps its zeroes as data, so whether a segment is depends on the segment only, and not on which
 * of those in flight happens to end first.
 */
export class Offload {
  #declined = 0;
  #inFlight = 0;
  #proven = false;
  #active: boolean;
  readonly #stopped: () => void;

  /** @param stopped called when it turns out that the kernel cannot do it */
  constructor(wanted: boolean, stopped: () => void) {
    this.#active = wanted;
    this.#stopped = stopped;
  }

  get active(): boolean {
    return this.#active;
  }

  /**
   * Run `attempt`, which says whether it has copied `segment`. False where it has not, for whatever reason: then it is to
   * go through memory, which also finds what is wrong. One segment may be unfit; an error ends it for good.
   */
  async copied(attempt: () => Maybe<boolean | undefined>): Promise<boolean> {
    this.#inFlight++;
    try {
      if ((await attempt()) === true) {
        this.#proven = true;
        return true;
      }
      this.#declined++;
    } catch {
      this.#stop();
    } finally {
      this.#inFlight--;
    }
    if (!this.#proven && this.#inFlight === 0 && this.#declined >= PATIENCE) this.#stop();
    return false;
  }

  #stop(): void {
    if (!this.#active) return;
    this.#active = false;
    this.#stopped();
  }
}

/** A long segment in the pieces that fit a buffer of `limit` bytes. */
export function* piecesOf(segment: Segment, limit: number): Generator<Segment> {
  for (let at = 0; at < segment.length; at += limit) {
    yield { ...segment, offset: segment.offset + at, length: Math.min(limit, segment.length - at) };
  }
}
