import type { Maybe } from '../../async/maybe.ts';

export { sliceBuffers, totalLength } from '../../bytes/buffers.ts';

/** Run `step(at, n)` over [0, length) in pieces of at most `limit` bytes, one after the other. */
export function inPieces(length: number, limit: number, step: (at: number, n: number) => Maybe<void>): Maybe<void> {
  let at = 0;
  while (at < length) {
    const n = Math.min(limit, length - at);
    const result = step(at, n);
    at += n;
    if (result instanceof Promise) return continueAfter(result, at, length, limit, step);
  }
}

async function continueAfter(
  first: Promise<void>,
  from: number,
  length: number,
  limit: number,
  step: (at: number, n: number) => Maybe<void>,
): Promise<void> {
  await first;
  for (let at = from; at < length; at += limit) await step(at, Math.min(limit, length - at));
}

/** `bufs` as stretches of at most `limit` bytes, each within one buffer, with their distance from the start. */
export function segmentsOf(bufs: readonly Uint8Array[], limit: number): { at: number; buf: Uint8Array }[] {
  const segments: { at: number; buf: Uint8Array }[] = [];
  let start = 0;
  for (const buf of bufs) {
    for (let at = 0; at < buf.length; at += limit) {
      segments.push({ at: start + at, buf: buf.subarray(at, Math.min(buf.length, at + limit)) });
    }
    start += buf.length;
  }
  return segments;
}
