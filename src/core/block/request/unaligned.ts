/**
 * Requests that do not fit the alignment of a node: reads take whole blocks and keep the middle, writes
 * read the first and last block, merge, and write whole blocks (the caller holds the range exclusively).
 */
import { after, all, type Maybe } from '../../async/maybe.ts';
import type { Image } from '../driver.ts';
import { sliceBuffers, totalLength } from './pieces.ts';

/** Read [offset, …) into `bufs` from an image that only takes multiples of `align`. */
export function readPadded(image: Image, align: number, offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
  const length = totalLength(bufs);
  const start = offset - (offset % align);
  const end = Math.ceil((offset + length) / align) * align;
  const bounce = Buffer.allocUnsafeSlow(end - start);
  return after(readWhole(image, start, bounce), () => scatter(bounce.subarray(offset - start), bufs));
}

/** Merge `bufs` into whole blocks, reading what they do not cover, and hand the blocks to `put`. */
export function writePadded(
  target: { readonly image: Image; readonly align: number },
  offset: number,
  bufs: readonly Uint8Array[],
  put: (offset: number, parts: readonly Uint8Array[]) => Maybe<void>,
): Maybe<void> {
  const { image, align } = target;
  const length = totalLength(bufs);
  const start = offset - (offset % align);
  const end = Math.ceil((offset + length) / align) * align;
  const headBytes = offset - start;
  const tailBytes = end - (offset + length);
  const lastBlock = end - align;
  const oneBlock = headBytes > 0 && lastBlock === start;
  const head = headBytes > 0 ? Buffer.allocUnsafeSlow(align) : undefined;
  const tail = tailBytes > 0 && !oneBlock ? Buffer.allocUnsafeSlow(align) : undefined;
  const reads = all([head && readWhole(image, start, head), tail && readWhole(image, lastBlock, tail)]);
  return after(reads, () => {
    const parts: Uint8Array[] = [];
    if (head) parts.push(head.subarray(0, headBytes));
    parts.push(...bufs);
    const last = oneBlock ? head : tail;
    if (last && tailBytes > 0) parts.push(last.subarray(align - tailBytes));
    return put(start, parts);
  });
}

/** Whole blocks; what lies past the end of the image is zero. */
function readWhole(image: Image, offset: number, buf: Uint8Array): Maybe<void> {
  const inside = Math.max(0, Math.min(buf.length, image.size - offset));
  if (inside === buf.length) return image.read(offset, buf);
  buf.fill(0);
  const align = Math.max(1, image.limits?.requestAlignment ?? 1);
  const whole = Math.min(buf.length, Math.ceil(inside / align) * align);
  return whole === 0 ? undefined : image.read(offset, buf.subarray(0, whole));
}

function scatter(from: Uint8Array, bufs: readonly Uint8Array[]): void {
  let at = 0;
  for (const buf of sliceBuffers(bufs, 0, totalLength(bufs))) {
    buf.set(from.subarray(at, at + buf.length));
    at += buf.length;
  }
}
