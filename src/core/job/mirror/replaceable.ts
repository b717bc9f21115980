/** Which nodes the target of a mirror may take the place of: those that show what its source shows. */
import type { Node } from '../../block/graph/node.ts';
import { BlockError } from '../../errors/block-error.ts';

/** @throws BlockError where the users of `wanted` would suddenly see another disk. */
export function assertReplaceable(source: Node, wanted: Node): void {
  if (showsTheSame(source, wanted)) return;
  throw new BlockError(
    `node '${wanted.name}' cannot be replaced by a mirror of '${source.name}', of which it need not show the content`,
    { code: 'EPERM' },
  );
}

/** It is the node itself, what a filter passes on, or one of the children that a quorum has all of its data in. */
function showsTheSame(node: Node, wanted: Node): boolean {
  if (node === wanted) return true;
  const { passedOn } = node;
  if (passedOn) return showsTheSame(passedOn.node, wanted);
  const { members } = node.image;
  if (!members) return false;
  const { prefix } = members;
  return [...node.children.values()].some(
    ({ name, node: child }) => name.startsWith(prefix) && showsTheSame(child, wanted),
  );
}
