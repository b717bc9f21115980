/**
 * `copy-on-read`: what a read finds in a backing file, or nowhere, is written to the image on top, so that it need
 * not be looked for again. Whole clusters are copied, while no write to them is under way.
 *
 * With `bottom`, a node of the chain, only data of the layers down to that one is copied; what lies below it, or
 * nowhere, is only read.
 */
import { after, type Maybe } from '../../core/async/maybe.ts';
import type { Driver, Image, Limits, OpenContext } from '../../core/block/driver.ts';
import { Flag } from '../../core/block/driver.ts';
import { FilterImage, withoutBounds } from '../../core/block/filter.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { belowFilters, chainStatus, exclusively, unitOf } from '../../core/block/own-node.ts';
import { Perm, type PermPair, type UserPermissions } from '../../core/block/permissions-bits.ts';
import { alignDown, alignUp } from '../../core/bytes/ranges.ts';
import { isZero, nextRun } from '../../core/bytes/zero.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import { defineOptions, type OptionsOf, text } from '../../core/options/fields.ts';

const options = defineOptions({
  bottom: text({ help: 'Name of the lowest node of the chain that is copied from; by default the last' }),
});

type CopyOnReadOptions = OptionsOf<typeof options>;
type Layer = ReturnType<typeof belowFilters>;

interface Found {
  readonly length: number;
  readonly copy: boolean;
  readonly zero: boolean;
}

/** Longest single copy in bytes, unless clusters are larger. */
const PIECE = 1 << 20;
/** Shortest run of zeroes that is looked for where there are no units, in bytes. */
const LEAST_ZEROES = 4096;
const NOTHING = new Uint8Array(0);

class CopyOnReadImage extends FilterImage {
  readonly #clusterSize: number;
  /** Longest single copy in bytes, whole clusters. */
  readonly #piece: number;
  readonly #bottom: Layer | undefined;

  constructor(file: Edge, clusterSize: number, bottom: Layer | undefined) {
    super(file);
    this.#clusterSize = clusterSize;
    this.#piece = Math.max(PIECE, clusterSize);
    this.#bottom = bottom;
  }

  /** A read waits for writes, so none may be a part of one. */
  override get limits(): Limits {
    return withoutBounds(this.file.limits);
  }

  /** Whoever wrote to the image past this filter might do so between the reading and the writing of a copy. */
  childPermissions(_child: string, users: UserPermissions, usual: PermPair): PermPair {
    const perm = usual.perm | Perm.WRITE_UNCHANGED;
    const shared = usual.shared | Perm.WRITE_UNCHANGED;
    // Being put in: those who will use it still use the disk below.
    if (users.unused) return { ...usual, perm, shared };
    return { perm, shared: shared & ~Perm.WRITE, sharedBelow: usual.sharedBelow ?? shared };
  }

  override read(offset: number, buf: Uint8Array): Maybe<void> {
    return after(this.#present(offset, offset + buf.length), (present) =>
      present ? this.file.read(offset, buf) : this.#readCopying(offset, buf),
    );
  }

  override readv(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    let length = 0;
    for (const buf of bufs) length += buf.length;
    return after(this.#present(offset, offset + length), (present) =>
      present ? this.file.readv(offset, bufs) : this.#readvCopying(offset, bufs, length),
    );
  }

