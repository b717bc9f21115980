/**
 * A filter that changes nothing: what it is asked, it asks its child. A filter driver extends it and overrides
 * what it is about.
 *
 * It has no `status`, by which the graph knows to look through it: block status, backing chain and depth are those
 * of the child. What only some children can do (compressed writes, kernel copies) it can do when its child can.
 */
import { after, type Maybe } from '../async/maybe.ts';
import { isZero } from '../bytes/zero.ts';
import { NotSupported } from '../errors/block-error.ts';
import type { Extent, Flags, HostExtent, Image, Limits, PageCacheCapability, TruncateOptions } from './driver.ts';
import { Flag } from './driver.ts';
import type { Edge } from './graph/edge.ts';

/**
 * A write without what was only added to fill a block of `align` bytes: where a node asks for larger blocks than its
 * child, the last one reaches past the end of the child, which may not be able to grow.
 */
export function trimPadding(child: Edge, align: number, offset: number, buf: Uint8Array): Uint8Array {
  const excess = offset + buf.length - child.size;
  if (excess <= 0 || excess >= Math.min(align, buf.length) || !isZero(buf, buf.length - excess)) return buf;
  return buf.subarray(0, buf.length - excess);
}

/** The same for several buffers. */
export function trimPaddingOf(
  child: Edge,
  align: number,
  offset: number,
  bufs: readonly Uint8Array[],
): readonly Uint8Array[] {
  let length = 0;
  for (const buf of bufs) length += buf.length;
  return offset + length <= child.size ? bufs : [trimPadding(child, align, offset, Buffer.concat(bufs))];
}

/**
 * Limits of a filter that takes any request: what the child cannot take as it is, the layer above the child puts right,
 * below the filter. So none of its reads is a part of an unaligned write of its own.
 */
export function withoutBounds({ memoryAlignment, optimalTransfer }: Limits): Limits {
  return {
    ...(memoryAlignment === undefined ? {} : { memoryAlignment }),
    ...(optimalTransfer === undefined ? {} : { optimalTransfer }),
  };
}

/**
 * For several children that are to stay alike: zeroing that may not fall back to writing is refused, before any of them
 * changes, where one might do a part of a unit and another not.
 */
export function assertWholeUnits(children: readonly Edge[], offset: number, length: number): void {
  for (const { limits, size } of children) {
    const { zeroAlignment: unit = 1 } = limits;
    const end = offset + length;
    if (offset % unit === 0 && (end % unit === 0 || end >= size)) continue;
    throw new NotSupported(`zeroing without writing is not possible here: a unit is ${unit} bytes`);
  }
}

/** What the child says of a range, for a filter whose `status` has something to do first. */
export function passedOnStatus(child: Edge, offset: number, length: number, precise: boolean): Maybe<Extent> {
  return after(child.status(offset, length, precise), (extent) =>
    extent.edge || extent.offset === undefined ? extent : { ...extent, edge: child },
  );
}

export class FilterImage implements Image {
  /** The child whose content this node shows. */
  readonly file: Edge;
  readonly writeFlags: Flags = Flag.FUA | Flag.UNCHANGED;
  readonly zeroFlags: Flags = Flag.FUA | Flag.MAY_UNMAP | Flag.NO_FALLBACK | Flag.UNCHANGED;
  readonly #passEvent: NonNullable<Image['event']>;

  constructor(file: Edge) {
    this.file = file;
    this.#passEvent = (name) => file.event(name);
  }

  /** Present only while somebody below listens, so that announcing costs nothing elsewhere. */
  get event(): Image['event'] {
    return this.file.node.image.event && this.#passEvent;
  }

  get size(): number {
    return this.file.node.image.size;
  }

  get limits(): Limits {
    return this.file.limits;
  }

  get readsZeroWhenFresh(): boolean {
    return this.file.node.image.readsZeroWhenFresh ?? true;
  }

  get blockSizes(): Image['blockSizes'] {
    return this.file.node.image.blockSizes;
  }

  get geometry(): Image['geometry'] {
    return this.file.node.image.geometry;
  }

  get pageCache(): PageCacheCapability | undefined {
    return this.file.node.image.pageCache;
  }

  read(offset: number, buf: Uint8Array): Maybe<void> {
    return this.file.read(offset, buf);
  }

  readv(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    return this.file.readv(offset, bufs);
  }

  write(offset: number, buf: Uint8Array, flags: Flags): Maybe<void> {
    return this.file.write(offset, buf, flags);
  }

  writev(offset: number, bufs: readonly Uint8Array[], flags: Flags): Maybe<void> {
    return this.file.writev(offset, bufs, flags);
  }

  get writeCompressed(): ((offset: number, buf: Uint8Array) => Maybe<void>) | undefined {
    return this.file.node.io.canCompress ? this.passCompressed : undefined;
  }

  /** A compressed write, for a child that takes them. */
  protected passCompressed(offset: number, buf: Uint8Array): Maybe<void> {
    return this.file.writeCompressed(offset, buf);
  }

  zero(offset: number, length: number, flags: Flags): Maybe<void> {
    return this.file.zero(offset, length, flags);
  }

  discard(offset: number, length: number): Maybe<void> {
    return this.file.discard(offset, length);
  }

  flush(): Maybe<void> {
    return this.file.flush();
  }

  truncate(size: number, options: TruncateOptions): Promise<void> {
    return this.file.truncate(size, options);
  }

  copyRangeFrom(offset: number, target: Edge, targetOffset: number, length: number): Maybe<boolean> {
    return this.file.copyRangeFrom(offset, target, targetOffset, length);
  }

  copyRangeTo(offset: number, source: HostExtent, length: number): Maybe<boolean> {
    return this.file.copyRangeTo(offset, source, length);
  }

  async close(): Promise<void> {}
}
