/** Shortest time that is reported: two readings of the clock may be the same. */
const TICK = 1e-9;

/** Seconds since `begin`, a reading of `performance.now()`; never zero, so that rates can be made of it. */
export function secondsSince(begin: number): number {
  return Math.max(TICK, (performance.now() - begin) / 1000);
}
