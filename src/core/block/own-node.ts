/** What a driver may ask of the node that it is the driver of, through one of its edges. */
import type { Maybe } from '../async/maybe.ts';
import type { Edge } from './graph/edge.ts';
import type { Node } from './graph/node.ts';

export { type ChainExtent, chainStatus } from './graph/status.ts';

/**
 * Run `action` while no other request changes the range of the node that `child` belongs to. It must send its own
 * changes to children.
 */
export function exclusively(
  child: Edge,
  range: { readonly offset: number; readonly length: number },
  action: () => Maybe<void>,
): Promise<void> {
  const { node } = child.parent;
  if (!node) throw new Error(`a request for the parent of '${child.name}' before it was opened`);
  return node.io.exclusive({ start: range.offset, length: range.length, serialising: true, marks: false }, action);
}

/** Below `edge`, the node that is no filter: its content is what the edge shows. */
export function belowFilters(edge: Edge): Node {
  return edge.node.layer;
}

/** Bytes of what the format below `edge` allocates at a time; undefined where there is no such unit. */
export async function unitOf(edge: Edge): Promise<number | undefined> {
  const info = await belowFilters(edge).image.info?.();
  return info?.subclusterSize ?? info?.clusterSize;
}

/** Bytes of a cluster of the format below `edge`; undefined where there are none. */
export async function clusterSizeOf(edge: Edge): Promise<number | undefined> {
  return (await belowFilters(edge).image.info?.())?.clusterSize;
}
