/** Users of nodes that have a name of their own: the exports, by their ids. */
import type { Accounting } from '../block/accounting/accounting.ts';
import { Backend } from '../block/backend/backend.ts';
import type { BlockGraph } from '../block/graph/block-graph.ts';
import { BlockError } from '../errors/block-error.ts';

/** Every backend with a name, in the order of the nodes; last those whose node was closed by force. */
export function* namedBackends(graph: BlockGraph): Generator<Backend> {
  for (const node of [...graph.nodes.values(), ...graph.closedInUse]) {
    for (const { parent } of node.parents) if (parent instanceof Backend && parent.name !== undefined) yield parent;
  }
}

export function namedBackend(graph: BlockGraph, name: string): Backend {
  for (const backend of namedBackends(graph)) if (backend.name === name) return backend;
  throw new BlockError(`there is no export '${name}'`, { code: 'ENOENT', data: { qmpClass: 'DeviceNotFound' } });
}

/** The accounts of an export, or of a node. */
export function accountsOf(graph: BlockGraph, id: string): Accounting {
  for (const backend of namedBackends(graph)) if (backend.name === id) return backend.accounts;
  const node = graph.nodes.get(id);
  if (node) return node.accounts;
  throw new BlockError(`there is neither an export nor a node '${id}'`, {
    code: 'ENOENT',
    data: { qmpClass: 'DeviceNotFound' },
  });
}
