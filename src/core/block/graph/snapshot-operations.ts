/**
 * Internal snapshots of a node that is in use: each operation takes its permissions from the operations table, waits for
 * the requests in flight, holds back new ones, and gives everything back when it ends.
 */
import type { SnapshotInfo } from '../image-info.ts';
import {
  bitmapsInTheWay,
  findSnapshot,
  type NewSnapshot,
  noSnapshots,
  type SnapshotCapability,
  type SnapshotSelector,
} from '../snapshots.ts';
import type { BlockGraph } from './block-graph.ts';
import { whileDrained } from './drain.ts';
import type { EdgeParent } from './edge.ts';
import type { Node } from './node.ts';
import { type OperationName, operations } from './operations.ts';

/** The node that has the snapshots, and what it offers. */
export interface SnapshotNode {
  readonly node: Node;
  readonly snapshots: SnapshotCapability;
}

/** Whose snapshots are meant by those of `node`: its own, or those of what it passes on; undefined for a format without. */
export function snapshotNode(node: Node): SnapshotNode | undefined {
  const seen = new Set<Node>();
  for (let at: Node | undefined = node; at && !seen.has(at); at = at.passedOn?.node) {
    seen.add(at);
    const { snapshots } = at.image;
    if (snapshots) return { node: at, snapshots };
  }
  return undefined;
}

/** Make a snapshot of what the disk is now. */
export function snapshotCreate(graph: BlockGraph, node: Node, snapshot: NewSnapshot): Promise<SnapshotInfo> {
  return quietly(graph, node, 'snapshot-create', ({ snapshots }) => snapshots.create(snapshot));
}

/** Make the disk what it was; whoever uses it is told when its length changes. Throws ENOENT for an unknown one. */
export function snapshotApply(graph: BlockGraph, node: Node, wanted: string | SnapshotSelector): Promise<void> {
  return quietly(graph, node, 'snapshot-apply', async ({ node: owner, snapshots }) => {
    const before = owner.image.size;
    const { fileName } = owner;
    const found = findSnapshot(snapshots.list(), wanted, { fileName, means: 'id-first' });
    if (owner.io.bitmaps.count > 0) throw bitmapsInTheWay(owner.fileName);
    await snapshots.apply(found);
    if (owner.image.size !== before) owner.resized();
  });
}

/** Remove a snapshot and return what it was. Throws ENOENT for an unknown one. A word is a name first, then an id. */
export function snapshotRemove(
  graph: BlockGraph,
  node: Node,
  wanted: string | SnapshotSelector,
): Promise<SnapshotInfo> {
  return quietly(graph, node, 'snapshot-remove', async ({ node: { fileName }, snapshots }) => {
    const found = findSnapshot(snapshots.list(), wanted, { fileName, means: 'name-first' });
    await snapshots.remove(found);
    return found;
  });
}

async function quietly<T>(
  graph: BlockGraph,
  node: Node,
  operation: OperationName & `snapshot-${string}`,
  action: (owner: SnapshotNode) => Promise<T>,
): Promise<T> {
  const owner = (): SnapshotNode => {
    const found = snapshotNode(node);
    if (found) return found;
    throw noSnapshots(node);
  };
  owner();
  const parent: EdgeParent = { kind: 'job', describe: () => `${operation} of '${node.fileName}'` };
  const edge = graph.attach({ parent, node, name: 'snapshot', role: 'filtered' }, operations[operation].image);
  try {
    return await whileDrained(
      () => [owner().node],
      () => action(owner()),
      { alone: true },
    );
  } finally {
    await graph.detach(edge);
  }
}
