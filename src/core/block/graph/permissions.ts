/**
 * Permissions: what each edge needs of the node below and what it lets others have.
 *
 * A node's cumulative need is the union over its parents, its cumulative share the intersection. Those two
 * are translated through the role of each child edge into what that edge needs and shares, and so on down
 * to the host files, which hold them as byte-range locks. A change is checked over the whole subtree
 * before anything of it stays: `refreshPermissions` adds its undo to the transaction it is given.
 */
import { BlockError, PermissionConflict } from '../../errors/block-error.ts';
import type { ChildRole, OpenModes } from '../driver.ts';
import { Perm, type PermPair, permNames, type UserPermissions } from '../permissions-bits.ts';
import type { Edge } from './edge.ts';
import type { Node } from './node.ts';
import { userOf } from './refusal.ts';
import type { Transaction } from './transaction.ts';

export type { PermPair };

const DATA_CHANGE = Perm.WRITE | Perm.WRITE_UNCHANGED;

/** What a parent node needs of a child in `role` and shares, given what its own users need and share. */
export function childPermissions(role: ChildRole, users: PermPair, modes: OpenModes): PermPair {
  const own = translate(role, users, modes);
  return modes.forceShare ? { perm: own.perm, shared: Perm.ALL } : own;
}

function translate(role: ChildRole, users: PermPair, modes: OpenModes): PermPair {
  const { perm, shared, sharedBelow = shared } = users;
  if (role === 'filtered') return { perm, shared, sharedBelow };
  if (role === 'cow') {
    const tolerant = (sharedBelow & Perm.WRITE) !== 0 ? Perm.WRITE | Perm.RESIZE : 0;
    return { perm: perm & Perm.CONSISTENT_READ, shared: Perm.CONSISTENT_READ | Perm.WRITE_UNCHANGED | tolerant };
  }
  let need = perm;
  let share = shared;
  if (role === 'metadata' || role === 'metadata+data') {
    if (!modes.readOnly) need |= Perm.WRITE | Perm.RESIZE;
    if (!modes.noIo) need |= Perm.CONSISTENT_READ;
    share &= ~(Perm.WRITE | Perm.RESIZE);
  }
  if (role === 'data' || role === 'metadata+data') {
    if ((need & Perm.WRITE_UNCHANGED) !== 0) need = (need & ~Perm.WRITE_UNCHANGED) | Perm.WRITE;
    if ((need & Perm.WRITE) !== 0) need |= Perm.RESIZE;
    share &= ~Perm.RESIZE;
  }
  return { perm: need, shared: share };
}

/** Union of what the parents of a node need, intersection of what they share. */
export function cumulative(node: Node): UserPermissions {
  let perm = 0;
  let shared: number = Perm.ALL;
  let sharedBelow: number = Perm.ALL;
  for (const edge of node.parents) {
    perm |= edge.perm;
    shared &= edge.shared;
    sharedBelow &= edge.sharedBelow;
  }
  return { perm, shared, sharedBelow, unused: node.parents.size === 0 };
}

/** Give `edge` another need and share, undone on abort. Follow with {@link refreshPermissions}. */
export function setEdgePermissions(transaction: Transaction, edge: Edge, next: PermPair): void {
  const { perm, shared, sharedBelow } = edge;
  Object.assign(edge, complete(next));
  transaction.add({ abort: () => void Object.assign(edge, { perm, shared, sharedBelow }) });
}

/** With what goes without saying. */
export function complete({ perm, shared, sharedBelow = shared }: PermPair): Required<PermPair> {
  return { perm, shared, sharedBelow };
}

/**
 * Recompute and check everything below and including `nodes`; throws PermissionConflict naming both users.
 *
 * With `loosening` the change can only relax: nothing is checked, and locks that cannot be given back now
 * (another program is just trying for them) stay until the next change.
 */
