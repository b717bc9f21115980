/**
 * Quiet moments: nothing new starts in a part of the graph, and what was in flight has ended.
 *
 * While an operation waits for that, another may change what it is about to touch. So what it touches is a function,
 * which is asked again once all is quiet; what it decides by, it reads then and not before.
 */
import type { Edge, EdgeParent } from './edge.ts';
import type { Node } from './node.ts';

/** Every node reachable from `node` through child edges, itself first. */
export function subtree(node: Node): Set<Node> {
  return below([node]);
}

function below(nodes: Iterable<Node>): Set<Node> {
  const seen = new Set(nodes);
  for (const current of seen) for (const edge of current.children.values()) seen.add(edge.node);
  return seen;
}

/** What lies below `nodes`, and every node above any of that. */
function around(nodes: Iterable<Node>): Set<Node> {
  const seen = below(nodes);
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

export interface Quiet {
  /**
   * No other change of what is touched begins before this one has ended, which takes a while: it asks for nothing to be
   * quiet by itself.
   */
  readonly alone?: boolean;
}

/**
 * Run `action` while the users of the nodes in `touched` hold back new requests and none is in flight below them, nor in
 * a node above, whose requests may be between two of their steps. `action` begins as soon as `touched` says nothing new.
 * Users are released in every case: those that were held, even when `action` moved them elsewhere. A user that comes
 * meanwhile is held, too.
 */
export async function whileDrained<T>(
  touched: () => Iterable<Node>,
  action: () => T | Promise<T>,
  { alone = false }: Quiet = {},
): Promise<T> {
  const drain = new Drain();
  try {
    // Nothing may come between the last look and the action.
    for (let wait = drain.wait(touched); wait; wait = drain.wait(touched)) await wait;
    drain.alone = alone;
    return await action();
  } finally {
    drain.end();
  }
}

/** `edge` leads elsewhere now, or is new: where it is quiet at one end, it is to be so at the other. */
export function stayQuiet({ node, parent }: Edge): void {
  for (const drain of new Set([...node.drains, ...(parent.node?.drains ?? [])])) drain.cover();
}

export class Drain {
  readonly #tops = new Set<Node>();
  readonly #nodes = new Set<Node>();
  readonly #held = new Set<EdgeParent>();
  #wake: () => void = () => undefined;
  readonly #ended = new Promise<void>((resolve) => {
    this.#wake = resolve;
  });
  alone = false;

  /** What is to be waited for before another look; undefined when all is quiet. */
  wait(touched: () => Iterable<Node>): Promise<void> | undefined {
    this.cover(touched());
    let busy = false;
    for (const { drains, io } of this.#nodes) {
      for (const other of drains) if (other !== this && other.alone) return other.#ended;
      busy ||= io.inFlight > 0;
    }
    return busy ? this.#idle() : undefined;
  }

  /** Of one pass: that can wake requests of a parent which go on to a child already looked at. */
  async #idle(): Promise<void> {
    for (const { io } of this.#nodes) await io.whenIdle();
  }

  /** Hold back the users of `tops` too, and of what has come to be around those there were. */
  cover(tops: Iterable<Node> = []): void {
    for (const top of tops) this.#tops.add(top);
    for (const node of around(this.#tops)) {
      this.#nodes.add(node);
      node.drains.add(this);
      this.#hold(node);
      for (const { parent } of node.parents) if (!parent.node) this.#hold(parent);
    }
  }

  #hold(parent: EdgeParent): void {
    if (this.#held.has(parent)) return;
    this.#held.add(parent);
    parent.drainBegin?.();
  }

  end(): void {
    for (const node of this.#nodes) node.drains.delete(this);
    for (const parent of this.#held) parent.drainEnd?.();
    this.#wake();
  }
}
