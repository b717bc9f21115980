/**
 * Changes of a graph that is in use: a node put in the place of another, filters inserted and removed, another backing
 * file. Each waits until what it touches is quiet, and then happens as a whole or not at all. Filters that stand above
 * the place of a change stay on top of what is put there, since their users are not moved.
 */
import { BlockError, NotSupported } from '../../errors/block-error.ts';
import type { BlockGraph } from './block-graph.ts';
import { moveUsers, type Replacement, refreshNodes, setChild } from './changes.ts';
import { whileDrained } from './drain.ts';
import type { Node } from './node.ts';
import { openNode } from './open.ts';
import type { Holder } from './refusal.ts';
import { filteredSlot } from './slots.ts';
import { entryOf, type NodeSpec } from './spec.ts';
import { type Transaction, transact } from './transaction.ts';

/** Have all users of `from` use `to`, jobs aside; `from` closes when nobody holds it then. */
export async function replaceNode(graph: BlockGraph, replacement: Replacement): Promise<void> {
  const { from, to } = replacement;
  await reshape([from, to], (transaction) => {
    moveUsers(transaction, replacement);
    refreshNodes(transaction, [from, to]);
  });
  await graph.closeIfUnused(from);
}

/** While `nodes` are quiet, all of `change` or nothing. */
export function reshape<T>(nodes: readonly Node[], change: (transaction: Transaction) => T): Promise<T> {
  return whileDrained(nodes, () => transact(change));
}

/**
 * Open a filter on top of `below` and have the users of `below` use it. `spec` says its driver and options, not what it
 * filters. `also` is done in the same moment; who does not hold the filter there finds it closed where nobody uses it.
 * Nothing has changed when this throws.
 */
export async function insertFilter(
  graph: BlockGraph,
  below: Node,
  spec: NodeSpec,
  also?: (filter: Node) => void,
): Promise<Node> {
  const filter = await openFilter(graph, below, spec);
  await using _ = graph.hold(filter, insertion(below));
  await cover(filter, also);
  return filter;
}

/** The first half of it: the filter is open, and nobody uses it. */
export async function openFilter(graph: BlockGraph, below: Node, spec: NodeSpec): Promise<Node> {
  // It is opened by the name of what is below, which must not come to mean another node.
  await using _ = graph.hold(below, insertion(below));
  const slot = filteredSlot(await entryOf(graph.settings.drivers, spec.driver ?? '').load());
  if (!slot) throw new BlockError(`driver '${spec.driver}' is no filter, it cannot be put on top of '${below.name}'`);
  const whole = { ...spec, [slot.name]: below.name };
  return openNode(graph, whole, { modes: { ...below.modes, autoReadOnly: false } });
}

function insertion(below: Node): Holder {
  return { describe: () => `the insertion of a filter on node '${below.name}'` };
}

/** Have the users of what is below `filter` use that, and do `also` in the same moment. */
export function cover(filter: Node, also?: (filter: Node) => void): Promise<void> {
  const change = (transaction: Transaction, from: Node): void => {
    moveUsers(transaction, { from, to: filter });
    refreshNodes(transaction, [from, filter]);
    also?.(filter);
  };
  return reshapeBelow(filter, () => filter.passedOn?.node, change);
}

/** As {@link reshape}, of `filter` and what is below it once both are quiet: another change may have come first. */
async function reshapeBelow(
  filter: Node,
  below: () => Node | undefined,
  change: (transaction: Transaction, below: Node) => void,
): Promise<void> {
  for (let done = false; !done; ) {
    const node = below();
    if (!node || filter.closing) return;
    done = await reshape([filter, node], (transaction) => {
      if (below() !== node) return false;
      change(transaction, node);
      return true;
    });
  }
}

/** Have the users of a filter use what it filters, and close it. Throws where it is a job's, or a job works on it. */
export async function removeFilter(graph: BlockGraph, filter: Node): Promise<void> {
  const below = filter.passedOn?.node;
  if (!below) throw new BlockError(`node '${filter.name}' is no filter, it cannot be taken out`);
  if (filter.owner) {
    throw new BlockError(`filter '${filter.name}' cannot be taken out: it belongs to ${filter.owner.describe()}`, {
      code: 'EBUSY',
    });
  }
  for (const { parent } of filter.parents) {
    if (parent.kind === 'job') {
      throw new BlockError(`filter '${filter.name}' cannot be taken out: ${parent.describe()} uses it`, {
        code: 'EBUSY',
      });
    }
  }
  await takeOut(graph, filter);
  await filter.added?.release();
}

/** Have a filter need nothing any more of what it filters: its users are about to go there, or elsewhere. */
export function leave(transaction: Transaction, filter: Node): void {
  const { leaving } = filter;
  filter.leaving = true;
  transaction.add({
    abort() {
      filter.leaving = leaving;
    },
  });
}

/**
 * The same for a job with its own filter, which closes when the job lets go of it too. The layer below stays, as long as
 * it is used or held. Doing so again does nothing.
 */
export async function takeOut(graph: BlockGraph, filter: Node): Promise<void> {
  const change = (transaction: Transaction, below: Node): void => {
    leave(transaction, filter);
    moveUsers(transaction, { from: filter, to: below });
    refreshNodes(transaction, [filter, below]);
  };
  await reshapeBelow(filter, () => filter.passedOn?.node, change);
  await graph.closeIfUnused(filter);
}

/** Have `node` show `backing` (undefined: nothing) where it has no data. What its header says stays as it is. */
export async function setBacking(graph: BlockGraph, node: Node, backing: Node | undefined): Promise<void> {
  const before = node.backing?.node;
  if (before === backing) return;
  const touched = [node, ...(before ? [before] : []), ...(backing ? [backing] : [])];
  await reshape(touched, (transaction) => changeBacking(transaction, node, backing));
  if (before) await graph.closeIfUnused(before);
}

/** The same as a part of a larger change. */
export function changeBacking(transaction: Transaction, node: Node, backing: Node | undefined): void {
  const { image } = node;
  if (!image.backing?.linked) {
    throw new NotSupported(`driver '${node.driver.name}' of node '${node.name}' has no backing files`);
  }
  const before = node.backing?.node;
  setChild(transaction, node, { name: 'backing', role: 'cow', node: backing });
  refreshNodes(transaction, [node, ...(before ? [before] : []), ...(backing ? [backing] : [])]);
  transaction.add({
    commit() {
      node.backingOverridden = true;
      image.backing?.linked?.(node.backing);
    },
  });
}

/**
 * Put `overlay` on top of `node`, which becomes its backing file: the users of `node` write to the overlay from now
 * on (a snapshot). Throws with nothing changed; an overlay must not have a backing file or users already.
 */
export async function addOverlay(graph: BlockGraph, node: Node, overlay: Node): Promise<void> {
  if (overlay.backing) throw new BlockError(`the overlay '${overlay.name}' has a backing file already`);
  for (const { parent } of overlay.parents) {
    throw new BlockError(`the overlay '${overlay.name}' is in use by ${parent.describe()}`, { code: 'EBUSY' });
  }
  await reshape([node, overlay], (transaction) => {
    moveUsers(transaction, { from: node, to: overlay });
    changeBacking(transaction, overlay, node);
    refreshNodes(transaction, [overlay, node]);
  });
  await graph.closeIfUnused(node);
}
