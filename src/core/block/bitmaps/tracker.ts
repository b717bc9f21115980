import { DirtyBitmap } from '../../bitmap/index.ts';
import type { Range } from '../../bytes/ranges.ts';

/** Where a tracker is listed as long as it lives. */
export interface TrackerHome {
  readonly size: number;
  attach(tracker: DirtyTracker): void;
  detach(tracker: DirtyTracker): void;
  recordingChanged(): void;
}

/**
 * The changes of a node, recorded for a job, which takes them one stretch after the other. A change is marked when its
 * request ends, failed or not, before its caller knows: who takes a stretch and reads the disk afterwards either sees
 * a change or finds it marked again.
 */
export class DirtyTracker implements Disposable {
  readonly bitmap: DirtyBitmap;
  #home: TrackerHome;
  #recording = true;
  #position = 0;

  constructor(home: TrackerHome, granularity: number) {
    this.#home = home;
    this.bitmap = new DirtyBitmap(home.size, granularity);
    home.attach(this);
  }

  get recording(): boolean {
    return this.#recording;
  }

  /** Off where the job marks by itself what it is to come back to. */
  set recording(on: boolean) {
    this.#recording = on;
    this.#home.recordingChanged();
  }

  /** Bytes that wait to be taken, in whole granules. */
  get count(): number {
    return this.bitmap.count;
  }

  /**
   * Take the next dirty stretch, at most `maxLength` bytes (at least a granule) of it, behind the one taken last or from
   * the start again: it is clean from now on. Undefined when nothing is dirty.
   */
  take(maxLength: number): Range | undefined {
    const { bitmap } = this;
    const limit = Math.max(bitmap.granularity, maxLength - (maxLength % bitmap.granularity));
    const range =
      bitmap.nextDirtyRange(this.#position, bitmap.size, limit) ?? bitmap.nextDirtyRange(0, bitmap.size, limit);
    if (!range) return undefined;
    bitmap.clear(range.offset, range.length);
    this.#position = range.offset + range.length;
    return range;
  }

  /** What was taken could not be dealt with. */
  putBack(range: Range): void {
    this.bitmap.set(range.offset, range.length);
  }

  /** Take a stretch that somebody else deals with, as far as its granules lie in it. */
  claim(offset: number, length: number): void {
    this.bitmap.clear(offset, length);
  }

  /** Record at another node from now on, of the same length. Nothing may be in flight at either. */
  follow(home: TrackerHome): void {
    if (home === this.#home) return;
    this.#home.detach(this);
    this.#home = home;
    home.attach(this);
    home.recordingChanged();
  }

  /** Record no more. */
  dispose(): void {
    this.#home.detach(this);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
