/** Discarding a range: whole units of what the driver takes, and parts of one where it takes those. */
import { after, type Maybe } from '../../async/maybe.ts';
import { alignDown, alignUp, between, type Range } from '../../bytes/ranges.ts';
import type { Image } from '../driver.ts';
import { orNothing } from './hint.ts';
import { inPieces } from './pieces.ts';

/** What of a range can be discarded, in whole blocks of `block` bytes; empty when nothing can. */
export function discardable(image: Image, block: number, { offset, length }: Range): Range {
  const { discardAlignment = 1, takesParts = false } = image.limits ?? {};
  const grain = takesParts ? block : Math.max(discardAlignment, block);
  const stop = Math.min(offset + length, image.size);
  return between(alignUp(offset, grain), stop === image.size ? stop : alignDown(stop, grain));
}

/** Discard what `discardable` has left of a range. */
export function discardInPieces(image: Image, block: number, range: Range): Maybe<void> {
  const { discardAlignment = 1, maxDiscard = Number.MAX_SAFE_INTEGER } = image.limits ?? {};
  const unit = Math.max(discardAlignment, block);
  const start = range.offset;
  const end = start + range.length;
  // Parts go apart from the whole units between them; there are none unless the driver takes them.
  const first = Math.min(end, alignUp(start, unit));
  const last = end === image.size ? end : Math.max(first, alignDown(end, unit));
  const limit = Math.max(unit, alignDown(maxDiscard, unit));
  const piece = (at: number, n: number) => orNothing(() => (n > 0 ? image.discard?.(at, n) : undefined));
  const units = () => inPieces(last - first, limit, (at, n) => piece(first + at, n));
  return after(piece(start, first - start), () => after(units(), () => piece(last, end - last)));
}
