/**
 * Anything a client may ask for in any order, with jobs under way: what there is stays a graph without cycles and without
 * links to what is gone, in which all users get along, and which jobs hold no longer than they live; at the end nothing
 * is left open or locked. BLOCKYARD_ROUNDS makes more of it.
 */
import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import type { BlockGraph } from '../../../src/core/block/graph/block-graph.ts';
import { subtree } from '../../../src/core/block/graph/drain.ts';
import type { Job } from '../../../src/core/job/job.ts';
import { Random, seeds } from '../../support/random.ts';
import { tempDirForSuite } from '../../support/temp.ts';
import { scene } from './client.ts';
import { RandomUser } from './random-jobs.ts';

const OPERATIONS = 600;
const dir = tempDirForSuite();

/** All that must hold between two commands; what is wrong, in words. */
function wrong(graph: BlockGraph, jobs: readonly Job[]): string[] {
  const found: string[] = [];
  const alive = new Set(
    jobs.filter(({ state }) => state !== 'concluded' && state !== 'null').map((job) => job.describe()),
  );
  for (const [name, node] of graph.nodes) {
    if (node.name !== name) found.push(`${name} is another`);
    if (node.owner && !alive.has(node.owner.describe())) found.push(`${name} belongs to a job that is gone`);
    for (const edge of node.children.values()) {
      if (graph.nodes.get(edge.node.name) !== edge.node) found.push(`${name}.${edge.name} leads to what is gone`);
      if (!edge.node.parents.has(edge)) found.push(`${name}.${edge.name} is not known below`);
      if (edge.parent !== node) found.push(`${name}.${edge.name} is of another`);
      if (subtree(edge.node).has(node)) found.push(`${name} is below itself`);
      for (const holder of edge.frozenBy) {
        if (!alive.has(holder.describe())) found.push(`${name}.${edge.name} is held by a job that is gone`);
      }
    }
    for (const one of node.parents) {
      const { node: above } = one.parent;
      if (above && !above.closing && above.children.get(one.name) !== one) found.push(`${name} has a stale user`);
      if (one.node !== node) found.push(`${name} has a user that is elsewhere`);
      for (const other of node.parents) {
        if (one === other || (one.perm & ~other.shared) === 0) continue;
        const each = [one, other].map(({ parent, perm, shared }) => `${parent.describe()} ${perm} ${shared}`);
        found.push(`${each.join(' and ')} do not get along on ${name}`);
      }
    }
  }
  return found;
}

/** Descriptors and open-file-description locks on files here. */
function left(folder: string): string[] {
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

/** Commands that were done under any seed. */
const done = new Set<string>();

test.each(seeds(5))('any commands, with jobs (seed %i)', { timeout: 300_000 }, async (seed) => {
  const folder = fs.mkdtempSync(path.join(dir, 'jobs-'));
  const made = await scene();
  const { client, service } = made;
  const user = new RandomUser(made, new Random(seed), folder);
  await client.run('nbd-server-start', { addr: { type: 'unix', data: { path: path.join(folder, 'nbd') } } });
  for (let n = 0; n < OPERATIONS; n++) {
    await user.step();
    expect(wrong(service.graph, service.jobs.all()), `after ${n} operations`).toEqual([]);
  }
  await user.leave();
  await Promise.resolve(made[Symbol.asyncDispose]()).catch(() => undefined);
  expect([...service.graph.nodes.keys()]).toEqual([]);
  expect(left(folder)).toEqual([]);
  for (const name of user.done) done.add(name);
});

test.skipIf(process.env.BLOCKYARD_SEED !== undefined)('all kinds of jobs were among them', () => {
  const jobs = [
    'blockdev-mirror',
    'blockdev-backup',
    'block-commit',
    'block-stream',
    'x-blockdev-amend',
    'blockdev-create',
  ];
  const verbs = ['pause', 'resume', 'cancel', 'complete', 'finalize', 'dismiss'].map((verb) => `job-${verb}`);
  const others = ['transaction', 'blockdev-snapshot', 'blockdev-snapshot-internal-sync', 'blockdev-reopen'];
  for (const name of [...jobs, ...verbs, ...others]) expect(done).toContain(name);
});
