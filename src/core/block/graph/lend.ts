/**
 * Nodes that were opened read-only, as backing files are, and that a job must write to: they can be written to for as
 * long as a job needs that, and are read-only again after the last one.
 */
import { Perm } from '../permissions-bits.ts';
import type { BlockGraph } from './block-graph.ts';
import type { Node } from './node.ts';
import { cumulative } from './permissions.ts';
import { changeModes } from './reopen.ts';

/** Returns how to give it back, which never fails: a node that cannot be read-only again, or is not to be, stays. */
export type GiveBack = (how?: { readonly keep?: boolean }) => Promise<void>;

/** Have `node` be writable. Throws, with everything as it was, when it or the file below cannot be written to. */
export async function lendWritable(graph: BlockGraph, node: Node): Promise<GiveBack> {
  const layers = withFiltered(node).filter(({ modes, lent }) => modes.readOnly || lent !== undefined);
  const changes = layers.filter(({ modes }) => modes.readOnly);
  const before = new Map(changes.map((each) => [each, each.own]));
  if (changes.length > 0) {
    await changeModes(
      graph,
      changes.map((each) => ({ node: each, readOnly: false, own: { ...each.own, 'read-only': false } })),
    );
  }
  for (const [each, own] of before) each.lent = { jobs: 0, own };
  const loans = layers.flatMap((each) => (each.lent ? [{ node: each, lent: each.lent }] : []));
  for (const { lent } of loans) lent.jobs++;
  return async ({ keep = false } = {}) => {
    for (const { node: each, lent } of loans.splice(0)) {
      lent.jobs--;
      if (each.lent !== lent) continue;
      if (keep) each.lent = undefined;
      else if (lent.jobs === 0) await takeBack(graph, each, lent.own);
    }
  };
}

async function takeBack(graph: BlockGraph, node: Node, own: Node['own']): Promise<void> {
  node.lent = undefined;
  // Somebody may have come to write to it meanwhile, as the users of a layer that was committed do.
  if (node.closing || (cumulative(node).perm & (Perm.WRITE | Perm.WRITE_UNCHANGED | Perm.RESIZE)) !== 0) return;
  try {
    await changeModes(graph, [{ node, readOnly: true, own }]);
  } catch (error) {
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
