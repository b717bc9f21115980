/**
 * The map of a disk: for each range the layer of the chain that says something of it. Unlike the status of a
 * chain (`status.ts`), which asks whose content a reader sees, this tells where it was found.
 */
import type { Node } from './node.ts';
import { layerStatus } from './status.ts';

/** Equal neighbours are one range. */
export interface MapRange {
  readonly offset: number;
  readonly length: number;
  /** Layers above the one that answered; filters do not count. */
  readonly depth: number;
  /** That layer holds the content, as data or as an explicit zero. */
  readonly present: boolean;
  readonly zero: boolean;
  readonly data: boolean;
  readonly compressed: boolean;
  /** Where the data lies in `file`, in bytes; absent when it does not lie there as it is. */
  readonly hostOffset?: number;
  readonly file?: Node;
}

/** The ranges from `offset` up to `end`, in order, as they are found: what is not cached is read for it. */
export async function* mapLayers(top: Node, offset: number, end: number): AsyncGenerator<MapRange> {
  let current: MapRange | undefined;
  for (let at = offset; at < end; ) {
    const found = rangeAt(top, at, end - at);
    const next = found instanceof Promise ? await found : found;
    at += next.length;
    if (current && continues(current, next)) current = { ...current, length: current.length + next.length };
    else {
      if (current) yield current;
      current = next;
    }
  }
  if (current) yield current;
}

function continues(before: MapRange, next: MapRange): boolean {
  if (before.zero !== next.zero || before.data !== next.data || before.present !== next.present) return false;
  if (before.depth !== next.depth || before.compressed !== next.compressed || before.file !== next.file) return false;
  if (before.hostOffset === undefined || next.hostOffset === undefined) return before.hostOffset === next.hostOffset;
  return before.hostOffset + before.length === next.hostOffset;
}

async function rangeAt(top: Node, offset: number, length: number): Promise<MapRange> {
  let span = length;
  let depth = 0;
  for (let node = belowFilters(top); ; depth++) {
    const extent = await layerStatus(node, offset, span, true);
    span = Math.min(span, extent.length);
    const below = node.backing && belowFilters(node.backing.node);
    // What no layer below can have reads as zeroes: a chain ends here, or a shorter disk lies below.
    const zero = extent.zero || (!extent.allocated && (below === undefined || offset >= below.io.size));
    // A hole whose content nobody vouches for is in no place either.
    const unknown = !extent.data && !zero && below === undefined;
    if (unknown) return { offset, length: span, depth, present: false, zero, data: false, compressed: false };
    if (extent.allocated || zero || below === undefined) {
      return {
        offset,
        length: span,
        depth,
        present: extent.allocated,
        zero,
        data: extent.allocated && extent.data,
        compressed: extent.compressed ?? false,
        ...(extent.offset === undefined ? {} : { hostOffset: extent.offset }),
        ...(extent.file === undefined ? {} : { file: extent.file }),
      };
    }
    span = Math.min(span, below.io.size - offset);
    node = below;
  }
}

/** The layers of a chain, topmost first: what the depth of a range counts. */
export function layersOf(top: Node): Node[] {
  const layers: Node[] = [];
  for (let node: Node | undefined = top; node; node = node.backing?.node) {
    node = belowFilters(node);
    layers.push(node);
  }
  return layers;
}

/** The node whose data `node` shows: a filter has none of its own. */
function belowFilters(node: Node): Node {
  let from = node;
  while (from.driver.kind === 'filter' && !from.image.status && from.filtered) from = from.filtered.node;
  return from;
}
