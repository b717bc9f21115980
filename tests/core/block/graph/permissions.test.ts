import { describe, expect, test } from 'vitest';
import type { ChildRole } from '../../../../src/core/block/driver.ts';
import type { BlockGraph } from '../../../../src/core/block/graph/block-graph.ts';
import { defaultModes } from '../../../../src/core/block/graph/common-options.ts';
import type { Edge } from '../../../../src/core/block/graph/edge.ts';
import type { Node } from '../../../../src/core/block/graph/node.ts';
import { childPermissions, cumulative } from '../../../../src/core/block/graph/permissions.ts';
import { PermissionConflict } from '../../../../src/core/errors/block-error.ts';
import { holder, makeNode, user } from './nodes.ts';
import { testGraph } from './support.ts';

const [R, W, U, Z, ALL] = [1, 2, 4, 8, 15];
const MASKS = Array.from({ length: 16 }, (_, mask) => mask);

function attach(graph: BlockGraph, node: Node, perm: number, shared: number): Edge {
  return graph.attach({ parent: user, node, name: 'use', role: 'filtered' }, { perm, shared });
}

/** Everything that a failed change must leave as it was. */
function snapshot(nodes: readonly Node[]): unknown {
  return nodes.map((node) => ({
    name: node.name,
    parents: [...node.parents].map(({ perm, shared, role }) => ({ perm, shared, role })),
    children: [...node.children.values()].map(({ name, perm, shared }) => ({ name, perm, shared })),
  }));
}

describe('two users of a node', () => {
  test('agree exactly when each shares what the other takes', async () => {
    const graph = testGraph();
    const node = makeNode(graph, 'n');
    graph.hold(node, holder);
    for (const perm of MASKS) {
      for (const shared of MASKS) {
        const first = attach(graph, node, perm, shared);
        for (const otherPerm of MASKS) {
          for (const otherShared of MASKS) {
            const agree = (otherPerm & ~shared) === 0 && (perm & ~otherShared) === 0;
            let second: Edge | undefined;
            try {
              second = attach(graph, node, otherPerm, otherShared);
            } catch (error) {
              if (!(error instanceof PermissionConflict)) throw error;
            }
            if ((second !== undefined) !== agree)
              throw new Error(`${perm}/${shared} beside ${otherPerm}/${otherShared}`);
            if (second) node.parents.delete(second);
            if (node.parents.size !== 1) throw new Error('an edge was left behind');
          }
        }
        await graph.detach(first);
      }
    }
  });

  test('a conflict names both, the node and what is wanted', () => {
    const graph = testGraph();
    const node = makeNode(graph, 'n');
    attach(graph, node, R, R | U);
    expect(() => attach(graph, node, W | Z, ALL)).toThrow(
      "permission conflict on node 'n': 'write, resize' is required by the user (as 'use') and not shared by the user (as 'use')",
    );
  });
});

describe('what a child is asked for', () => {
  const ro = { ...defaultModes, readOnly: true };
  const cases: [string, ChildRole, { perm: number; shared: number }, object, [number, number]][] = [
    ['filter passes on', 'filtered', { perm: R | U, shared: R | W }, defaultModes, [R | U, R | W]],
    ['backing, users share writing', 'cow', { perm: ALL, shared: W }, defaultModes, [R, ALL]],
    ['backing, users do not', 'cow', { perm: W, shared: R }, defaultModes, [0, R | U]],
    ['format read-write, no users', 'metadata+data', { perm: 0, shared: ALL }, defaultModes, [R | W | Z, R | U]],
    ['format read-only, no users', 'metadata+data', { perm: 0, shared: ALL }, ro, [R, R | U]],
    ['format, only looked at', 'metadata+data', { perm: 0, shared: ALL }, { ...ro, noIo: true }, [0, R | U]],
    ['metadata beside a data file', 'metadata', { perm: U, shared: ALL }, ro, [R | U, R | U]],
    ['data, unchanged becomes write', 'data', { perm: U, shared: ALL }, ro, [W | Z, R | W | U]],
    ['data, nothing taken', 'data', { perm: R, shared: ALL }, defaultModes, [R, R | W | U]],
    ['force-share', 'metadata+data', { perm: R, shared: R }, { ...ro, forceShare: true }, [R, ALL]],
  ];
  test.each(cases)('%s', (_name, role, users, modes, [perm, shared]) => {
    expect(childPermissions(role, users, modes as typeof defaultModes)).toMatchObject({ perm, shared });
  });

  test('taking more never asks for less below, in every role', () => {
    for (const role of ['filtered', 'cow', 'metadata', 'data', 'metadata+data'] as const) {
      for (const modes of [defaultModes, ro]) {
        for (const [perm, more] of MASKS.flatMap((a) => MASKS.map((b) => [a, a | b] as const))) {
          const one = childPermissions(role, { perm, shared: more }, modes);
          const two = childPermissions(role, { perm: more, shared: perm }, modes);
          expect([one.perm & ~two.perm, two.shared & ~one.shared]).toEqual([0, 0]);
        }
      }
    }
  });
});

