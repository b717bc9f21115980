/** Block status across a chain: which layer decides a range, and whether it is data or zeroes there. */
import { after, type Maybe } from '../../async/maybe.ts';
import type { Extent } from '../driver.ts';
import type { Node } from './node.ts';

export interface ChainExtent {
  readonly length: number;
  readonly data: boolean;
  readonly zero: boolean;
  readonly compressed: boolean;
  /** Some layer above the base decides the content. */
  readonly allocated: boolean;
  /** Distance of that layer from the top, filters not counted. */
  readonly depth: number;
  /** The layer; undefined when none decides. */
  readonly node: Node | undefined;
  /** Offset in `file` where the data lies, when it lies in one piece and uncompressed. */
  readonly offset: number | undefined;
  readonly file: Node | undefined;
}

/** One step of {@link chainStatus} at a node: its own answer, holes of the file below taken into account. */
export function layerStatus(
  node: Node,
  offset: number,
  length: number,
  precise: boolean,
): Maybe<Extent & { file?: Node }> {
  return after(node.io.status(offset, length, precise), (extent) => {
    if (!extent.edge || extent.offset === undefined) return withOwnFile(node, extent);
    const below = extent.edge.node;
    const withFile = { ...extent, file: below };
    if (!extent.recurse || !extent.data || extent.zero) return withFile;
    return after(layerStatus(below, extent.offset, extent.length, precise), (deep) => {
      if (deep.length === 0) return withFile;
      return { ...withFile, ...deepen(extent, deep), file: deep.file ?? below, offset: deep.offset ?? extent.offset };
    });
  });
}

function withOwnFile(node: Node, extent: Extent): Extent & { file?: Node } {
  return extent.offset === undefined ? extent : { ...extent, file: node };
}

/** A range that is data to the format can still be a hole of the file. */
function deepen(extent: Extent, deep: Extent): Extent {
  const zero = extent.zero || deep.zero;
  return { length: Math.min(extent.length, deep.length), allocated: extent.allocated, data: deep.data, zero };
}

export interface ChainRange {
  readonly offset: number;
  readonly length: number;
  /** False takes "all data" from layers where finding holes costs time. */
  readonly precise?: boolean;
}

/**
 * Status at `range.offset` seen from `top`, looking through layers down to and excluding `base`
 * (undefined: to the end of the chain). The length returned is at most `range.length`, and 0 only at the end.
 */
export function chainStatus(top: Node, base: Node | undefined, range: ChainRange): Maybe<ChainExtent> {
  const size = top.io.size;
  const length = Math.min(range.length, Math.max(0, size - range.offset));
  return step({ top, base, offset: range.offset, precise: range.precise ?? true }, top, length, 0);
}

interface Walk {
  readonly top: Node;
  readonly base: Node | undefined;
  readonly offset: number;
  readonly precise: boolean;
}

function step(walk: Walk, start: Node, bytes: number, depth: number): Maybe<ChainExtent> {
  let node: Node | undefined = start;
  let length = bytes;
  let layer = depth;
  while (node && node !== walk.base) {
    const filtered: Node | undefined =
      node.driver.kind === 'filter' && !node.image.status ? node.filtered?.node : undefined;
    if (filtered) {
      node = filtered;
      continue;
    }
    // A layer shorter than the disk above reads as zeroes past its end.
    if (walk.offset >= node.io.size && node !== walk.top) return zeroTail(length, layer, node);
    const here: Node = node;
    const answer = layerStatus(here, walk.offset, Math.min(length, here.io.size - walk.offset), walk.precise);
    if (answer instanceof Promise) return answer.then((extent) => settle(walk, here, extent, length, layer));
    const next = decide(here, answer, layer);
    if (next) return next;
    length = Math.min(length, answer.length);
    node = here.backing?.node;
    layer++;
  }
  return unallocated(length, Math.max(0, layer - 1));
}

function settle(
  walk: Walk,
  node: Node,
  extent: Extent & { file?: Node },
  length: number,
  depth: number,
): Maybe<ChainExtent> {
  const found = decide(node, extent, depth);
  if (found) return found;
  const below = node.backing?.node;
  const rest = Math.min(length, extent.length);
  return below && below !== walk.base ? step(walk, below, rest, depth + 1) : unallocated(rest, depth);
}

function decide(node: Node, extent: Extent & { file?: Node }, depth: number): ChainExtent | undefined {
  if (!extent.allocated) return undefined;
  return {
    length: extent.length,
    data: extent.data,
    zero: extent.zero,
    compressed: extent.compressed ?? false,
    allocated: true,
    depth,
    node,
    offset: extent.offset,
    file: extent.offset === undefined ? undefined : extent.file,
  };
}

function unallocated(length: number, depth: number): ChainExtent {
  return { ...NOTHING, length, depth };
}

function zeroTail(length: number, depth: number, node: Node): ChainExtent {
  return { ...NOTHING, length, depth, allocated: true, node };
}

const NOTHING: ChainExtent = {
  length: 0,
  data: false,
  zero: true,
  compressed: false,
  allocated: false,
  depth: 0,
  node: undefined,
  offset: undefined,
  file: undefined,
};
