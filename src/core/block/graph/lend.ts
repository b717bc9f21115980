/**
 * Nodes that were opened read-only, as backing files are, and that a job must write to: they can be written to for as
 * long as a job needs that, and are read-only again after the last one.
 */
import { Perm } from '../permissions-bits.ts';
import type { BlockGraph } from './block-graph.ts';
import type { Lent, Node } from './node.ts';
import { cumulative } from './permissions.ts';
import { changeModes } from './reopen.ts';

/** Returns how to give it back, which never fails: a node that cannot be read-only again, or is not to be, stays. */
export type GiveBack = (how?: { readonly keep?: boolean }) => Promise<void>;

/** Have `node` be writable. Throws, with everything as it was, when it or the file below cannot be written to. */
export async function lendWritable(graph: BlockGraph, node: Node): Promise<GiveBack> {
  const layers = (): Node[] => withFiltered(node);
  const before = new Map<Node, Node['own']>();
  const loans: { readonly node: Node; readonly lent: Lent }[] = [];
  await changeModes(graph, {
    touched: layers,
    changes() {
      before.clear();
      for (const each of layers()) if (each.modes.readOnly) before.set(each, each.own);
      return [...before].map(([each, own]) => ({ node: each, readOnly: false, own: { ...own, 'read-only': false } }));
    },
    done() {
      for (const [each, own] of before) each.lent = { jobs: 0, own };
      for (const each of layers()) if (each.lent) loans.push({ node: each, lent: each.lent });
      for (const { lent } of loans) lent.jobs++;
    },
  });
  return async ({ keep = false } = {}) => {
    for (const { node: each, lent } of loans.splice(0)) {
      lent.jobs--;
      if (each.lent !== lent) continue;
      if (keep) each.lent = undefined;
      else if (lent.jobs === 0) await takeBack(graph, each, lent);
    }
  };
}

const CHANGES = Perm.WRITE | Perm.WRITE_UNCHANGED | Perm.RESIZE;

async function takeBack(graph: BlockGraph, node: Node, lent: Lent): Promise<void> {
  if (node.closing) return;
  // Another job may come for it before all is quiet, and is lent the same again.
  const isDue = (): boolean => node.lent === lent && lent.jobs === 0 && !node.closing;
  const done = (): void => {
    if (isDue()) node.lent = undefined;
  };
  // Somebody may have come to write to it meanwhile, as the users of a layer that was committed do.
  const isWritten = (): boolean => (cumulative(node).perm & CHANGES) !== 0;
  const changes = () => (isDue() && !isWritten() ? [{ node, readOnly: true, own: lent.own }] : []);
  try {
    await changeModes(graph, { touched: () => [node], changes, done });
  } catch (error) {
    done();
    const why = error instanceof Error ? error.message : String(error);
    graph.settings.warn(`node '${node.name}' stays writable: ${why}`);
  }
}

/** A node and, where it is a filter, those whose content it passes on. */
function withFiltered(node: Node): Node[] {
  const nodes = [node];
  for (let next = node.passedOn; next; next = next.node.passedOn) nodes.push(next.node);
  return nodes;
}
