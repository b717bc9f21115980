/** What must hold of a graph between any two commands, and what must be left of it at the end: nothing. */
import fs from 'node:fs';
import path from 'node:path';
import type { BlockGraph } from '../../../src/core/block/graph/block-graph.ts';
import { subtree } from '../../../src/core/block/graph/drain.ts';
import type { Node } from '../../../src/core/block/graph/node.ts';
import type { Job } from '../../../src/core/job/job.ts';

/** All that is wrong, in words. */
export function wrong(graph: BlockGraph, jobs: readonly Job[] = []): string[] {
  const alive = new Set(
    jobs.filter(({ state }) => state !== 'concluded' && state !== 'null').map((job) => job.describe()),
  );
  const found: string[] = [];
  for (const [name, node] of graph.nodes) {
    if (node.name !== name) found.push(`${name} is another`);
    if (node.owner && !alive.has(node.owner.describe())) found.push(`${name} belongs to a job that is gone`);
    found.push(...wrongBelow(graph, node, alive), ...wrongAbove(node));
  }
  return found;
}

function wrongBelow(graph: BlockGraph, node: Node, alive: ReadonlySet<string>): string[] {
  const found: string[] = [];
  for (const edge of node.children.values()) {
    const link = `${node.name}.${edge.name}`;
    // What was closed by force has users still.
    const isThere = graph.nodes.get(edge.node.name) === edge.node || graph.closedInUse.has(edge.node);
    if (!isThere) found.push(`${link} leads to what is gone`);
    if (!edge.node.parents.has(edge)) found.push(`${link} is not known below`);
    if (edge.parent !== node) found.push(`${link} is of another`);
    if (subtree(edge.node).has(node)) found.push(`${node.name} is below itself`);
    for (const holder of edge.frozenBy.keys()) {
      if (!alive.has(holder.describe())) found.push(`${link} is held by a job that is gone`);
    }
  }
  return found;
}

function wrongAbove(node: Node): string[] {
  const found: string[] = [];
  for (const one of node.parents) {
    const { node: above } = one.parent;
    if (above && !above.closing && above.children.get(one.name) !== one) found.push(`${node.name} has a stale user`);
    if (one.node !== node) found.push(`${node.name} has a user that is elsewhere`);
    for (const other of node.parents) {
      if (one === other || (one.perm & ~other.shared) === 0) continue;
      const each = [one, other].map(({ parent, perm, shared }) => `${parent.describe()} ${perm} ${shared}`);
      found.push(`${each.join(' and ')} do not get along on ${node.name}`);
    }
  }
  return found;
}

/** Descriptors and open-file-description locks on files in a folder. */
export function left(folder: string): string[] {
  const files = new Map(fs.readdirSync(folder).map((name) => [String(fs.statSync(path.join(folder, name)).ino), name]));
  const open = fs.readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const target = fs.readlinkSync(`/proc/self/fd/${fd}`);
      return target.startsWith(folder) ? [`open: ${target}`] : [];
    } catch {
      return [];
    }
  });
  const locks = fs.readFileSync('/proc/locks', 'utf8').split('\n');
  const locked = locks.flatMap((line) => {
    const [, inode = ''] = /:(\d+) \d+ (?:\d+|EOF)$/.exec(line) ?? [];
    return files.has(inode) ? [`locked: ${files.get(inode)} ${line}`] : [];
  });
  return [...open, ...locked];
}
