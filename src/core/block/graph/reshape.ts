/**
 * Changes of a graph that is in use: a node put in the place of another, filters inserted and removed, another backing
 * file. Each waits until what it touches is quiet, and then happens as a whole or not at all. Filters that stand above
 * the place of a change stay on top of what is put there, since their users are not moved.
 */
import { BlockError, NotSupported } from '../../errors/block-error.ts';
import type { BlockGraph } from './block-graph.ts';
import { assertOpen, moveUsers, type Replacement, refreshNodes, setChild } from './changes.ts';
import { whileDrained } from './drain.ts';
import type { Node } from './node.ts';
import { openNode } from './open.ts';
import type { Holder } from './refusal.ts';
import { filteredSlot } from './slots.ts';
import { entryOf, type NodeSpec } from './spec.ts';
import { type Transaction, transact } from './transaction.ts';

/**
 * Once all that `touched` says is quiet, all of `change` or nothing. Nodes that lose their last user by it close.
 *
 * Another change may come while this one waits, so `touched` is asked at once, where it refuses what cannot be, and again
 * right before the change; neither it nor `change` goes by what was read earlier. With `first`, that is done before,
 * while all is quiet already and nobody else changes anything of it.
 */
export async function reshape<T>(
  graph: BlockGraph,
  touched: () => readonly Node[],
  change: (transaction: Transaction) => T,
  first?: () => Promise<void>,
): Promise<T> {
  let used: Node[] = [];
  const act = (): T => {
    used = touched().filter(({ parents }) => parents.size > 0);
    return transact(change);
  };
  // Without `first` there is no step between the last look and the change.
  const result = await whileDrained(touched, first ? () => first().then(act) : act, { alone: first !== undefined });
  for (const node of used) await graph.closeIfUnused(node);
  return result;
}

/** Have all users of `from` use `to`, jobs aside; `from` closes when nobody holds it then. */
export function replaceNode(graph: BlockGraph, { from, to }: Replacement): Promise<void> {
  const change = (transaction: Transaction): void => {
    moveUsers(transaction, { from, to });
    refreshNodes(transaction, [from, to]);
  };
  return reshape(graph, () => [from, to], change);
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
  await cover(graph, filter, () => also?.(filter));
  return filter;
}

/** The first half of it: the filter is open, and nobody uses it. */
export async function openFilter(graph: BlockGraph, below: Node, spec: NodeSpec): Promise<Node> {
  // It is opened by the name of what is below, which must not come to mean another node.
  await using _ = graph.hold(below, insertion(below));
  const slot = filteredSlot(await entryOf(graph.settings.drivers, spec.driver ?? '').load());
  if (!slot) throw new BlockError(`driver '${spec.driver}' is no filter, it cannot be put on top of '${below.name}'`);
  const whole = { ...spec, [slot.name]: below.name };
  return await openNode(graph, whole, { modes: { ...below.modes, autoReadOnly: false } });
}

function insertion(below: Node): Holder {
  return { describe: () => `the insertion of a filter on node '${below.name}'` };
}

/**
 * Have the users of what is below `filter` use that. `also` is done in the same moment: afterwards something else may be
 * below already.
 */
export function cover<T>(graph: BlockGraph, filter: Node, also: (below: Node) => T): Promise<T> {
  const touched = (): Node[] => {
    assertOpen(filter);
    return [filter, filteredBy(filter)];
  };
  const change = (transaction: Transaction): T => {
    const below = filteredBy(filter);
    moveUsers(transaction, { from: below, to: filter });
    refreshNodes(transaction, [below, filter]);
    return also(below);
  };
  return reshape(graph, touched, change);
}

function filteredBy(filter: Node): Node {
  const { passedOn } = filter;
  if (passedOn) return passedOn.node;
  throw new BlockError(`node '${filter.name}' is no filter, it cannot be taken out`);
}

/** Have the users of a filter use what it filters, and close it. Throws where it is a job's, or a job works on it. */
export async function removeFilter(graph: BlockGraph, filter: Node): Promise<void> {
  await takeOut(graph, filter, () => {
    const users = [...filter.parents].map(({ parent }) => parent);
    const job = filter.owner ?? users.find(({ kind }) => kind === 'job');
    if (!job) return;
    const why = filter.owner ? `it belongs to ${job.describe()}` : `${job.describe()} uses it`;
    throw new BlockError(`filter '${filter.name}' cannot be taken out: ${why}`, { code: 'EBUSY' });
  });
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
export async function takeOut(graph: BlockGraph, filter: Node, assertMay?: () => void): Promise<void> {
  const change = (transaction: Transaction): void => {
    if (filter.closing) return;
    const below = filteredBy(filter);
    if (below.closing && filter.owner) {
      // Closed by force: its users stay where they are, and get errors; the filter goes with them.
      filter.owner = undefined;
      return;
    }
    leave(transaction, filter);
    moveUsers(transaction, { from: filter, to: below });
    refreshNodes(transaction, [filter, below]);
  };
  const touched = (): Node[] => {
    if (filter.closing) return [];
    const nodes = [filter, filteredBy(filter)];
    assertMay?.();
    return nodes;
  };
  await reshape(graph, touched, change);
}

/** Have `node` show `backing` (undefined: nothing) where it has no data. What its header says stays as it is. */
export function setBacking(graph: BlockGraph, node: Node, backing: Node | undefined): Promise<void> {
  const touched = () => present([node, node.backing?.node, backing]);
  return reshape(graph, touched, (transaction) => changeBacking(transaction, node, backing));
}

export function present(nodes: readonly (Node | undefined)[]): Node[] {
  return nodes.filter((node) => node !== undefined);
}

/** The same as a part of a larger change. */
export function changeBacking(transaction: Transaction, node: Node, backing: Node | undefined): void {
  const { image } = node;
  if (!image.backing?.linked) {
    throw new NotSupported(`driver '${node.driver.name}' of node '${node.name}' has no backing files`);
  }
  const before = node.backing?.node;
  setChild(transaction, node, { name: 'backing', role: 'cow', node: backing });
  refreshNodes(transaction, present([node, before, backing]));
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
export function addOverlay(graph: BlockGraph, node: Node, overlay: Node): Promise<void> {
  const touched = (): Node[] => {
    if (overlay.backing) throw new BlockError(`the overlay '${overlay.name}' has a backing file already`);
    for (const { parent } of overlay.parents) {
      throw new BlockError(`the overlay '${overlay.name}' is in use by ${parent.describe()}`, { code: 'EBUSY' });
    }
    assertOpen(overlay);
    return [node, overlay];
  };
  const change = (transaction: Transaction): void => {
    moveUsers(transaction, { from: node, to: overlay });
    changeBacking(transaction, overlay, node);
    refreshNodes(transaction, [overlay, node]);
  };
  return reshape(graph, touched, change);
}
