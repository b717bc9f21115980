/** Two operations that wait for the same quiet moment: the second goes by what the first has left. */
import { expect, test } from 'vitest';
import { Backend } from '../../../../src/core/block/backend/backend.ts';
import type { ReopenCapability } from '../../../../src/core/block/driver.ts';
import type { BlockGraph } from '../../../../src/core/block/graph/block-graph.ts';
import { whileDrained } from '../../../../src/core/block/graph/drain.ts';
import { linkDown } from '../../../../src/core/block/graph/freeze.ts';
import { lendWritable } from '../../../../src/core/block/graph/lend.ts';
import type { Node } from '../../../../src/core/block/graph/node.ts';
import { reopenNodes } from '../../../../src/core/block/graph/reopen.ts';
import { addOverlay, cover, insertFilter, removeFilter, setBacking } from '../../../../src/core/block/graph/reshape.ts';
import { chainStatus } from '../../../../src/core/block/graph/status.ts';
import { holder, makeNode } from './nodes.ts';
import { testGraph } from './support.ts';

const use = { user: 'the test', permissions: { perm: 3, shared: 15 } };
const backing = { fileName: undefined, format: undefined, linked: () => undefined };

function gate() {
  let open: () => void = () => undefined;
  const wait = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { wait, open };
}

/** A node in use, which keeps requests waiting until it is told to end that. */
function slow(graph: BlockGraph, name: string) {
  const { wait, open } = gate();
  const node = makeNode(graph, name, { image: { backing, read: () => wait } });
  const backend = Backend.attach(graph, node, use);
  const ask = () => Promise.resolve(backend.read(0, Buffer.alloc(512)));
  return { node, backend, ask, open };
}

/** The same with a request under way. */
function busy(graph: BlockGraph, name: string) {
  const { ask, open, ...rest } = slow(graph, name);
  const pending = ask();
  const end = () => {
    open();
    return pending;
  };
  return { ...rest, end };
}

