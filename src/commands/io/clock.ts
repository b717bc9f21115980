import { clock } from '../../core/async/clock.ts';

/** Shortest time that is reported: two readings of the clock may be the same. */
const TICK = 1e-9;

/** Seconds since `begin`, a reading of `clock()`; never zero, so that rates can be made of it. */
export function secondsSince(begin: number): number {
  return Math.max(TICK, (clock() - begin) / 1000);
}
