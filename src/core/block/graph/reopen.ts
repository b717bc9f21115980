/**
 * Giving nodes other options while they are in use: all of those asked for, or none.
 *
 *     plan      what changes where, children that follow their parents included; nothing is touched
 *     prepare   drivers open what they need, and say what they cannot do       (users held back from here on)
 *     change    modes, links and permissions, in one transaction
 *     commit    drivers switch over, from the bottom up; this cannot fail
 */

import { isDeepStrictEqual } from 'node:util';
import { Closer } from '../../async/closer.ts';
import { NotSupported } from '../../errors/block-error.ts';
import type { ReopenCapability } from '../driver.ts';
import type { BlockGraph } from './block-graph.ts';
import { refreshNodes, setChild } from './changes.ts';
import { subtree, whileDrained } from './drain.ts';
import type { Node } from './node.ts';
import { type ModeChange, type Plan, planModes, planReopening, type Reopening } from './reopen-plan.ts';
import { type Transaction, transact } from './transaction.ts';

export type { Reopening };

type Prepared = Awaited<ReturnType<ReopenCapability['prepare']>>;

/** Reopen; throws with everything as it was. */
export async function reopenNodes(graph: BlockGraph, requests: readonly Reopening[]): Promise<void> {
  await carryOut(graph, () => planReopening(graph, requests));
  // What the user says of a node from now on holds, whoever was lent it before.
  for (const { node } of requests) node.lent = undefined;
}

export interface ModeChanges {
  /** What they are decided by, beside the nodes that they are of. */
  readonly touched: () => Iterable<Node>;
  /** Asked again once all is quiet, as {@link touched} is. */
  readonly changes: () => readonly ModeChange[];
  /** Done in the same quiet moment, after them. */
  readonly done?: () => void;
}

/** Let nodes be written to, or not any more; throws with everything as it was. */
export function changeModes(graph: BlockGraph, { touched, changes, done }: ModeChanges): Promise<void> {
  return carryOut(graph, () => planModes(graph, changes()), { touched, done });
}

async function carryOut(
  graph: BlockGraph,
  plan: () => Plan[],
  { touched = () => [], done }: Partial<ModeChanges> = {},
): Promise<void> {
  await using holds = new Closer();
  const all = (): Node[] => [...touched(), ...plan().flatMap(({ node, children }) => [node, ...endsOf(children)])];
  const change = async (): Promise<void> => {
    const plans = bottomUp(plan());
    for (const node of new Set(plans.flatMap((each) => [each.node, ...endsOf(each.children)]))) {
      const hold = graph.hold(node, { describe: () => `the reopening of node '${node.name}'` });
      holds.push(hold.release);
    }
    await switchOver(plans);
    done?.();
  };
  await whileDrained(all, change, { alone: true });
}

async function switchOver(plans: readonly Plan[]): Promise<void> {
  const prepared: Prepared[] = [];
  try {
    // From the top, since what is flushed above lands below.
    for (const plan of [...plans].reverse()) await settle(plan);
    for (const plan of plans) prepared.push(await prepare(plan));
    transact((transaction) => change(transaction, plans));
  } catch (error) {
    for (const step of prepared.reverse()) await step.abort();
    throw error;
  }
  for (const step of prepared) await step.commit();
  for (const { node, modes } of plans) {
    for (const bitmap of node.io.bitmaps.named) if (bitmap.persistent) bitmap.readOnly = modes.readOnly;
    node.io.refit();
  }
}

/** What is to be read-only must have nothing left to write. */
async function settle({ node, modes }: Plan): Promise<void> {
  if (!modes.readOnly || node.modes.readOnly) return;
  await node.io.bitmaps.save();
  await node.entry.flush();
}

const NOTHING: Prepared = { commit: () => undefined, abort: () => undefined };

async function prepare({ node, modes, options }: Plan): Promise<Prepared> {
  const { reopen } = node.image;
  if (reopen) return reopen.prepare(options, modes);
  const changed = Object.keys({ ...node.options, ...options }).find(
    (key) => !isDeepStrictEqual(node.options[key], options[key]),
  );
  if (changed !== undefined) {
    throw new NotSupported(`option '${changed}' of node '${node.name}' cannot be changed while it is open`, {
      data: { node: node.name, option: changed },
    });
  }
  // A filter has no modes of its own to change: the graph asks the node.
  if (node.driver.kind === 'filter' || modes.readOnly === node.modes.readOnly) return NOTHING;
  throw new NotSupported(
    `node '${node.name}' cannot become ${modes.readOnly ? 'read-only' : 'read-write'}: driver '${node.driver.name}' cannot switch while it is open`,
  );
}

function change(transaction: Transaction, plans: readonly Plan[]): void {
  for (const plan of plans) {
    const { node } = plan;
    const before = { modes: node.modes, own: node.own, options: node.options, detectZeroes: node.detectZeroes };
    Object.assign(node, { modes: plan.modes, own: plan.own, options: plan.options });
    node.detectZeroes = plan.own['detect-zeroes'] ?? 'off';
    transaction.add({ abort: () => void Object.assign(node, before) });
  }
  for (const { node, children } of plans) {
    for (const { name, role, to } of children) {
      setChild(transaction, node, { name, role, node: to });
      if (name === 'backing') linkBacking(transaction, node);
    }
  }
  refreshNodes(transaction, [...new Set(plans.flatMap(({ node, children }) => [node, ...endsOf(children)]))]);
}

/** The nodes at both ends of a link that moves: what it needs and shares stays the same, and is to be judged anew there. */
function endsOf(children: Plan['children']): Node[] {
  return children.flatMap(({ edge, before, to }) => [...(edge && before ? [before] : []), ...(to ? [to] : [])]);
}

function linkBacking(transaction: Transaction, node: Node): void {
  const { backingOverridden } = node;
  node.backingOverridden = true;
  transaction.add({
    commit: () => node.image.backing?.linked?.(node.backing),
    abort: () => {
      node.backingOverridden = backingOverridden;
    },
  });
}

/** Each node after those of the others that lie below it. */
function bottomUp(plans: readonly Plan[]): Plan[] {
  const below = new Map(plans.map(({ node }) => [node, subtree(node)]));
  const depth = (plan: Plan) => plans.filter(({ node }) => below.get(plan.node)?.has(node)).length;
  return [...plans].sort((a, b) => depth(a) - depth(b));
}
