/** Quiet moments: nothing new starts in a subtree, and what was in flight has ended. */
import type { EdgeParent } from './edge.ts';
import type { Node } from './node.ts';

/** Every node reachable from `node` through child edges, itself first. */
export function subtree(node: Node): Set<Node> {
  const seen = new Set<Node>([node]);
  for (const current of seen) for (const edge of current.children.values()) seen.add(edge.node);
  return seen;
}

/** `nodes` and every node above them. */
function withAncestors(nodes: Iterable<Node>): Set<Node> {
  const seen = new Set<Node>(nodes);
  for (const current of seen) for (const { parent } of current.parents) if (parent.node) seen.add(parent.node);
  return seen;
}

/** Run `action`, which waits for requests below `node`, while what holds them back there on purpose lets them go. */
export async function hurrying<T>(node: Node, action: () => Promise<T>): Promise<T> {
  const nodes = subtree(node);
  for (const each of nodes) each.drainBegin();
  try {
    return await action();
  } finally {
    for (const each of nodes) each.drainEnd();
  }
}

/**
 * Run `action` while the users of `node` (or several) hold back new requests and none is in flight in its subtree, nor
 * in a node above, whose requests may be between two of their steps. Users are released in every case: those
 * that were held, even when `action` moved them elsewhere. A user that attaches meanwhile is not held.
 */
export async function whileDrained<T>(node: Node | readonly Node[], action: () => T | Promise<T>): Promise<T> {
  const tops = 'io' in node ? [node] : node;
  const nodes = withAncestors(tops.flatMap((each) => [...subtree(each)]));
  const held: EdgeParent[] = [...nodes];
  for (const each of nodes) for (const { parent } of each.parents) if (!parent.node) held.push(parent);
  for (const each of held) each.drainBegin?.();
  try {
    // One pass can wake requests of a parent that go on to a child already looked at, so look again.
    const busy = () => [...nodes].some((each) => each.io.inFlight > 0);
    while (busy()) for (const each of nodes) await each.io.whenIdle();
    return await action();
  } finally {
    for (const each of held) each.drainEnd?.();
  }
}
