/**
 * Milliseconds of a clock that only goes forward, with fractions. `performance.now()` has the same time, but the first
 * look at `performance` makes Node load a dozen modules, which every program would pay for when it starts.
 */
export function clock(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}
