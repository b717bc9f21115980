/**
 * Forced unit access of a request that is carried out in pieces. Where a node hands FUA down to a child that makes each
 * piece stable by a flush, one flush after all of them does for all, and is never less: the request ends when that has.
 */
import { alignDown, alignUp } from '../../bytes/ranges.ts';
import { Flag, type Flags, type Image } from '../driver.ts';
import type { Edge } from '../graph/edge.ts';
import type { Fit } from './unaligned.ts';
import { ZERO_CHUNK } from './zeroing.ts';

interface ForcingOwner {
  readonly modes: { readonly noFlush: boolean };
  readonly children: ReadonlyMap<string, Edge>;
}

/**
 * Whether FUA comes to a flush in the end. False where the storage knows it, and where it goes to several children, of
 * which a request may need some only: a flush may then be that of others.
 */
export function comesToFlush(image: Image, { children }: ForcingOwner): boolean {
  if (((image.writeFlags ?? 0) & Flag.FUA) === 0) return true;
  let only: Edge | undefined;
  for (const edge of children.values()) {
    if (!edge.holdsData) continue;
    if (only) return false;
    only = edge;
  }
  return only?.node.io.comesToFlush ?? false;
}

/** Those of `flags` that pieces are to have; FUA that is not among them is to be made up for by a flush of the node. */
export function flagsOfPieces(flags: Flags, inPieces: () => boolean, image: Image, owner: ForcingOwner): Flags {
  // A node that ignores flushes has none to make up for it by.
  if ((flags & Flag.FUA) === 0 || owner.modes.noFlush || !inPieces()) return flags;
  return comesToFlush(image, owner) ? flags & ~Flag.FUA : flags;
}

/** A write takes more than one request. */
export function writesInPieces({ align, maxTransfer }: Fit, offset: number, length: number): boolean {
  return alignUp(offset + length, align) - alignDown(offset, align) > maxTransfer;
}

/** Zeroing may take more than one request, whether the driver can do it or it is done by writing. */
export function zeroesInPieces({ image, align, maxTransfer }: Fit, offset: number, length: number): boolean {
  const { zeroAlignment = 1, maxZero = ZERO_CHUNK } = image.limits ?? {};
  const unit = Math.max(align, zeroAlignment);
  const whole = offset % unit === 0 && (length % unit === 0 || offset + length >= image.size);
  return !whole || length > Math.min(maxZero, maxTransfer, ZERO_CHUNK);
}
