/**
 * Ten thousand random changes of graphs, over the control socket, against a model of what is there: no cycle, no link to
 * what is gone, all users get along, and at the end nothing is left open or locked. BLOCKYARD_ROUNDS makes more of it.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { peersFor } from '../../support/peers.ts';
import { Random, seeds } from '../../support/random.ts';
import { tempDirForSuite } from '../../support/temp.ts';
import { scene } from './client.ts';
import { left, wrong } from './graph-invariants.ts';
import { RandomGraph } from './random-graph.ts';

const OPERATIONS = 2500;
const dir = tempDirForSuite();
const done = new Set<string>();

describe.skipIf(peersFor('qemu-img').missing)('a graph under', () => {
  test.each(seeds(4))('any changes (seed %i)', { timeout: 300_000 }, async (seed) => {
    const folder = fs.mkdtempSync(path.join(dir, 'graph-'));
    const template = path.join(dir, 'template');
    if (!fs.existsSync(template)) execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', template, '64k']);
    const made = await scene();
    const graph = new RandomGraph(made, new Random(seed), { folder, template });
    for (let n = 0; n < OPERATIONS; n++) {
      await graph.step();
      expect(graph.found, `after ${n} operations`).toEqual(graph.expected);
      expect(wrong(made.service.graph), `after ${n} operations`).toEqual([]);
    }
    await graph.leave();
    await made[Symbol.asyncDispose]();
    expect(made.service.graph.nodes.size).toBe(0);
    expect(left(folder)).toEqual([]);
    for (const each of graph.done) done.add(each);
  });

  test.skipIf(process.env.BLOCKYARD_SEED !== undefined)('all kinds of changes were among them', () => {
    const added = [
      'file',
      'null-co',
      'throttle',
      'copy-on-read',
      'compress',
      'preallocate',
      'blkdebug',
      'raw',
      'qcow2',
    ];
    const wanted = [...added, 'quorum'].map((driver) => `blockdev-add ${driver}`);
    const others = ['blockdev-del', 'blockdev-reopen', 'blockdev-snapshot', 'x-blockdev-change'];
    const ours = ['x-blockyard-insert-filter', 'x-blockyard-remove-filter'];
    expect([...done].sort()).toEqual([...wanted, ...others, ...ours].sort());
  });
});