export function refreshPermissions(
  transaction: Transaction,
  nodes: Iterable<Node>,
  options: { readonly loosening?: boolean } = {},
): void {
  const { loosening = false } = options;
  const changed = new Set<Node>(nodes);
  for (const node of parentsFirst(changed)) {
    // Where nothing changes above, nothing does below: a long chain is not checked anew for each of its images.
    if (!changed.has(node)) continue;
    const users = cumulative(node);
    if (!loosening) {
      checkUsers(node);
      checkWritable(node, users);
    }
    prepareLocks(transaction, node, users, loosening);
    for (const edge of node.children.values()) {
      const next = complete(needsOf(node, edge, users));
      if (next.perm === edge.perm && next.shared === edge.shared && next.sharedBelow === edge.sharedBelow) continue;
      setEdgePermissions(transaction, edge, next);
      changed.add(edge.node);
    }
  }
}

/** What `node` needs of a child and shares: by its role, as its driver adapts it. */
function needsOf(node: Node, edge: Edge, users: UserPermissions): PermPair {
  if (node.leaving) return { perm: 0, shared: Perm.ALL };
  const usual = childPermissions(edge.role, users, node.modes);
  const needs = node.image.childPermissions?.(edge.name, users, usual) ?? usual;
  if (node.modes.forceShare) return { perm: needs.perm, shared: Perm.ALL };
  // What others wrote to the data below, past this node, would be missing from its bitmaps.
  const past = edge.holdsData && node.io.bitmaps.named.some(({ target }) => target !== undefined);
  return past ? { ...needs, shared: needs.shared & ~Perm.WRITE } : needs;
}

function prepareLocks(transaction: Transaction, node: Node, users: PermPair, loosening: boolean): void {
  const locks = node.image.permissions;
  if (!locks) return;
  try {
    locks.prepare(users.perm, node.modes.forceShare ? Perm.ALL : users.shared);
  } catch (error) {
    if (loosening) return;
    throw error;
  }
  transaction.add({ commit: () => locks.commit(), abort: () => locks.abort() });
}

function checkUsers(node: Node): void {
  const edges = [...node.parents];
  for (const a of edges) {
    for (const b of edges) {
      if (a === b) continue;
      const clash = b.perm & ~a.shared;
      if (clash === 0) continue;
      throw new PermissionConflict(
        `permission conflict on node '${node.name}': '${permNames(clash)}' is required by ${userOf(b, clash, 'perm')} ` +
          `and not shared by ${userOf(a, clash, 'shared')}`,
        { data: { node: node.name, permissions: permNames(clash) } },
      );
    }
  }
}

function checkWritable(node: Node, users: PermPair): void {
  if ((users.perm & DATA_CHANGE) !== 0 && node.modes.readOnly) {
    throw new BlockError(`node '${node.name}' is read-only`, { code: 'EACCES' });
  }
  const align = node.io.limits.requestAlignment ?? 1;
  // The last block cannot be written without the length changing.
  if ((users.perm & DATA_CHANGE) !== 0 && (users.perm & Perm.RESIZE) === 0 && node.io.size % align !== 0) {
    throw new BlockError(
      `node '${node.name}' cannot be written to without being resized: its size of ${node.io.size} bytes is no ` +
        `multiple of the request alignment of ${align} bytes`,
      { code: 'EPERM' },
    );
  }
}

/** The subtree below `nodes`, each node after all of its parents that are in it. */
function parentsFirst(nodes: Iterable<Node>): Node[] {
  const seen = new Set<Node>();
  const done: Node[] = [];
  for (const start of nodes) {
    if (seen.has(start)) continue;
    seen.add(start);
    // An explicit stack: the depth of a chain is chosen by files.
    const stack: { node: Node; children: Iterator<Edge> }[] = [{ node: start, children: start.children.values() }];
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const next = top.children.next();
      if (next.done) {
        done.push(top.node);
        stack.pop();
      } else if (!seen.has(next.value.node)) {
        seen.add(next.value.node);
        stack.push({ node: next.value.node, children: next.value.node.children.values() });
      }
    }
  }
  return done.reverse();
}
