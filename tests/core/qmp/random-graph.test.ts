/**
 * Random operations on a graph, over the control socket, against a model of what is there: no cycle, no link to what is
 * gone, and at the end nothing left open or locked.
 */
import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { subtree } from '../../../src/core/block/graph/drain.ts';
import { Random, seeds } from '../../support/random.ts';
import { tempDirForSuite } from '../../support/temp.ts';
import { scene } from './client.ts';

const KiB = 1024;
const OPERATIONS = 2500;
const dir = tempDirForSuite();

interface Model {
  /** Nodes added by name, and the child each has. */
  readonly nodes: Map<string, string | undefined>;
}

function usersOf(model: Model, name: string): string[] {
  return [...model.nodes].filter(([, child]) => child === name).map(([node]) => node);
}

function isBelow(model: Model, top: string, wanted: string): boolean {
  for (let at: string | undefined = top; at !== undefined; at = model.nodes.get(at)) if (at === wanted) return true;
  return false;
}

test.each(seeds(4))('any operations (seed %i)', { timeout: 120_000 }, async (seed) => {
  const random = new Random(seed);
  const before = openFiles();
  const folder = fs.mkdtempSync(path.join(dir, 'graph-'));
  {
    await using made = await scene();
    const { client, service } = made;
    const model: Model = { nodes: new Map() };
    const pick = (): string | undefined => [...model.nodes.keys()][random.below(Math.max(1, model.nodes.size))];
    for (let n = 0; n < OPERATIONS; n++) {
      client.messages.length = 0;
      const name = `n${random.below(24)}`;
      const other = pick();
      const kind = random.below(6);
      if (kind === 0) {
        const filename = path.join(folder, `${name}.raw`);
        if (!fs.existsSync(filename)) fs.writeFileSync(filename, Buffer.alloc(64 * KiB));
        const answer = await client.ask('blockdev-add', { driver: 'file', 'node-name': name, filename });
        expect(answer.error === undefined, 'add').toBe(!model.nodes.has(name));
        if (!answer.error) model.nodes.set(name, undefined);
      } else if (kind === 1 && other !== undefined) {
        const answer = await client.ask('blockdev-add', {
          driver: 'throttle',
          'node-name': name,
          file: other,
          'iops-total': 1e9,
        });
        expect(answer.error === undefined, 'stack').toBe(!model.nodes.has(name));
        if (!answer.error) model.nodes.set(name, other);
      } else if (kind === 2) {
        const answer = await client.ask('blockdev-del', { 'node-name': name });
        expect(answer.error === undefined, 'delete').toBe(model.nodes.has(name) && usersOf(model, name).length === 0);
        if (!answer.error) model.nodes.delete(name);
      } else if (kind === 3 && other !== undefined) {
        const child = model.nodes.get(name);
        const answer = await client.ask('blockdev-reopen', {
          options: [{ driver: 'throttle', 'node-name': name, file: other, 'iops-total': 1e9 }],
        });
        const fits = child !== undefined && !isBelow(model, other, name);
        expect(answer.error === undefined, `reopen ${answer.error?.desc ?? ''}`).toBe(fits);
        if (!answer.error) model.nodes.set(name, other);
      } else if (kind === 4 && other !== undefined) {
        const filter = { driver: 'throttle', 'node-name': name, 'iops-total': 1e9 };
        const answer = await client.ask('x-blockyard-insert-filter', { 'node-name': other, filter });
        expect(answer.error === undefined, 'insert').toBe(!model.nodes.has(name));
        if (!answer.error) {
          for (const user of usersOf(model, other)) model.nodes.set(user, name);
          model.nodes.set(name, other);
        }
      } else if (kind === 5 && model.nodes.has(name)) {
        const child = model.nodes.get(name);
        const answer = await client.ask('x-blockyard-remove-filter', { 'node-name': name });
        expect(answer.error === undefined, 'remove').toBe(child !== undefined);
        if (!answer.error) {
          for (const user of usersOf(model, name)) model.nodes.set(user, child);
          model.nodes.delete(name);
        }
      }
      const there = [...service.graph.nodes.values()];
      expect(there.map((node) => node.name).sort()).toEqual([...model.nodes.keys()].sort());
      for (const node of there) {
        const child = node.children.get('file')?.node;
        expect(child?.name).toBe(model.nodes.get(node.name));
        if (child) expect(service.graph.nodes.get(child.name)).toBe(child);
        for (const edge of node.children.values()) expect(edge.node.parents.has(edge)).toBe(true);
        if (child) expect(subtree(child).has(node), 'a cycle').toBe(false);
      }
    }
  }
  expect(openFiles()).toBe(before);
});

/** Descriptors of the files here; locks go with them. */
function openFiles(): number {
  return fs.readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`).includes('graph-');
    } catch {
      return false;
    }
  }).length;
}
