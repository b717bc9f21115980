/** The disk as it was when a copy-before-write filter was put over it: what the filter offers to others. */
import type { Maybe } from '../async/maybe.ts';
import type { DirtyBitmap } from '../bitmap/index.ts';
import type { BlockError } from '../errors/block-error.ts';
import type { Extent } from './driver.ts';

export interface PointInTimeCapability {
  /** What has not been saved in the target yet and still is to be, in granules of whole clusters. */
  readonly wanted: DirtyBitmap;
  /** What can be read of that time: all, but for what was never to be saved and what was discarded. */
  readonly readable: DirtyBitmap;
  /** Why it is lost: saving failed, and the disk was changed nevertheless. */
  readonly failure: BlockError | undefined;
  /** The disk is a temporary one that is read once: what {@link save} with `discard` has copied is discarded there. */
  discardsSource: boolean;
  /** Save what is wanted of a range; the error says by `data.side` whether reading or writing failed. */
  save(offset: number, length: number, how?: SaveOptions): Promise<void>;
  read(offset: number, buf: Uint8Array): Promise<void>;
  status(offset: number, length: number): Maybe<Extent>;
  /** Nobody reads that range any more, so it need not be saved, nor kept. */
  discard(offset: number, length: number): Maybe<void>;
}

export interface SaveOptions {
  readonly compressed?: boolean;
  /** As `discardsSource` says. */
  readonly discard?: boolean;
}
