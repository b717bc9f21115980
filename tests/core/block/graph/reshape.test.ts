import { describe, expect, test } from 'vitest';
import { Backend } from '../../../../src/core/block/backend/backend.ts';
import type { BlockGraph } from '../../../../src/core/block/graph/block-graph.ts';
import { freezeChain } from '../../../../src/core/block/graph/freeze.ts';
import type { Node } from '../../../../src/core/block/graph/node.ts';
import { operations } from '../../../../src/core/block/graph/operations.ts';
import {
  addOverlay,
  insertFilter,
  removeFilter,
  replaceNode,
  setBacking,
} from '../../../../src/core/block/graph/reshape.ts';
import { emptyImage, holder, makeNode } from './nodes.ts';
import { testGraph } from './support.ts';

const use = { user: 'the test', permissions: operations.write.image };

function layer(graph: BlockGraph, name: string, backing?: Node): Node {
  const node = makeNode(graph, name, {
    image: { backing: { fileName: undefined, format: undefined, linked: () => undefined } },
    children: backing ? [{ name: 'backing', role: 'cow', node: backing }] : [],
  });
  return node;
}

/** Everything that a change could leave half done. */
function shape(graph: BlockGraph): unknown {
  return [...graph.nodes.values()].map((node) => ({
    name: node.name,
    holds: node.holds.size,
    parents: [...node.parents].map((edge) => [edge.parent.describe(), edge.name, edge.perm, edge.shared]).sort(),
    children: [...node.children].map(([name, edge]) => [name, edge.node.name]),
  }));
}

