/** Quiet moments: nothing new starts in a subtree, and what was in flight has ended. */
import type { Node } from './node.ts';

/** Every node reachable from `node` through child edges, itself first. */
export function subtree(node: Node): Set<Node> {
  const seen = new Set<Node>([node]);
  for (const current of seen) for (const edge of current.children.values()) seen.add(edge.node);
  return seen;
}

/**
 * Run `action` while the users of `node` hold back new requests and none is in flight in its subtree.
 * Users are released in every case.
 */
export async function whileDrained<T>(node: Node, action: () => T | Promise<T>): Promise<T> {
  const held = [...subtree(node)];
  for (const each of held) each.drainBegin();
  try {
    // One pass can wake requests of a parent that go on to a child already looked at, so look again.
    while (held.some((each) => each.io.inFlight > 0)) for (const each of held) await each.io.whenIdle();
    return await action();
  } finally {
    for (const each of held) each.drainEnd();
  }
}
