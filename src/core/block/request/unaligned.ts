/**
 * Requests that do not fit the alignment of a node: reads take whole blocks and keep the middle, writes
 * read the first and last block, merge, and write whole blocks (the caller holds the range exclusively).
 */
import { after, type Maybe } from '../../async/maybe.ts';
import { alignDown, alignUp } from '../../bytes/ranges.ts';
import type { Image } from '../driver.ts';
import { inPieces, sliceBuffers, totalLength } from './pieces.ts';

/** Longest read of whole blocks in bytes; the wanted bytes are copied out of each. */
const BOUNCE = 1 << 20;

/** What a request has to keep to. */
export interface Fit {
  readonly image: Image;
  /** Power of two in bytes. */
  readonly align: number;
  /** Longest request in bytes, a multiple of `align`. */
  readonly maxTransfer: number;
}

/** What the requests to `image` must be like; throws for an alignment that is no power of two. */
export function fitOf(image: Image, name: string): Fit {
  const align = image.limits?.requestAlignment ?? 1;
  // A power of two below 2^31: bit operations look at the low 32 bits of larger numbers, which is enough for it.
  if (!(align >= 1 && align <= 2 ** 30) || (align & (align - 1)) !== 0) {
    throw new Error(`driver of '${name}' asks for an alignment of ${align} bytes, not a power of two`);
  }
  return {
    image,
    align,
    maxTransfer: Math.max(align, alignDown(image.limits?.maxTransfer ?? Number.MAX_SAFE_INTEGER, align)),
  };
}

/** Read [offset, …) into `bufs` from an image that only takes multiples of `align`. */
export function readPadded(fit: Fit, offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
  const { image, align, maxTransfer } = fit;
  const end = offset + totalLength(bufs);
  const start = alignDown(offset, align);
  const total = alignUp(end, align) - start;
  const step = Math.min(total, maxTransfer, Math.max(align, BOUNCE));
  const bounce = Buffer.allocUnsafeSlow(step);
  return inPieces(total, step, (at, n) => {
    const from = start + at;
    return after(readWhole(image, from, bounce.subarray(0, n)), () => {
      let copied = Math.max(0, offset - from);
      for (const part of sliceBuffers(bufs, from + copied - offset, Math.min(from + n, end) - offset)) {
        part.set(bounce.subarray(copied, copied + part.length));
        copied += part.length;
      }
    });
  });
}

/** Merge `bufs` into whole blocks, reading what they do not cover, and hand the blocks to `put`. */
export function writePadded(
  fit: Fit,
  offset: number,
  bufs: readonly Uint8Array[],
  put: (offset: number, parts: readonly Uint8Array[]) => Maybe<void>,
): Maybe<void> {
  const { image, align } = fit;
  const length = totalLength(bufs);
  if (length === 0) return;
  const start = alignDown(offset, align);
  const end = alignUp(offset + length, align);
  const headBytes = offset - start;
  const tailBytes = end - (offset + length);
  const lastBlock = end - align;
  const oneBlock = headBytes > 0 && lastBlock === start;
  const head = headBytes > 0 ? Buffer.allocUnsafeSlow(align) : undefined;
  const tail = tailBytes > 0 && !oneBlock ? Buffer.allocUnsafeSlow(align) : undefined;
  const merge = () => {
    const parts: Uint8Array[] = [];
    if (head) parts.push(head.subarray(0, headBytes));
    parts.push(...bufs);
    const last = oneBlock ? head : tail;
    if (last && tailBytes > 0) parts.push(last.subarray(align - tailBytes));
    return put(start, parts);
  };
  const readHead = () => head && readWhole(image, start, head);
  const readTail = () => tail && readWhole(image, lastBlock, tail);
  if (image.event === undefined) return after(readHead(), () => after(readTail(), merge));
  const steps = { head: headBytes > 0, tail: tailBytes > 0, together: end - start <= 2 * align };
  return readAnnounced(image, steps, readHead, readTail).then(merge);
}

/** Read the ends of a request, telling a fault injector; ends that touch count as one read. */
async function readAnnounced(
  image: Image,
  ends: { readonly head: boolean; readonly tail: boolean; readonly together: boolean },
  readHead: () => Maybe<void>,
  readTail: () => Maybe<void>,
): Promise<void> {
  const together = ends.head && ends.tail && ends.together;
  if (ends.head) await image.event?.('pwritev_rmw_head');
  if (together) await image.event?.('pwritev_rmw_tail');
  await readHead();
  if (together) await readTail();
  if (ends.head) await image.event?.('pwritev_rmw_after_head');
  if (ends.tail && !together) {
    await image.event?.('pwritev_rmw_tail');
    await readTail();
  }
  if (ends.tail) await image.event?.('pwritev_rmw_after_tail');
}

/** Whole blocks; what lies past the end of the image is zero. */
function readWhole(image: Image, offset: number, buf: Uint8Array): Maybe<void> {
  const inside = Math.max(0, Math.min(buf.length, image.size - offset));
  if (inside === buf.length) return image.read(offset, buf);
  const align = Math.max(1, image.limits?.requestAlignment ?? 1);
  const whole = Math.min(buf.length, alignUp(inside, align));
  buf.fill(0, inside);
  if (whole === 0) return;
  return after(image.read(offset, buf.subarray(0, whole)), () => void buf.fill(0, inside));
}
