/** Children that come and go while their parent is in use: those of a quorum. */
import { BlockError, NotSupported } from '../../errors/block-error.ts';
import type { MembersCapability } from '../driver.ts';
import type { BlockGraph } from './block-graph.ts';
import { refreshNodes, setChild } from './changes.ts';
import type { Edge } from './edge.ts';
import type { Node } from './node.ts';
import { reshape } from './reshape.ts';
import type { Transaction } from './transaction.ts';

/** Give `parent` another child. Throws with nothing changed. */
export function addMember(graph: BlockGraph, parent: Node, node: Node): Promise<void> {
  const members = membersOf(parent);
  return reshape(
    graph,
    () => [parent, node],
    (transaction) => {
      const name = members.nameFor(node.io.size);
      setChild(transaction, parent, { name, role: members.role, node });
      settle(transaction, parent, node);
    },
  );
}

/** Take a child, by the name of its edge, from `parent`; it closes where nobody else uses it. Throws with nothing changed. */
export function removeMember(graph: BlockGraph, parent: Node, name: string): Promise<void> {
  const members = membersOf(parent);
  const child = (): Node => {
    const edge = edgesOf(parent, members).find((each) => each.name === name);
    if (edge) return edge.node;
    throw new BlockError(`node '${parent.name}' has no child '${name}' of those that can be taken away`, {
      code: 'ENOENT',
    });
  };
  return reshape(
    graph,
    () => [parent, child()],
    (transaction) => {
      const node = child();
      members.assertRemovable(name);
      setChild(transaction, parent, { name, role: members.role, node: undefined });
      settle(transaction, parent, node);
    },
  );
}

function membersOf({ image, driver, name }: Node): MembersCapability {
  if (image.members) return image.members;
  throw new NotSupported(`driver '${driver.name}' of node '${name}' has no children that come and go`);
}

function edgesOf(parent: Node, { prefix }: MembersCapability): Edge[] {
  return [...parent.children.values()].filter(({ name }) => name.startsWith(prefix));
}

function settle(transaction: Transaction, parent: Node, node: Node): void {
  const members = membersOf(parent);
  transaction.add({ commit: () => members.changed(edgesOf(parent, members)) });
  refreshNodes(transaction, [parent, node]);
}
