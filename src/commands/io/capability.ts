import type { Image } from '../../core/block/driver.ts';
import type { Node } from '../../core/block/graph/node.ts';

/**
 * A capability of the first image that has it, from `top` down through the children that hold the data: the
 * breakpoints of a node can be set from wherever a user looks at it.
 */
export function findBelow<T>(top: Node, pick: (image: Image) => T | undefined): T | undefined {
  const seen = new Set<Node>();
  for (let node: Node | undefined = top; node && !seen.has(node); node = node.primary?.node) {
    seen.add(node);
    const found = pick(node.image);
    if (found !== undefined) return found;
  }
  return undefined;
}
