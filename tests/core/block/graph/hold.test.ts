import { expect, test } from 'vitest';
import { Backend } from '../../../../src/core/block/backend/backend.ts';
import { insertFilter, removeFilter } from '../../../../src/core/block/graph/reshape.ts';
import { holder, makeNode } from './nodes.ts';
import { testGraph } from './support.ts';

const use = { user: 'the test', permissions: { perm: 0, shared: 15 } };

test('a node that several hold closes with the last of them, whoever lets go twice', async () => {
  const graph = testGraph();
  const node = makeNode(graph, 'n');
  const holds = [graph.hold(node, holder), graph.hold(node, holder)] as const;
  for (const _ of [1, 2]) await holds[0].release();
  expect(node.closing).toBe(false);
  await Backend.attach(graph, node, use).close();
  expect(node.closing).toBe(false);
  await holds[1].release();
  expect(graph.nodes.size).toBe(0);
  expect(() => graph.hold(node, holder)).toThrow("node 'n' is being closed");
});

test('a node that is held and used closes with its user, once it is let go', async () => {
  const graph = testGraph();
  const node = makeNode(graph, 'n');
  const hold = graph.hold(node, holder);
  const backend = Backend.attach(graph, node, use);
  await hold.release();
  expect(node.closing).toBe(false);
  await backend.close();
  expect(graph.nodes.size).toBe(0);
});

test('a filter that is taken out stays as long as somebody else holds it', async () => {
  const graph = testGraph();
  const node = makeNode(graph, 'n');
  const backend = Backend.attach(graph, node, use);
  const filter = await insertFilter(graph, node, { driver: 'copy-on-read', 'node-name': 'f' });
  const hold = graph.hold(filter, holder);
  await removeFilter(graph, filter);
  expect([backend.image, filter.closing]).toEqual([node, false]);
  await hold.release();
  expect([...graph.nodes.keys()]).toEqual(['n']);
  await backend.close();
});

test('closing the graph closes what is held', async () => {
  const graph = testGraph();
  const below = makeNode(graph, 'below');
  const above = makeNode(graph, 'above', { children: [{ name: 'file', role: 'data', node: below }] });
  const holds = [below, above].map((node) => graph.hold(node, holder));
  await graph.close();
  expect(graph.nodes.size).toBe(0);
  for (const hold of holds) await hold.release();
});

test('closing the graph waits for what others are closing', async () => {
  const graph = testGraph();
  let closed = false;
  const close = async () => {
    await new Promise((resolve) => setImmediate(resolve));
    closed = true;
  };
  const hold = graph.hold(makeNode(graph, 'n', { image: { close } }), holder);
  void hold.release();
  await graph.close();
  expect(closed).toBe(true);
});
