/**
 * The requests that change a node: counted for flushes, tracked for those that must not overlap them, and marked in the
 * dirty bitmaps when they have ended - here and nowhere else. One that fails is marked too: it may have changed something.
 */
import type { Maybe } from '../../async/maybe.ts';
import { alignDown, alignUp, type Range } from '../../bytes/ranges.ts';
import type { NodeBitmaps } from '../bitmaps/node-bitmaps.ts';
import { Flag, type Flags } from '../driver.ts';
import type { InFlight } from './in-flight.ts';
import { type NewRequest, RequestTracker, type Tracked } from './tracker.ts';

/** Bytes, flags of the request, and whether the range is in whole blocks whatever its numbers say. */
export interface Change extends Range {
  readonly flags?: Flags;
  readonly whole?: boolean;
}

export class Changes {
  readonly tracker = new RequestTracker();
  readonly bitmaps: NodeBitmaps;
  /** Begun and ended ones. */
  count = 0;
  /** Bytes of a block of the image, a power of two. */
  align = 1;
  readonly #requests: InFlight;

  constructor(requests: InFlight, bitmaps: NodeBitmaps) {
    this.#requests = requests;
    this.bitmaps = bitmaps;
  }

  /** A change must look for overlaps, or is to be marked: it cannot go the shortest way. */
  get observed(): boolean {
    return this.tracker.hasSerialising || this.bitmaps.recording;
  }

  /**
   * Run a change of a range, by itself where its ends share a block with others (`whole` says that they do not),
   * and after those that are by themselves there already.
   */
  run({ offset, length, flags = 0, whole = false }: Change, action: () => Maybe<void>): Maybe<void> {
    const marks = (flags & Flag.UNCHANGED) === 0;
    const { align } = this;
    if (!whole && ((offset | length) & (align - 1)) !== 0) {
      const start = alignDown(offset, align);
      const request = { start, length: alignUp(offset + length, align) - start, serialising: true, marks };
      return this.exclusive(request, action);
    }
    if (!this.tracker.hasSerialising) return this.runNow(offset, length, marks, action);
    return this.exclusive({ start: offset, length, serialising: false, marks }, action);
  }

  /** Run a change that waits for nobody. */
  runNow<T>(offset: number, length: number, marks: boolean, action: () => Maybe<T>): Maybe<T> {
    this.count++;
    if (marks && this.bitmaps.recording) return this.#runMarked(offset, length, action);
    const done = action();
    return done instanceof Promise ? this.follow(offset, length, marks, done) : done;
  }

  #runMarked<T>(offset: number, length: number, action: () => Maybe<T>): Maybe<T> {
    let done: Maybe<T> | undefined;
    try {
      done = action();
    } finally {
      if (!(done instanceof Promise)) this.bitmaps.mark(offset, length);
    }
    return done instanceof Promise ? this.follow(offset, length, true, done) : done;
  }

  /** Track what was begun before now and has not ended at once. */
  follow<T>(offset: number, length: number, marks: boolean, done: Promise<T>): Promise<T> {
    const end = this.enter(offset, length, marks);
    return done.then(
      (value) => {
        end();
        return value;
      },
      (error: unknown) => {
        end();
        throw error;
      },
    );
  }

  /** Track what was begun and counted before now; what is given back is to be called when it has ended. */
  enter(offset: number, length: number, marks: boolean): () => void {
    const request = this.tracker.begin({ start: offset, length, serialising: false, marks });
    this.#requests.begin();
    return () => this.#end(request);
  }

  /** Wait for what overlaps, then run; be waited for by those that come later. */
  async exclusive(request: NewRequest, action: () => Maybe<void>): Promise<void> {
    const tracked = this.tracker.begin(request);
    this.#requests.begin();
    this.count++;
    try {
      await this.tracker.waitForOverlaps(tracked);
      await action();
    } finally {
      this.#end(tracked);
    }
  }

  #end(request: Tracked): void {
    // Counted when it begins, for what a failing one leaves behind, and when it ends, for flushes begun meanwhile.
    this.count++;
    if (request.marks) this.bitmaps.mark(request.start, request.end - request.start);
    this.tracker.end(request);
    this.#requests.end();
  }
}