/** The names on the way down from a user. */
function below({ image }: Backend): string {
  const names: string[] = [];
  for (let node: Node | undefined = image; node; node = linkDown(node)?.node) names.push(node.name);
  return names.join(' ');
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('two overlays on one node come one below the other', async () => {
  const graph = testGraph();
  const { node, backend, end } = busy(graph, 'n');
  const overlays = ['a', 'b'].map((name) => makeNode(graph, name, { image: { backing } }));
  const adding = overlays.map((overlay) => addOverlay(graph, node, overlay));
  await turn();
  await end();
  await Promise.all(adding);
  expect(below(backend)).toMatch(/^(a b|b a) n$/);
  await backend.close();
});

test('an overlay that has got a backing file meanwhile is not put on top of another node', async () => {
  const graph = testGraph();
  const { node, backend, end } = busy(graph, 'n');
  const other = makeNode(graph, 'other');
  const overlay = makeNode(graph, 'o', { image: { backing } });
  graph.hold(overlay, holder);
  const adding = addOverlay(graph, node, overlay);
  await setBacking(graph, overlay, other);
  await end();
  await expect(adding).rejects.toThrow("the overlay 'o' has a backing file already");
  expect(below(backend)).toBe('n');
  await backend.close();
  await graph.close();
});

test('nobody comes to a filter that is being taken out', async () => {
  const graph = testGraph();
  const { node, backend, ask, open } = slow(graph, 'n');
  await insertFilter(graph, node, { driver: 'copy-on-read', 'node-name': 'f' });
  const filter = graph.find('f');
  const pending = ask();
  const removing = removeFilter(graph, filter);
  const adding = addOverlay(graph, filter, makeNode(graph, 'o', { image: { backing } }));
  const refused = expect(adding).rejects.toThrow("node 'f' is being closed");
  open();
  await pending;
  await removing;
  await refused;
  expect(below(backend)).toBe('n');
  await backend.close();
});

test('a filter that waits to come above a node, and an overlay, do not lose each other', async () => {
  const graph = testGraph();
  const { node, backend, end } = busy(graph, 'n');
  const filter = makeNode(graph, 'f', { kind: 'filter', children: [{ name: 'file', role: 'filtered', node }] });
  const overlay = makeNode(graph, 'o', { image: { backing } });
  const adding = addOverlay(graph, node, overlay);
  const covering = cover(graph, filter, () => undefined);
  await turn();
  await end();
  await adding;
  await covering;
  expect(below(backend)).toBe('f o n');
  await backend.close();
});

test('who comes to a quiet node is held back with those who were there', async () => {
  const graph = testGraph();
  const node = makeNode(graph, 'n');
  graph.hold(node, holder);
  const log: string[] = [];
  const users: Backend[] = [];
  await whileDrained(
    () => [node],
    async () => {
      users.push(Backend.attach(graph, node, use));
      const above = makeNode(graph, 'above', { kind: 'filter', children: [{ name: 'file', role: 'filtered', node }] });
      users.push(Backend.attach(graph, above, use));
      for (const user of users) void Promise.resolve(user.write(0, Buffer.alloc(512))).then(() => log.push('written'));
      await turn();
      log.push('quiet');
    },
  );
  await turn();
  expect(log).toEqual(['quiet', 'written', 'written']);
  for (const user of users) await user.close();
});

test('a walk down a chain sees it as it was, or as it is', async () => {
  const graph = testGraph();
  const { wait, open } = gate();
  const data = { status: (_: number, length: number) => ({ length, allocated: true, data: true, zero: false }) };
  const hole = (_: number, length: number) => ({ length, allocated: false, data: false, zero: false });
  const base = makeNode(graph, 'base', { image: data });
  const image = { backing, status: hole };
  const on = (name: string, node: Node, settings: object = image) =>
    makeNode(graph, name, { image: settings, children: [{ name: 'backing', role: 'cow', node }] });
  const middle = on('middle', base);
  const layers = ['a', 'b', 'c', 'd'].reduce((node, name) => on(name, node), middle);
  const top = on('top', layers, {
    ...image,
    status: (at: number, length: number) => wait.then(() => hole(at, length)),
  });
  const found = chainStatus(top, undefined, { offset: 0, length: 512 });
  const cutting = setBacking(graph, middle, undefined);
  await turn();
  open();
  expect((await found).data).toBe(true);
  await cutting;
});

interface Modes {
  readonly readOnly: boolean;
}

/** It can be made writable, which takes a while, and notes what was done. */
function switchable(graph: BlockGraph, log: string[]) {
  const reopen: ReopenCapability = {
    prepare: async (_options: unknown, { readOnly }: Modes) => {
      log.push(`prepare ${readOnly}`);
      await turn();
      return { commit: () => void log.push(`commit ${readOnly}`), abort: () => void log.push('abort') };
    },
  };
  const node = makeNode(graph, 'n', { modes: { readOnly: true }, image: { reopen } });
  graph.hold(node, holder);
  return node;
}

test('two jobs are lent one node, which is read-only again after the last', async () => {
  const graph = testGraph();
  const log: string[] = [];
  const node = switchable(graph, log);
  const [a, b] = await Promise.all([lendWritable(graph, node), lendWritable(graph, node)]);
  expect(log).toEqual(['prepare false', 'commit false']);
  await b();
  expect(node.modes.readOnly).toBe(false);
  await a();
  expect([node.modes.readOnly, node.lent]).toEqual([true, undefined]);
});

test('a node that is about to be read-only again is lent once more', async () => {
  const graph = testGraph();
  const node = switchable(graph, []);
  const giveBack = await lendWritable(graph, node);
  const [, again] = await Promise.all([giveBack(), lendWritable(graph, node)]);
  expect(node.modes.readOnly).toBe(false);
  await again();
  expect(node.modes.readOnly).toBe(true);
});

test('two reopenings of one node do not meet in its driver', async () => {
  const graph = testGraph();
  const log: string[] = [];
  const node = switchable(graph, log);
  const reopen = (readOnly: boolean) => reopenNodes(graph, [{ node, spec: { 'read-only': readOnly } }]);
  await Promise.all([reopen(false), reopen(true)]);
  expect(log).toEqual(['prepare false', 'commit false', 'prepare true', 'commit true']);
  expect(node.modes.readOnly).toBe(true);
});
