/** What commands on nodes share: naming a node, opening one, and saying why it cannot be let go. */
import type { BlockGraph } from '../block/graph/block-graph.ts';
import type { Node } from '../block/graph/node.ts';
import { openNode } from '../block/graph/open.ts';
import { holdersOf } from '../block/graph/refusal.ts';
import type { NodeSpec } from '../block/graph/spec.ts';
import { BlockError, Usage } from '../errors/block-error.ts';
import { text } from '../options/fields.ts';

export const nodeName = (help: string) => text({ help, required: true });

/** `device` or `node-name`, of which one must be given; nodes have no device names here. */
export const nodeOrDevice = {
  device: text({ help: 'Older name for the same; exactly one of the two' }),
  'node-name': text({ help: 'Name of the node' }),
};

export function findNode(
  graph: BlockGraph,
  given: { readonly device?: string | undefined; readonly 'node-name'?: string | undefined },
): Node {
  const { device, 'node-name': name } = given;
  if (device !== undefined && name !== undefined) throw new Usage("'device' and 'node-name' cannot both be given");
  const wanted = name ?? device;
  if (wanted === undefined) throw new Usage("one of 'device' and 'node-name' must be given");
  return namedNode(graph, wanted);
}

/** The node of this name. */
export function namedNode(graph: BlockGraph, name: string): Node {
  const node = graph.nodes.get(name);
  if (node) return node;
  throw new BlockError(`there is no node named '${name}'`, { code: 'ENOENT' });
}

/** Open a node and keep it by its name. */
export async function addNode(graph: BlockGraph, spec: NodeSpec): Promise<Node> {
  if (spec['node-name'] === undefined) throw new Usage("'node-name' must be given for the node at the top");
  const node = await openNode(graph, spec);
  giveToClient(graph, node);
  return node;
}

const client = { describe: () => 'its client' };

/** From now on `node` is there for its client, who takes it away by its name: `blockdev-del`. */
export function giveToClient(graph: BlockGraph, node: Node): void {
  node.added = graph.hold(node, client);
}

/** Who uses a node or has to do with it now, for a refusal: "export 'e', node 'top'"; empty for nobody but its client. */
export function usersOf({ parents, holds, added }: Node): string {
  const others = [...holds].filter((hold) => hold !== added).map(({ by }) => by);
  return holdersOf([...[...parents].map(({ parent }) => parent), ...others]);
}
