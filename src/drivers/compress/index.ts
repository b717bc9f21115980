/**
 * `compress`: what is written is stored compressed, whoever writes it. Only whole clusters can be, so that is the
 * unit of every request; smaller writes are completed by the block layer. How clusters are compressed is the
 * business of the format below.
 */
import type { Maybe } from '../../core/async/maybe.ts';
import type { Driver, Image, Limits, OpenContext } from '../../core/block/driver.ts';
import { FilterImage } from '../../core/block/filter.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { belowFilters, clusterSizeOf } from '../../core/block/own-node.ts';
import { NotSupported } from '../../core/errors/block-error.ts';
import { defineOptions, type OptionsOf } from '../../core/options/fields.ts';

const options = defineOptions({});
type CompressOptions = OptionsOf<typeof options>;

class CompressImage extends FilterImage {
  override readonly writeFlags = 0;
  readonly #limits: Limits;

  constructor(file: Edge, clusterSize: number) {
    super(file);
    const { limits } = file;
    this.#limits = {
      ...limits,
      requestAlignment: Math.max(clusterSize, limits.requestAlignment ?? 1),
      zeroAlignment: Math.max(clusterSize, limits.zeroAlignment ?? 1),
      takesParts: false,
    };
  }

  override get limits(): Limits {
    return this.#limits;
  }

  override write(offset: number, buf: Uint8Array): Maybe<void> {
    // The last cluster may be a part of one.
    const inside = Math.min(buf.length, this.size - offset);
    return this.file.writeCompressed(offset, buf.subarray(0, inside));
  }

  override writev(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    return this.write(offset, Buffer.concat(bufs));
  }

  override copyRangeTo(): Maybe<boolean> {
    return false;
  }
}

async function open(context: OpenContext<CompressOptions>): Promise<Image> {
  const file = context.child('file');
  const clusterSize = await clusterSizeOf(file);
  if (!file.node.io.canCompress || clusterSize === undefined) {
    throw new NotSupported(`driver '${belowFilters(file).driver.name}' cannot store compressed data`);
  }
  return new CompressImage(file, clusterSize);
}

export const compressDriver: Driver<CompressOptions> = { name: 'compress', kind: 'filter', options, open };