  async #readvCopying(offset: number, bufs: readonly Uint8Array[], length: number): Promise<void> {
    const whole = Buffer.allocUnsafeSlow(length);
    await this.#readCopying(offset, whole);
    let at = 0;
    for (const buf of bufs) {
      buf.set(whole.subarray(at, at + buf.length));
      at += buf.length;
    }
  }

  /** What the kernel copies from here does not pass through `read`. */
  override copyRangeFrom(): Maybe<boolean> {
    return false;
  }

  /** Nothing of [offset, end) is to be copied. */
  #present(offset: number, to: number): Maybe<boolean> {
    const end = Math.min(to, this.size);
    for (let at = offset; at < end; ) {
      const extent = this.#look(at, end - at);
      if (extent instanceof Promise) {
        const here = at;
        return extent.then(({ length, copy }) => (copy ? false : this.#present(here + length, end)));
      }
      if (extent.copy) return false;
      at += extent.length;
    }
    return true;
  }

  /** What the top layer lacks; how far that goes, and whether it reads as zeroes. */
  #look(offset: number, length: number): Maybe<Found> {
    return after(this.file.status(offset, length), (top) => {
      if (top.allocated || top.length === 0) return { length: top.length || length, copy: false, zero: false };
      const base = this.#bottom?.backing?.node;
      const chain = chainStatus(belowFilters(this.file), base, { offset, length: top.length });
      return after(chain, (extent) => {
        // Only long runs of zeroes are worth a request of their own.
        const zero = extent.zero && extent.length >= this.#piece;
        if (this.#bottom) return { length: extent.length || length, copy: extent.allocated, zero };
        return { length: zero ? extent.length : top.length, copy: true, zero };
      });
    });
  }

  /** Read, and write to the top layer what it lacks of the clusters that are touched; nothing is read twice. */
  #readCopying(offset: number, buf: Uint8Array): Promise<void> {
    buf.fill(0, Math.max(0, Math.min(buf.length, this.size - offset)));
    return this.#copyUp(offset, buf.length, buf);
  }

  prefetch(offset: number, length: number): Promise<void> {
    return this.#copyUp(offset, length, undefined);
  }

  /** `buf`: where what is read goes too. */
  async #copyUp(offset: number, length: number, buf: Uint8Array | undefined): Promise<void> {
    const end = Math.min(offset + length, this.size);
    const start = alignDown(offset, this.#clusterSize);
    const stop = Math.min(alignUp(end, this.#clusterSize), this.size);
    await exclusively(this.file, { offset: start, length: stop - start }, async () => {
      for (let at = start; at < stop; ) {
        const { length, copy, zero } = await this.#clusters(at, stop);
        const piece = copy && !zero ? Math.min(length, this.#piece) : length;
        const from = Math.max(at, offset);
        const wanted = buf?.subarray(from - offset, Math.max(from, Math.min(at + piece, end)) - offset) ?? NOTHING;
        const ahead = buf === undefined;
        if (!copy) await (wanted.length > 0 ? this.file.read(from, wanted) : undefined);
        else if (zero) await this.#copyZeroes(at, piece, { wanted, ahead });
        else await this.#copy(at, piece, { from, wanted, ahead });
        at += piece;
      }
    });
  }

  /** From the start of a cluster on, whole clusters to be copied, or not: a cluster is, if any part of it is. */
  async #clusters(at: number, stop: number): Promise<Found> {
    const size = this.#clusterSize;
    const found = await this.#look(at, stop - at);
    const clusterEnd = Math.min(at + size, stop);
    if (at + found.length >= clusterEnd && !found.copy) return { ...found, length: this.#whole(at, found, stop) };
    for (let next = at + found.length; !found.copy && next < clusterEnd; ) {
      const { length, copy } = await this.#look(next, clusterEnd - next);
      if (copy) return { length: clusterEnd - at, copy, zero: false };
      next += length;
    }
    if (found.zero) return { ...found, length: this.#whole(at, found, stop) };
    const length = found.copy ? Math.min(alignUp(at + found.length, size), stop) - at : clusterEnd - at;
    return { length, copy: found.copy, zero: false };
  }

  #whole(at: number, { length }: Found, stop: number): number {
    return at + length >= stop ? stop - at : alignDown(length, this.#clusterSize);
  }

  async #copy(
    offset: number,
    length: number,
    { from, wanted, ahead }: { from: number; wanted: Uint8Array; ahead: boolean },
  ): Promise<void> {
    const buf = Buffer.allocUnsafeSlow(length);
    await this.file.read(offset, buf);
    await this.file.event('cor_write');
    // Who reads waits: what is fetched ahead is worth a closer look.
    const granularity = this.#clusterSize === 1 ? LEAST_ZEROES : this.#clusterSize;
    const whole = isZero(buf) ? -length : length;
    for (let at = 0; at < length; ) {
      const run = ahead ? nextRun(buf, at, { offset, granularity }) : whole;
      if (run > 0) await this.file.write(offset + at, buf.subarray(at, at + run), Flag.UNCHANGED);
      else await this.#zero(offset + at, -run, ahead);
      at += Math.abs(run);
    }
    wanted.set(buf.subarray(from - offset, from - offset + wanted.length));
  }

  async #copyZeroes(
    offset: number,
    length: number,
    { wanted, ahead }: { wanted: Uint8Array; ahead: boolean },
  ): Promise<void> {
    await this.file.event('cor_write');
    await this.#zero(offset, length, ahead);
    wanted.fill(0);
  }

  /** Zeroes that are fetched ahead need not be stored where what lies below `bottom` shows them, too. */
  async #zero(offset: number, length: number, ahead: boolean): Promise<void> {
    const end = offset + length;
    for (let at = offset; at < end; ) {
      const { skip, length: run } = ahead ? await this.#zeroBelow(at, end) : { skip: false, length };
      if (!skip) await this.file.zero(at, run, Flag.UNCHANGED);
      at += run;
    }
  }

  /** Whole clusters from `at` on that show zeroes below `bottom`, or the next that do not. */
  async #zeroBelow(at: number, end: number): Promise<{ readonly skip: boolean; readonly length: number }> {
    if (!this.#bottom) return { skip: false, length: end - at };
    const base = this.#bottom.backing?.node;
    const room = Math.min(end, base?.io.size ?? 0) - at;
    if (!base || room <= 0) return { skip: true, length: end - at };
    const { zero, length } = await chainStatus(base, undefined, { offset: at, length: room });
    const whole = at + length >= end ? end - at : alignDown(length, this.#clusterSize);
    if (zero && whole > 0) return { skip: true, length: whole };
    return { skip: false, length: Math.min(end - at, alignUp(Math.max(length, 1), this.#clusterSize)) };
  }
}

/** The layer named `bottom`, which must be a node of the chain below `file`. */
function findBottom(file: Edge, name: string): Layer {
  for (let edge: Edge | undefined = file; edge; edge = belowFilters(edge).backing) {
    const layer = belowFilters(edge);
    if (layer.name === name) return layer;
  }
  throw new BlockError(`bottom node '${name}' is not a layer of the chain below '${file.node.name}'`);
}

async function open(context: OpenContext<CopyOnReadOptions>): Promise<Image> {
  const file = context.child('file');
  const { bottom } = context.options;
  const layer = bottom === undefined ? undefined : findBottom(file, bottom);
  return new CopyOnReadImage(file, (await unitOf(file)) ?? 1, layer);
}

export const copyOnReadDriver: Driver<CopyOnReadOptions> = {
  name: 'copy-on-read',
  kind: 'filter',
  options,
  strongOptions: ['bottom'],
  open,
};
