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
