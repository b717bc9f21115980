/** Links that must not move while a job relies on them: those of a chain, from one node down to another. */
import { BlockError } from '../../errors/block-error.ts';
import type { Edge } from './edge.ts';
import type { Node } from './node.ts';
import { type Holder, holdersOf, type Reliance } from './refusal.ts';

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

/** Throws when `wanted` is not what `node` passes on, or is itself: another layer has come between them. */
export function assertPassedOn(node: Node, wanted: Node): void {
  for (let at: Node | undefined = node; at; at = at.passedOn?.node) if (at === wanted) return;
  throw new BlockError(`the users of node '${wanted.name}' use '${node.name}' on top of it now`, { code: 'EBUSY' });
}

/**
 * Keep the links from `top` down to `bottom` as they are. Throws, with nothing frozen, when one is frozen by another (any
 * number may need them, but none beside one who moves them) or leads to a node that its job must be able to take out.
 * Returns how to let them go again. A holder holds one chain.
 */
export function freezeChain(top: Node, bottom: Node, holder: Holder, how: Reliance = 'moves'): () => void {
  const links = linksBetween(top, bottom);
  for (const { name, parent, node, frozenBy } of links) {
    const others = [...frozenBy].filter((other) => how === 'moves' || other[1] === 'moves').map(([other]) => other);
    if (node.owner) others.push(node.owner);
    if (others.length === 0) continue;
    throw new BlockError(
      `the link '${name}' from ${parent.describe()} to '${node.name}' cannot be held: ${holdersOf(others)} relies on it`,
      { code: 'EBUSY', data: { node: node.name, link: name } },
    );
  }
  for (const edge of links) edge.frozenBy.set(holder, how);
  return () => {
    for (const edge of links) edge.frozenBy.delete(holder);
  };
}
