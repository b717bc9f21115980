/** How large an image would become: the numbers of `measure`. */

import type { MeasureContext } from '../../core/block/driver.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { alignUp } from '../../core/bytes/ranges.ts';
import { type CreateOptions, checkedDiskSize, resolveNewImage } from './create-options.ts';
import { fullyAllocatedSize } from './layout.ts';
import { bitmapEntryBytes } from './meta/bitmap-directory.ts';
import type { Geometry } from './meta/geometry.ts';

export interface Measurement {
  /** Bytes for the data there is, with tables for all of the disk. */
  required: number;
  /** Bytes when every cluster is written. */
  fullyAllocated: number;
  /** Bytes that the bitmaps of the source would take on top, where the source can have any. */
  bitmaps?: number;
}

/** For a disk of `size` bytes (`context.size`, or the option), or for the content of `context.source`. */
export async function measure(context: MeasureContext): Promise<Measurement> {
  const options = context.options as CreateOptions;
  const image = resolveNewImage(options, true);
  const { geometry } = image;
  const { source } = context;
  const size = source?.size ?? context.size ?? options.size ?? 0;
  const disk = alignUp(checkedDiskSize(size, geometry), geometry.clusterSize);
  const crypto = alignUp(image.encryption?.length ?? 0, geometry.clusterSize);
  const fullyAllocated = fullyAllocatedSize(geometry, disk) + crypto;
  let data = 0;
  // How much of a backing chain the new image will share with the source is not known: assume nothing.
  if (source) data = image.backingFile === undefined ? await clustersWithData(context, geometry.clusterSize) : disk;
  if (image.preallocation === 'falloc' || image.preallocation === 'full') data = disk;
  const bitmaps = source && geometry.version >= 3 ? await bitmapBytes(source, geometry) : undefined;
  return { required: fullyAllocated - disk + data, fullyAllocated, ...(bitmaps === undefined ? {} : { bitmaps }) };
}

/** Bytes of the new image's clusters that have data of the source in them. */
async function clustersWithData(context: MeasureContext, clusterSize: number): Promise<number> {
  const size = context.source?.size ?? 0;
  let bytes = 0;
  for (let offset = 0; offset < size; ) {
    const status = context.sourceStatus?.(offset, size - offset);
    const extent = (status instanceof Promise ? await status : status) ?? { ...ALL_DATA, length: size - offset };
    if (extent.length <= 0) break;
    let next = offset + extent.length;
    if (extent.allocated && extent.data && !extent.zero) {
      next = alignUp(next, clusterSize);
      bytes += (offset % clusterSize) + (next - offset);
    }
    offset = next;
  }
  return bytes;
}

/** Where the status of the source cannot be had. */
const ALL_DATA = { allocated: true, data: true, zero: false };

/** What is counted of a bitmap in the `info` of an image that can have bitmaps. */
interface ListedBitmap {
  readonly name: string;
  readonly granularity: number;
  readonly flags: readonly string[];
}

async function bitmapBytes(source: Edge, { clusterSize }: Geometry): Promise<number | undefined> {
  const info = await source.node.image.info?.();
  if (info?.specific?.type !== 'qcow2' || info.specific.data.compat === '0.10') return undefined;
  const listed = (info.specific.data.bitmaps ?? []) as readonly ListedBitmap[];
  let total = 0;
  let directory = 0;
  for (const bitmap of listed) {
    if (bitmap.flags.includes('in-use')) continue;
    const clusters = Math.ceil(Math.ceil(source.size / bitmap.granularity) / 8 / clusterSize);
    total += clusters * clusterSize + alignUp(clusters * 8, clusterSize);
    directory += bitmapEntryBytes(bitmap.name);
  }
  return total + alignUp(directory, clusterSize);
}
