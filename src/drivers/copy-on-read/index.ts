/**
 * `copy-on-read`: what a read finds in a backing file is written to the image on top, so that it need not be
 * fetched again. Whole clusters are copied, while no write to them is under way.
 *
 * With `bottom`, a node of the chain, only data of the layers down to that one is copied; what lies below it, or
 * nowhere, is only read.
 */
import { after, type Maybe } from '../../core/async/maybe.ts';
import type { Driver, Image, OpenContext } from '../../core/block/driver.ts';
import { Flag } from '../../core/block/driver.ts';
import { FilterImage } from '../../core/block/filter.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { belowFilters, chainStatus, clusterSizeOf, exclusively } from '../../core/block/own-node.ts';
import { Perm, type PermPair } from '../../core/block/permissions-bits.ts';
import { alignDown, alignUp } from '../../core/bytes/ranges.ts';
import { isZero } from '../../core/bytes/zero.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import { defineOptions, type OptionsOf, text } from '../../core/options/fields.ts';

const options = defineOptions({
  bottom: text({ help: 'Name of the lowest node of the chain that is copied from; by default the last' }),
});

type CopyOnReadOptions = OptionsOf<typeof options>;
type Layer = ReturnType<typeof belowFilters>;

/** Longest single copy in bytes. */
const PIECE = 1 << 20;

class CopyOnReadImage extends FilterImage {
  readonly #clusterSize: number;
  readonly #bottom: Layer | undefined;

  constructor(file: Edge, clusterSize: number, bottom: Layer | undefined) {
    super(file);
    this.#clusterSize = clusterSize;
    this.#bottom = bottom;
  }

  childPermissions(_child: string, _users: PermPair, usual: PermPair): PermPair {
    return { perm: usual.perm | Perm.WRITE_UNCHANGED, shared: usual.shared | Perm.WRITE_UNCHANGED };
  }

  override read(offset: number, buf: Uint8Array): Maybe<void> {
    return after(this.#ensure(offset, buf.length), () => this.file.read(offset, buf));
  }

  override readv(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    let length = 0;
    for (const buf of bufs) length += buf.length;
    return after(this.#ensure(offset, length), () => this.file.readv(offset, bufs));
  }

  /** What the kernel copies from here does not pass through `read`. */
  override copyRangeFrom(): Maybe<boolean> {
    return false;
  }

  /** Make the top layer hold the range, as far as it should. */
  #ensure(offset: number, length: number): Maybe<void> {
    const end = Math.min(offset + length, this.size);
    if (!belowFilters(this.file).backing || end <= offset) return;
    return after(this.#present(offset, end), (present) => (present ? undefined : this.#copyClusters(offset, end)));
  }

  /** Nothing of [offset, end) is to be copied. */
  #present(offset: number, end: number): Maybe<boolean> {
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

  #look(offset: number, length: number): Maybe<{ readonly length: number; readonly copy: boolean }> {
    return after(this.file.status(offset, length), (top) => {
      if (top.allocated || top.length === 0) return { length: top.length || length, copy: false };
      if (!this.#bottom) return { length: top.length, copy: true };
      const base = this.#bottom.backing?.node;
      const chain = chainStatus(belowFilters(this.file), base, { offset, length: top.length });
      return after(chain, (extent) => ({ length: extent.length || length, copy: extent.allocated }));
    });
  }

  async #copyClusters(offset: number, end: number): Promise<void> {
    const start = alignDown(offset, this.#clusterSize);
    const stop = Math.min(alignUp(end, this.#clusterSize), this.size);
    await exclusively(this.file, { offset: start, length: stop - start }, async () => {
      for (let at = start; at < stop; ) {
        const { length, copy } = await this.#look(at, Math.min(PIECE, stop - at));
        if (copy) await this.#copy(at, length);
        at += length;
      }
    });
  }

  async #copy(offset: number, length: number): Promise<void> {
    const buf = Buffer.allocUnsafeSlow(length);
    await this.file.read(offset, buf);
    await this.file.event('cor_write');
    if (isZero(buf)) await this.file.zero(offset, length, Flag.UNCHANGED);
    else await this.file.write(offset, buf, Flag.UNCHANGED);
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
  return new CopyOnReadImage(file, (await clusterSizeOf(file)) ?? 1, layer);
}

export const copyOnReadDriver: Driver<CopyOnReadOptions> = {
  name: 'copy-on-read',
  kind: 'filter',
  options,
  strongOptions: ['bottom'],
  open,
};
