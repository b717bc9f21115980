/**
 * `blkreplay`: the same requests always run in the same order. One request at a time is carried out, each in a
 * turn of the event loop of its own: the one that came first, or, with a `seed`, one that follows from the seed
 * among those that wait. So a test of requests side by side can be repeated, and tried in many orders.
 */
import type { Maybe } from '../../core/async/maybe.ts';
import { nextTurn } from '../../core/async/turn.ts';
import type { Driver, Extent, Flags, HostExtent, OpenContext } from '../../core/block/driver.ts';
import { FilterImage, passedOnStatus } from '../../core/block/filter.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { defineOptions, integer, type OptionsOf } from '../../core/options/fields.ts';

const options = defineOptions({
  seed: integer({ help: 'Which of the possible orders; by default that of arrival', min: 0, max: 0xffffffff }),
});

type BlkreplayOptions = OptionsOf<typeof options>;

class BlkreplayImage extends FilterImage {
  readonly #waiting: (() => Promise<void>)[] = [];
  #running = false;
  #state: number | undefined;

  constructor(file: Edge, seed: number | undefined) {
    super(file);
    this.#state = seed;
  }

  override read(offset: number, buf: Uint8Array): Maybe<void> {
    return this.#inTurn(() => this.file.read(offset, buf));
  }

  override readv(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    return this.#inTurn(() => this.file.readv(offset, bufs));
  }

  override write(offset: number, buf: Uint8Array, flags: Flags): Maybe<void> {
    return this.#inTurn(() => this.file.write(offset, buf, flags));
  }

  override writev(offset: number, bufs: readonly Uint8Array[], flags: Flags): Maybe<void> {
    return this.#inTurn(() => this.file.writev(offset, bufs, flags));
  }

  protected override passCompressed(offset: number, buf: Uint8Array): Maybe<void> {
    return this.#inTurn(() => this.file.writeCompressed(offset, buf));
  }

  override zero(offset: number, length: number, flags: Flags): Maybe<void> {
    return this.#inTurn(() => this.file.zero(offset, length, flags));
  }

  override discard(offset: number, length: number): Maybe<void> {
    return this.#inTurn(() => this.file.discard(offset, length));
  }

  override flush(): Maybe<void> {
    return this.#inTurn(() => this.file.flush());
  }

  override copyRangeFrom(offset: number, target: Edge, targetOffset: number, length: number): Maybe<boolean> {
    return this.#inTurn(() => this.file.copyRangeFrom(offset, target, targetOffset, length));
  }

  override copyRangeTo(offset: number, source: HostExtent, length: number): Maybe<boolean> {
    return this.#inTurn(() => this.file.copyRangeTo(offset, source, length));
  }

  /** What the child says, but in turn. */
  status(offset: number, length: number, precise: boolean): Maybe<Extent> {
    return this.#inTurn(() => passedOnStatus(this.file, offset, length, precise));
  }

  #inTurn<T>(action: () => Maybe<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push(async () => {
        try {
          resolve(await action());
        } catch (error) {
          reject(error);
        }
      });
      if (!this.#running) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#waiting.length > 0) {
      // Whoever is about to send a request has done so when a turn has passed.
      await nextTurn();
      const [next] = this.#waiting.splice(this.#choose(this.#waiting.length), 1);
      await next?.();
    }
    this.#running = false;
  }

  /** A number below `count`; a linear congruential generator serves. */
  #choose(count: number): number {
    if (this.#state === undefined) return 0;
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * count);
  }
}

export const blkreplayDriver: Driver<BlkreplayOptions> = {
  name: 'blkreplay',
  kind: 'filter',
  options,
  slots: [{ name: 'image', role: 'filtered', anyNode: true }],
  open: async (context: OpenContext<BlkreplayOptions>) =>
    new BlkreplayImage(context.child('image'), context.options.seed),
};
