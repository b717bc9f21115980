/** Dirty bitmaps that an image keeps beside its disk, as its driver offers them. */
import type { Maybe } from '../async/maybe.ts';
import type { DirtyBitmap } from '../bitmap/index.ts';

export interface BitmapStore {
  /** What was there when the image was opened, as far as it can be used. */
  readonly found: readonly FoundBitmap[];
  /**
   * Throws where one more of that name and granularity (bytes) cannot be kept; `others` are those that are to be kept
   * but are not in the image yet.
   */
  assertRoom(name: string, granularity: number, others: readonly KeptBitmap[]): void;
  /** Say in the image that these are in use, before they change; nothing for those that are not in it. */
  beginChange(names: readonly string[]): Maybe<void>;
  /** Take one out of the image; nothing when it is not there. */
  remove(name: string): Promise<void>;
  /** Put those that changed and those that are new into the image; after that none is in use. */
  save(bitmaps: readonly KeptBitmap[]): Promise<void>;
}

export interface FoundBitmap {
  readonly name: string;
  readonly bits: DirtyBitmap;
  /** It follows what is written. */
  readonly recording: boolean;
  /** Its content is not to be trusted. */
  readonly inconsistent: boolean;
}

export interface KeptBitmap {
  readonly name: string;
  readonly bits: DirtyBitmap;
  readonly recording: boolean;
}
