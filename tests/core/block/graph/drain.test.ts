import { describe, expect, test } from 'vitest';
import { Backend } from '../../../../src/core/block/backend/backend.ts';
import { whileDrained } from '../../../../src/core/block/graph/drain.ts';
import { operations } from '../../../../src/core/block/graph/operations.ts';
import { holder, makeNode } from './nodes.ts';
import { testGraph } from './support.ts';

const use = { user: 'the test', permissions: operations.write.image };

function gate() {
  let open: () => void = () => undefined;
  const wait = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { wait, open };
}

describe('a drained node', () => {
  test('waits for what is under way above it, and holds back what comes', async () => {
    const graph = testGraph();
    const between = gate();
    const log: string[] = [];
    const low = makeNode(graph, 'low');
    // Between two steps: nothing is in flight below, though the request is not done.
    const read = () => between.wait.then(() => void log.push('first request ends'));
    const top = makeNode(graph, 'top', {
      image: { read },
      children: [{ name: 'file', role: 'metadata+data', node: low }],
    });
    const backend = Backend.attach(graph, top, use);
    const first = backend.read(0, Buffer.alloc(512));
    const drained = whileDrained(
      () => [low],
      async () => {
        log.push('quiet');
        await new Promise((resolve) => setTimeout(resolve, 2));
        log.push('action ends');
      },
    );
    const second = Promise.resolve(backend.read(0, Buffer.alloc(512))).then(() => log.push('second request ends'));
    await new Promise((resolve) => setTimeout(resolve, 2));
    expect(log).toEqual([]);
    between.open();
    await Promise.all([first, drained, second]);
    expect(log.filter((line) => !line.startsWith('second') && line !== 'first request ends')).toEqual([
      'quiet',
      'action ends',
    ]);
    expect(log.at(-1)).toBe('second request ends');
    await backend.close();
  });

  test('releases its users when the action fails, moves them or makes new ones', async () => {
    const graph = testGraph();
    const node = makeNode(graph, 'n');
    const other = makeNode(graph, 'other');
    graph.hold(node, holder);
    graph.hold(other, holder);
    const backend = Backend.attach(graph, node, use);
    await expect(
      whileDrained(
        () => [node],
        () => Promise.reject(new Error('no')),
      ),
    ).rejects.toThrow('no');
    let fresh: Backend | undefined;
    await whileDrained(
      () => [node],
      () => {
        const { root } = backend;
        node.parents.delete(root);
        other.parents.add(root);
        root.node = other;
        fresh = Backend.attach(graph, node, use);
      },
    );
    for (const each of [backend, fresh]) expect(each?.read(0, Buffer.alloc(512))).toBeUndefined();
    expect([node.drained, other.drained]).toEqual([false, false]);
    await backend.close();
    await fresh?.close();
  });

  test('nested and at once, over shared layers', async () => {
    const graph = testGraph();
    const base = makeNode(graph, 'base');
    const tops = ['a', 'b'].map((name) =>
      makeNode(graph, name, { children: [{ name: 'backing', role: 'cow', node: base }] }),
    );
    const backends = tops.map((node) => Backend.attach(graph, node, { ...use, permissions: operations.read.image }));
    await Promise.all([
      whileDrained(
        () => [base],
        () =>
          whileDrained(
            () => [tops[0] ?? base],
            () => undefined,
          ),
      ),
      ...tops.map((node) =>
        whileDrained(
          () => [node],
          () => new Promise((resolve) => setTimeout(resolve, 1)),
        ),
      ),
    ]);
    for (const backend of backends) expect(backend.read(0, Buffer.alloc(512))).toBeUndefined();
    for (const backend of backends) await backend.close();
    expect(graph.nodes.size).toBe(0);
  });
});
