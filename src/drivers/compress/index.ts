/**
 * `compress`: what is written is stored compressed, whoever writes it. Only whole clusters can be, so that is the
 * unit of every request; smaller writes are completed by the block layer. How clusters are compressed is the
 * business of the format below.
 */
import type { Maybe } from '../../core/async/maybe.ts';
import type { Driver, Image, Limits, OpenContext } from '../../core/block/driver.ts';
import { FilterImage } from '../../core/block/filter.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { NotSupported } from '../../core/errors/block-error.ts';
import { defineOptions, type OptionsOf } from '../../core/options/fields.ts';

const options = defineOptions({});
type CompressOptions = OptionsOf<typeof options>;

class CompressImage extends FilterImage {
  override readonly writeFlags = 0;

  override get limits(): Limits {
    const { limits } = this.file;
    const clusterSize = unitOf(this.file);
    if (clusterSize === undefined) return limits;
    return {
      ...limits,
      requestAlignment: Math.max(clusterSize, limits.requestAlignment ?? 1),
      zeroAlignment: Math.max(clusterSize, limits.zeroAlignment ?? 1),
      takesParts: false,
    };
  }

  override write(offset: number, buf: Uint8Array): Maybe<void> {
    // What has come in below since may not be able to: the data is stored all the same.
    if (unitOf(this.file) === undefined) return this.file.write(offset, buf);
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

/** Bytes of a cluster of what is below now; undefined where that cannot be compressed. */
function unitOf({ node, limits }: Edge): number | undefined {
  return node.io.canCompress ? limits.optimalTransfer : undefined;
}

/** The driver of the lowest node that cannot take compressed data. */
function obstacle({ node }: Edge): string {
  let lowest = node;
  for (let next = node.passedOn; next && !next.node.io.canCompress; next = lowest.passedOn) lowest = next.node;
  return lowest.driver.name;
}

async function open(context: OpenContext<CompressOptions>): Promise<Image> {
  const file = context.child('file');
  if (unitOf(file) === undefined) {
    throw new NotSupported(`driver '${obstacle(file)}' cannot store compressed data`);
  }
  return new CompressImage(file);
}

export const compressDriver: Driver<CompressOptions> = { name: 'compress', kind: 'filter', options, open };