describe('a running graph', () => {
  test('has a node put in the place of another, which closes', async () => {
    const graph = testGraph();
    const [a, b] = [layer(graph, 'a'), layer(graph, 'b')];
    const backend = Backend.attach(graph, a, use);
    await replaceNode(graph, { from: a, to: b });
    expect(backend.image).toBe(b);
    expect([...graph.nodes.keys()]).toEqual(['b']);
    await backend.close();
    expect(graph.nodes.size).toBe(0);
  });

  test('gets filters and loses them while requests are under way', async () => {
    const graph = testGraph();
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const node = makeNode(graph, 'n', { image: { read: () => gate } });
    const backend = Backend.attach(graph, node, use);
    const pending = backend.read(0, Buffer.alloc(512));
    const inserting = insertFilter(graph, node, { driver: 'null-co' }).catch((error: Error) => error.message);
    release();
    await pending;
    expect(await inserting).toMatch(/no option 'file'|null-co/);
    const traced = await insertFilter(graph, node, { driver: 'copy-on-read', 'node-name': 'cor' });
    expect(backend.image).toBe(traced);
    expect(traced.passedOn?.node).toBe(node);
    expect(traced.passedOn?.perm).toBe(7);
    await backend.write(0, Buffer.alloc(512));
    await removeFilter(graph, traced);
    expect(backend.image).toBe(node);
    expect([...graph.nodes.keys()]).toEqual(['n']);
    await backend.close();
    expect(graph.nodes.size).toBe(0);
  });

  test.each([
    ['both of two filters', ['outer', 'inner']],
    ['both of two filters, from below', ['inner', 'outer']],
  ])('loses %s at once', async (_, order) => {
    const graph = testGraph();
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const node = makeNode(graph, 'n', { image: { read: () => gate } });
    const backend = Backend.attach(graph, node, use);
    await insertFilter(graph, node, { driver: 'copy-on-read', 'node-name': 'inner' });
    const inner = graph.find('inner');
    await insertFilter(graph, inner, { driver: 'copy-on-read', 'node-name': 'outer' });
    const pending = backend.read(0, Buffer.alloc(512));
    const removing = order.map((name) => removeFilter(graph, graph.find(name)));
    // One more is put on what is being taken away.
    const inserting = insertFilter(graph, inner, { driver: 'copy-on-read', 'node-name': 'third' });
    await new Promise((resolve) => setImmediate(resolve));
    release();
    await Promise.all([pending, inserting, ...removing]);
    expect(shape(graph)).toMatchObject([
      { name: 'n', parents: [["node 'third'", 'file', expect.any(Number), expect.any(Number)]], children: [] },
      {
        name: 'third',
        parents: [['the test', 'root', expect.any(Number), expect.any(Number)]],
        children: [['file', 'n']],
      },
    ]);
    await backend.close();
    expect(graph.nodes.size).toBe(0);
  });

  test('takes an overlay below the filters that are there, and another backing file', async () => {
    const graph = testGraph();
    const base = layer(graph, 'base');
    const top = layer(graph, 'top', base);
    const backend = Backend.attach(graph, top, use);
    const filter = await insertFilter(graph, top, { driver: 'copy-on-read' });
    const overlay = layer(graph, 'overlay');
    await addOverlay(graph, top, overlay);
    expect(backend.image).toBe(filter);
    expect(filter.passedOn?.node).toBe(overlay);
    expect(overlay.backing?.node).toBe(top);
    expect(top.backing?.node).toBe(base);
    // Nobody writes to what is a backing file now.
    expect([...top.parents].map((edge) => edge.perm)).toEqual([1]);
    await setBacking(graph, overlay, base);
    expect([...graph.nodes.keys()].sort()).toEqual(['#block000', 'base', 'overlay']);
    await setBacking(graph, overlay, undefined);
    expect(graph.nodes.has('base')).toBe(false);
    await backend.close();
    expect(graph.nodes.size).toBe(0);
  });

  test('stays as it is when a change is refused', async () => {
    const graph = testGraph();
    const base = layer(graph, 'base');
    const middle = layer(graph, 'middle', base);
    const top = layer(graph, 'top', middle);
    const backend = Backend.attach(graph, top, use);
    const readOnly = makeNode(graph, 'fixed', { modes: { readOnly: true } });
    graph.hold(readOnly, holder);
    const before = JSON.stringify(shape(graph));
    await expect(replaceNode(graph, { from: top, to: readOnly })).rejects.toThrow("node 'fixed' is read-only");
    await expect(setBacking(graph, base, top)).rejects.toThrow(/would make a cycle/);
    await expect(setBacking(graph, middle, middle)).rejects.toThrow(/would make a cycle/);
    await expect(setBacking(graph, readOnly, base)).rejects.toThrow(/has no backing files/);
    const release = freezeChain(top, base, { describe: () => "commit job 'j'" });
    await expect(setBacking(graph, top, base)).rejects.toThrow(
      "the link 'backing' from node 'top' to 'middle' cannot lead to 'base' instead: commit job 'j' relies on it",
    );
    await expect(setBacking(graph, middle, undefined)).rejects.toThrow(
      /cannot be removed: commit job 'j' relies on it/,
    );
    expect(() => freezeChain(middle, base, { describe: () => "commit job 'k'" })).toThrow(
      /cannot be held: commit job 'j' relies on it/,
    );
    release();
    const needs = [1, 2].map((n) => freezeChain(top, middle, { describe: () => `mirror job '${n}'` }, 'needs'));
    expect(() => freezeChain(top, base, { describe: () => "stream job 's'" })).toThrow(
      /cannot be held: mirror job '1', mirror job '2' relies on it/,
    );
    await expect(setBacking(graph, top, base)).rejects.toThrow(/mirror job '1', mirror job '2' relies on it/);
    for (const each of needs) each();
    expect(JSON.stringify(shape(graph))).toBe(before);
    await setBacking(graph, top, base);
    await backend.close();
    await graph.close();
  });

  test('asks for larger blocks once a stricter node is below a filter', async () => {
    const graph = testGraph();
    const strict = makeNode(graph, 'strict', {
      image: Object.defineProperties(emptyImage(), {
        limits: { value: { requestAlignment: 4096 }, enumerable: true },
      }),
    });
    const lax = makeNode(graph, 'lax');
    const backend = Backend.attach(graph, lax, use);
    const filter = await insertFilter(graph, lax, { driver: 'blkreplay' });
    expect(filter.io.limits.requestAlignment).toBeUndefined();
    const sizes: number[] = [];
    strict.image.write = (_offset, buf) => void sizes.push(buf.length);
    await replaceNode(graph, { from: lax, to: strict });
    await backend.write(512, Buffer.alloc(512, 1));
    expect(sizes).toEqual([4096]);
    await backend.close();
  });
});
