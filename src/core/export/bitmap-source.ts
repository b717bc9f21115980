/** A dirty bitmap as an export shows it. */
import type { NamedBitmap } from '../block/bitmaps/named-bitmap.ts';

export interface BitmapSource {
  readonly name: string;
  /** Runs that cover the range, in order; the last may end past it. */
  extents(offset: number, length: number): Iterable<{ readonly length: number; readonly dirty: boolean }>;
  /** Called once, when the export is closed: others may use the bitmap again. */
  release?(): void;
}

/** `bitmap` as it is at any moment, kept from others on behalf of `user` (for messages). Throws where it is not free. */
export function bitmapSource(bitmap: NamedBitmap, user: string): BitmapSource {
  const release = bitmap.hold(user);
  return { name: bitmap.name, extents: (offset, length) => bitmap.bits.extents(offset, length), release };
}
