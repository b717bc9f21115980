import type { Maybe } from '../../async/maybe.ts';

/** Bytes in a list of buffers. */
export function totalLength(bufs: readonly Uint8Array[]): number {
  let sum = 0;
  for (const buf of bufs) sum += buf.length;
  return sum;
}

/** Views of the bytes [start, end) of a list of buffers taken as one. */
export function sliceBuffers(bufs: readonly Uint8Array[], start: number, end: number): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const buf of bufs) {
    const from = Math.max(start - at, 0);
    const to = Math.min(end - at, buf.length);
    if (from < to) parts.push(from === 0 && to === buf.length ? buf : buf.subarray(from, to));
    at += buf.length;
    if (at >= end) break;
  }
  return parts;
}

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
