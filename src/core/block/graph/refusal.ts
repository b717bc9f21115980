/** Who stands in each other's way: an operation that is refused because of another is named in the refusal, and so is the other. */
import { BlockError, PermissionConflict, withContext } from '../../errors/block-error.ts';
import type { Edge } from './edge.ts';

/** An operation, a job mostly, that relies on something as it is. */
export interface Holder {
  /** For messages: "commit job 'j'". */
  describe(): string;
}

/** How a holder relies on a link: it will move the link itself one day, or needs it as it is and no more than that. */
export type Reliance = 'moves' | 'needs';

/** Those who hold something, for a message. */
export function holdersOf(holders: Iterable<Holder>): string {
  return [...new Set([...holders].map((holder) => holder.describe()))].join(', ');
}

/** Do `action`; where others are in the way, the error says what they are in the way of: "stream job 's' of node 'top'". */
export async function asking<T>(what: string, action: () => T | Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof PermissionConflict || (error instanceof BlockError && error.code === 'EBUSY')) {
      throw withContext(what, error);
    }
    throw error;
  }
}

/**
 * Who uses a node by `edge`, for a message about the permissions in `mask`: a user by its name, a node with those above
 * that have it need them, or not share them.
 */
export function userOf(edge: Edge, mask: number, kind: 'perm' | 'shared'): string {
  const { parent } = edge;
  const own = `${parent.describe()} (as '${edge.name}')`;
  if (!parent.node) return own;
  const reasons = new Set<string>();
  const seen = new Set([parent.node]);
  for (const node of seen) {
    let above = false;
    for (const link of node.parents) {
      if ((kind === 'perm' ? link.perm & mask : mask & ~link.shared) === 0) continue;
      above = true;
      if (link.parent.node) seen.add(link.parent.node);
      else reasons.add(link.parent.describe());
    }
    // Nobody above wants it so: it is this node's own doing.
    if (!above && node !== parent.node) reasons.add(node.describe());
  }
  return reasons.size === 0 ? own : `${own} for ${[...reasons].join(', ')}`;
}
