/**
 * Records on their way from where requests are to the thread that writes them: a ring of 64-bit words in memory that both
 * share. Requests that follow each other are mostly alike (4 KiB reads of one node, say), and every line of this memory
 * has to go from one processor to the other. So records come in runs: five words with what all of the run have in common,
 * and three more for each of its records, which are numbered without a gap.
 *
 * Both ends are in one process, so this layout is nobody else's business.
 *
 *     run      number of the first (float64), length (float64), kind + errno, depth + node, records + 0 (pairs of int32)
 *     record   issue (int64 ns), completion (int64 ns), offset (float64)
 */

/** Words of the ring, a power of two: 2 MiB. */
export const RING_WORDS = 1 << 18;
export const RUN_WORDS = 5;
export const RECORD_WORDS = 3;

/**
 * Words of the control block: words ever added, words ever taken (both modulo 2^32); writing has failed, the other end has
 * finished (0 or 1).
 */
export const ADDED = 0;
export const TAKEN = 1;
export const FAILED = 2;
export const FINISHED = 3;
const CONTROL_WORDS = 4;

export interface RingMemory {
  readonly words: SharedArrayBuffer;
  readonly control: SharedArrayBuffer;
}

export function ringMemory(): RingMemory {
  return { words: new SharedArrayBuffer(RING_WORDS * 8), control: new SharedArrayBuffer(CONTROL_WORDS * 4) };
}
