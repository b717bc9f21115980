/** Filters that a job puts into the graph by itself: made, not opened, since nobody can ask for one. */
import { defineOptions } from '../../options/fields.ts';
import type { OptionSchema } from '../../options/schema.ts';
import type { ChildRole, Driver, Image } from '../driver.ts';
import type { BlockGraph } from './block-graph.ts';
import type { Edge, EdgeParent } from './edge.ts';
import { Node } from './node.ts';
import { refreshPermissions } from './permissions.ts';
import type { Holder } from './refusal.ts';
import { transact } from './transaction.ts';

export interface OwnFilter {
  /** As `query-named-block-nodes` shows it. */
  readonly driver: string;
  /** Default: a generated one. */
  readonly name?: string | undefined;
  readonly below: Node;
  /** The job that it belongs to. */
  readonly owner: Holder;
  /** Further children, whatever the filter does with them. */
  readonly others?: readonly { readonly name: string; readonly role: ChildRole; readonly node: Node }[];
  make(file: Edge, others: readonly Edge[]): Image;
}

const NO_OPTIONS: OptionSchema = defineOptions({});
const NOTHING = { perm: 0, shared: 15 };

/** A node of a filter on top of `below` that nobody uses yet, for its job to hold. */
export async function makeFilter(graph: BlockGraph, filter: OwnFilter): Promise<Node> {
  const { below, others = [] } = filter;
  const name = graph.reserveName(filter.name);
  const parent: EdgeParent = { kind: 'node', describe: () => `node '${name}' of ${filter.owner.describe()}` };
  const edges: Edge[] = [];
  try {
    for (const child of [{ name: 'file', role: 'filtered', node: below } as const, ...others]) {
      edges.push(graph.attach({ ...child, parent }, NOTHING));
    }
    const [file, ...rest] = edges;
    if (!file) throw new Error('a filter without a child');
    const node = new Node({
      name,
      driver: driverNamed(filter.driver),
      image: filter.make(file, rest),
      modes: below.modes,
      options: {},
      fileName: below.fileName,
      detectZeroes: 'off',
      children: edges,
      probed: false,
      backingOverridden: false,
    });
    transact((transaction) => refreshPermissions(transaction, [node]));
    graph.add(node);
    return node;
  } catch (error) {
    graph.dropName(name);
    for (const edge of edges) await graph.detach(edge).catch(() => undefined);
    throw error;
  }
}

/** What a node needs to know of the driver it was not opened by. */
function driverNamed(name: string): Driver {
  return {
    name,
    kind: 'filter',
    options: NO_OPTIONS,
    open: () => Promise.reject(new Error(`driver '${name}' belongs to a job`)),
  };
}