describe('a change that fails', () => {
  test('at any lock of a stack leaves every permission and lock as it was', async () => {
    for (let failing = 0; failing < 4; failing++) {
      const graph = testGraph();
      const held: string[][] = [];
      let armed = false;
      const locked = (index: number) => {
        const log: string[] = [];
        held.push(log);
        return {
          permissions: {
            prepare: (perm: number, shared: number) => {
              if (armed && index === failing) throw new Error('the lock is taken');
              log.push(`prepare ${perm}/${shared}`);
            },
            commit: () => void log.push('commit'),
            abort: () => void log.push('abort'),
          },
        };
      };
      const base = makeNode(graph, 'base', { image: locked(0) });
      const data = makeNode(graph, 'data', { image: locked(1) });
      const middle = makeNode(graph, 'middle', {
        image: locked(2),
        children: [
          { name: 'backing', role: 'cow', node: base },
          { name: 'file', role: 'metadata+data', node: data },
        ],
      });
      const top = makeNode(graph, 'top', {
        image: locked(3),
        kind: 'filter',
        children: [{ name: 'file', role: 'filtered', node: middle }],
      });
      const nodes = [top, middle, data, base];
      const edge = attach(graph, top, 0, ALL);
      const before = snapshot(nodes);
      for (const log of held) log.length = 0;
      armed = true;
      expect(() => graph.setPermissions(edge, { perm: R | W, shared: R })).toThrow('the lock is taken');
      expect(() => attach(graph, top, R | W, R)).toThrow('the lock is taken');
      expect(snapshot(nodes)).toEqual(before);
      for (const log of held) {
        const count = (what: string) => log.filter((line) => line.startsWith(what)).length;
        expect([count('commit'), count('abort')]).toEqual([0, count('prepare')]);
      }
      armed = false;
      graph.setPermissions(edge, { perm: R | W, shared: R });
      expect(held.map((log) => log.at(-1))).toEqual(['commit', 'commit', 'commit', 'commit']);
      // Giving back never fails, whatever the locks say.
      armed = true;
      graph.setPermissions(edge, { perm: R, shared: ALL });
      expect(cumulative(top)).toMatchObject({ perm: R, shared: ALL });
      await graph.detach(edge);
      expect(graph.nodes.size).toBe(0);
    }
  });

  test('by making a cycle changes nothing', () => {
    const graph = testGraph();
    const low = makeNode(graph, 'low');
    const top = makeNode(graph, 'top', { kind: 'filter', children: [{ name: 'file', role: 'filtered', node: low }] });
    const before = snapshot([low, top]);
    expect(() =>
      graph.attach({ parent: low, node: top, name: 'x', role: 'filtered' }, { perm: 0, shared: ALL }),
    ).toThrow('cycle');
    expect(snapshot([low, top])).toEqual(before);
  });
});

describe('writing', () => {
  test('needs a node that is not read-only', () => {
    const graph = testGraph();
    const node = makeNode(graph, 'n', { modes: { readOnly: true } });
    for (const perm of [W, U]) expect(() => attach(graph, node, perm, ALL)).toThrow("node 'n' is read-only");
    attach(graph, node, R | Z, ALL);
  });

  test('of a last block that is not whole needs the right to resize', () => {
    const graph = testGraph();
    const image = { size: 5120, limits: { requestAlignment: 4096 } };
    const node = makeNode(graph, 'n', { image });
    expect(() => attach(graph, node, W, ALL)).toThrow('cannot be written to without being resized');
    attach(graph, node, W | Z, ALL);
  });

  test('a driver may adapt what it needs of its child', () => {
    const graph = testGraph();
    const low = makeNode(graph, 'low');
    const image = { childPermissions: (_name: string, { perm }: { perm: number }) => ({ perm, shared: R }) };
    const top = makeNode(graph, 'top', { image, children: [{ name: 'file', role: 'metadata+data', node: low }] });
    attach(graph, top, R | W, ALL);
    expect(cumulative(low)).toMatchObject({ perm: R | W, shared: R });
  });
});
