/** What an image says of a range, made total: past its end, without a status of its own, and no longer than asked. */
import type { Maybe } from '../../async/maybe.ts';
import { alignUp } from '../../bytes/ranges.ts';
import type { Extent, Image } from '../driver.ts';
import type { Edge } from '../graph/edge.ts';

export interface StatusRequest {
  readonly offset: number;
  readonly length: number;
  readonly precise: boolean;
}

/** `passedOn` is the child whose content a filter passes on as it is. */
export function imageStatus(
  image: Image,
  owner: { readonly name: string; readonly passedOn?: Edge | undefined },
  request: StatusRequest,
): Maybe<Extent> {
  const { offset, length, precise } = request;
  const { size } = image;
  if (offset >= size) return { length, allocated: false, data: false, zero: true };
  const span = Math.min(length, size - offset);
  if (!image.status) {
    return owner.passedOn?.status(offset, span, precise) ?? { length: span, allocated: true, data: true, zero: false };
  }
  const answer = image.status(offset, span, precise);
  return answer instanceof Promise
    ? answer.then((extent) => inBlocks(bounded(extent, span, owner), image, request))
    : inBlocks(bounded(answer, span, owner), image, request);
}

/** The last block of an image that is used in whole blocks is one thing, also where the image ends within it. */
function inBlocks(extent: Extent, { size, limits }: Image, { offset, length }: StatusRequest): Extent {
  const { requestAlignment = 1 } = limits ?? {};
  if (requestAlignment === 1 || offset + extent.length !== size || size % requestAlignment === 0) return extent;
  return { ...extent, length: Math.min(length, alignUp(size, requestAlignment) - offset) };
}

/** An answer about nothing would keep whoever walks the disk from getting on. */
function bounded(extent: Extent, span: number, owner: { readonly name: string }): Extent {
  if (span > 0 && !(extent.length > 0)) throw new Error(`driver of '${owner.name}' gave an empty status`);
  return extent.length > span ? { ...extent, length: span } : extent;
}
