/** Closing a node that is in use: its users keep their links, and get errors from then on. */
import type { BlockGraph } from './block-graph.ts';
import { subtree, whileDrained } from './drain.ts';
import type { Node } from './node.ts';

/**
 * Close `node` whatever uses it, once all is quiet. What the nodes above still hold of it in memory is written first,
 * as far as that can be done.
 */
export async function closeByForce(graph: BlockGraph, node: Node): Promise<void> {
  await whileDrained(
    () => [node],
    async () => {
      for (const above of topFirst(node)) {
        if (!above.modes.readOnly) await above.io.flushAll().catch(() => undefined);
      }
      node.added = undefined;
      node.io.retire();
      await graph.closeUsed(node);
      // Requests that stopped since they failed are to see it too.
      for (const above of topFirst(node)) for (const { parent } of above.parents) parent.closedBelow?.();
    },
  );
}

/** The nodes above, each before those below it as far as depth goes, and the node itself. */
function topFirst(node: Node): Node[] {
  const above = new Set<Node>([node]);
  for (const each of above) for (const { parent } of each.parents) if (parent.node) above.add(parent.node);
  return [...above].sort((a, b) => (subtree(a).has(b) ? -1 : subtree(b).has(a) ? 1 : 0));
}
