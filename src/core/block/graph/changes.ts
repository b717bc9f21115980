/**
 * The steps that changes of a running graph are made of. Each adds its undo to the transaction it is given; nothing
 * waits in between, and the graph must be drained where they are used (`reshape.ts`).
 */
import { BlockError } from '../../errors/block-error.ts';
import { stayQuiet, subtree } from './drain.ts';
import { Edge } from './edge.ts';
import type { Node } from './node.ts';
import { refreshPermissions } from './permissions.ts';
import { holdersOf } from './refusal.ts';
import type { Transaction } from './transaction.ts';

/** Throws when a job relies on the link as it is. */
export function assertMovable(edge: Edge, to: Node | undefined): void {
  if (edge.frozenBy.size === 0) return;
  const wanted = to === undefined ? 'be removed' : `lead to '${to.name}' instead`;
  throw new BlockError(
    `the link '${edge.name}' from ${edge.parent.describe()} to '${edge.node.name}' cannot ${wanted}: ` +
      `${holdersOf(edge.frozenBy.keys())} relies on it`,
    { code: 'EBUSY', data: { node: edge.node.name, link: edge.name } },
  );
}

/** Throws when `node` as a child of `parent` would make a cycle, or is being closed. */
export function assertLinkable(parent: Node | undefined, node: Node): void {
  if (parent && subtree(node).has(parent)) {
    throw new BlockError(`making '${node.name}' a child of '${parent.name}' would make a cycle`);
  }
  assertOpen(node);
}

/** Throws when `node` is being closed, has been, or only waits for that. */
export function assertOpen(node: Node): void {
  if (node.closing || node.leaving) throw new BlockError(`node '${node.name}' is being closed`, { code: 'EBUSY' });
}

/** Have `edge` lead to `to`. Follow with {@link refreshNodes} on both nodes. */
export function moveEdge(transaction: Transaction, edge: Edge, to: Node): void {
  const from = edge.node;
  if (from === to) return;
  assertMovable(edge, to);
  assertLinkable(edge.parent.node, to);
  link(edge, to);
  transaction.add({ commit: () => edge.parent.moved?.(), abort: () => link(edge, from) });
}

function link(edge: Edge, to: Node): void {
  edge.node.parents.delete(edge);
  edge.node = to;
  to.parents.add(edge);
  stayQuiet(edge);
}

export interface Replacement {
  readonly from: Node;
  readonly to: Node;
}

/**
 * Have the users of `from` use `to`; children of `to` itself, and the nodes that jobs hold, stay. From a filter that is
 * being taken out all go but for its own job.
 */
export function moveUsers(transaction: Transaction, { from, to }: Replacement): void {
  for (const edge of [...from.parents]) {
    const { kind, node } = edge.parent;
    if (node === to || (kind === 'job' && (!from.leaving || edge.parent === from.owner))) continue;
    moveEdge(transaction, edge, to);
  }
}

/** Give `node` another child named `name`, or none; its driver hears of it when that is final. */
export function setChild(
  transaction: Transaction,
  node: Node,
  child: { readonly name: string; readonly role: Edge['role']; readonly node: Node | undefined },
): void {
  const before = node.children.get(child.name);
  if (before?.node === child.node) return;
  if (before && child.node) {
    moveEdge(transaction, before, child.node);
    return;
  }
  if (before) {
    assertMovable(before, undefined);
    unlink(before, node);
    transaction.add({ abort: () => relink(before, node) });
  } else if (child.node) {
    assertLinkable(node, child.node);
    const edge = new Edge({ name: child.name, role: child.role, parent: node, node: child.node });
    relink(edge, node);
    transaction.add({ abort: () => unlink(edge, node) });
  }
}

function relink(edge: Edge, parent: Node): void {
  edge.node.parents.add(edge);
  parent.children.set(edge.name, edge);
  stayQuiet(edge);
}

function unlink(edge: Edge, parent: Node): void {
  edge.node.parents.delete(edge);
  parent.children.delete(edge.name);
}

/** Check permissions again below `nodes`; on commit, those above take over limits and sizes of what is below them now. */
export function refreshNodes(transaction: Transaction, nodes: readonly Node[]): void {
  refreshPermissions(transaction, nodes);
  transaction.add({
    commit() {
      for (const node of ancestors(nodes)) node.io.refit();
      for (const node of nodes) node.resized();
    },
  });
}

/** `nodes` and what lies above them, each after all that lie below it as far as depth goes. */
function ancestors(nodes: readonly Node[]): Set<Node> {
  const seen = new Set<Node>(nodes);
  for (const node of seen) for (const { parent } of node.parents) if (parent.node) seen.add(parent.node);
  return seen;
}
