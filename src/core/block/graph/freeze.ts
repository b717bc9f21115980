/** Links that must not move while a job relies on them: those of a chain, from one node down to another. */
import { BlockError } from '../../errors/block-error.ts';
import type { Edge } from './edge.ts';
import type { Node } from './node.ts';

/** The next layer down: of a filter what it filters, of an image its backing file. */
export function linkDown(node: Node): Edge | undefined {
  return node.passedOn ?? node.backing;
}

/** The links from `top` down to `bottom`; throws when the one is not below the other. */
export function linksBetween(top: Node, bottom: Node): Edge[] {
  const links: Edge[] = [];
  for (let node = top; node !== bottom; ) {
    const edge = linkDown(node);
    if (!edge) throw new BlockError(`node '${bottom.name}' is not in the backing chain of '${top.name}'`);
    links.push(edge);
    node = edge.node;
  }
  return links;
}

/**
 * Keep the links from `top` down to `bottom` as they are. Throws, with nothing frozen, when one is frozen by another
 * job or leads to a node that its job must be able to take out. Returns how to let them go again, to be called once.
 */
export function freezeChain(top: Node, bottom: Node): () => void {
  const links = linksBetween(top, bottom);
  for (const edge of links) {
    if (edge.frozen === 0 && !edge.node.neverFreeze) continue;
    throw new BlockError(
      `the link '${edge.name}' from ${edge.parent.describe()} to '${edge.node.name}' cannot be held: another job relies on it`,
      { code: 'EBUSY' },
    );
  }
  for (const edge of links) edge.frozen++;
  let held = true;
  return () => {
    if (held) for (const edge of links) edge.frozen--;
    held = false;
  };
}
