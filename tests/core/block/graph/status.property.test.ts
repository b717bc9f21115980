/** Status across random chains against a model that looks at every sector. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Extent } from '../../../../src/core/block/driver.ts';
import type { BlockGraph } from '../../../../src/core/block/graph/block-graph.ts';
import type { Node } from '../../../../src/core/block/graph/node.ts';
import { chainStatus } from '../../../../src/core/block/graph/status.ts';
import { turns } from '../../../support/memory-driver.ts';
import { makeNode } from './nodes.ts';
import { testGraph } from './support.ts';

const SECTOR = 512;

/** A layer: per sector nothing, zero or data; or no status at all; under how many filters, and whether those answer. */
const layers = fc.record({
  sectors: fc.array(fc.constantFrom('none', 'none', 'zero', 'data'), { minLength: 1, maxLength: 24 }),
  mute: fc.nat(5).map((die) => die === 0),
  filters: fc.array(fc.constantFrom('silent', 'telling'), { maxLength: 2 }),
  delay: fc.integer({ min: 0, max: 2 }),
});
type Layer = typeof layers extends fc.Arbitrary<infer T> ? T : never;

function build(graph: BlockGraph, chain: readonly Layer[]): { top: Node; nodes: Node[] } {
  let below: Node | undefined;
  const nodes: Node[] = [];
  for (const [index, layer] of [...chain.entries()].reverse()) {
    const status = (offset: number, length: number) => {
      const answer = extentOf(layer, offset, length);
      const waiting = turns(layer.delay);
      return waiting instanceof Promise ? waiting.then(() => answer) : answer;
    };
    let node: Node = makeNode(graph, `layer${index}`, {
      image: { size: layer.sectors.length * SECTOR, ...(layer.mute ? {} : { status }) },
      children: below ? [{ name: 'backing', role: 'cow', node: below }] : [],
    });
    nodes.unshift(node);
    for (const [number, kind] of layer.filters.entries()) {
      const inner: Node = node;
      const pass = (offset: number, length: number, precise: boolean) => inner.io.status(offset, length, precise);
      node = makeNode(graph, `filter${index}.${number}`.replace('.', '-'), {
        kind: 'filter',
        image: { size: inner.io.size, ...(kind === 'telling' ? { status: pass } : {}) },
        children: [{ name: 'file', role: 'filtered', node: inner }],
      });
    }
    below = node;
  }
  return { top: below ?? makeNode(graph, 'nothing'), nodes };
}

function extentOf(layer: Layer, offset: number, length: number): Extent {
  const first = Math.floor(offset / SECTOR);
  const kind = layer.sectors[first];
  let end = first + 1;
  while (end < layer.sectors.length && layer.sectors[end] === kind) end++;
  const span = Math.min(length, end * SECTOR - offset);
  return { length: span, allocated: kind !== 'none', data: kind === 'data', zero: kind === 'zero' };
}

/** Layer by layer for one sector: the answer of the first that has one; of none, where the walk ended. */
function model(chain: readonly Layer[], sector: number, base: number): object {
  for (let depth = 0; ; depth++) {
    const layer = chain[depth];
    const last = Math.max(0, depth - 1);
    if (depth === base) return { data: false, zero: false, allocated: false, depth: last };
    if (!layer) return { data: false, zero: true, allocated: false, depth: last };
    if (sector >= layer.sectors.length) return { data: false, zero: true, allocated: base < Infinity, depth: last };
    const kind = layer.mute ? 'data' : layer.sectors[sector];
    if (kind !== 'none') return { data: kind === 'data', zero: kind === 'zero', allocated: true, depth };
  }
}

test('any chain with short layers and filters in between', async () => {
  const chains = fc.array(layers, { minLength: 1, maxLength: 6 });
  const property = fc.asyncProperty(chains, fc.integer({ min: -6, max: 6 }), fc.nat(3), async (chain, pick, odd) => {
    const { top, nodes } = build(testGraph(), chain);
    const base = pick >= 0 && pick < chain.length ? pick : Number.POSITIVE_INFINITY;
    for (let offset = odd; offset < top.io.size; ) {
      const range = { offset, length: top.io.size - offset };
      const { length, data, zero, allocated, depth } = await chainStatus(top, nodes[base], range);
      expect(length).toBeGreaterThan(0);
      for (let sector = Math.floor(offset / SECTOR); sector * SECTOR < offset + length; sector++) {
        expect({ sector, data, zero, allocated, depth }).toEqual({ sector, ...model(chain, sector, base) });
      }
      offset += length;
    }
    expect(await chainStatus(top, undefined, { offset: top.io.size, length: 512 })).toMatchObject({ length: 0 });
  });
  await fc.assert(property, { numRuns: 300 });
});

test('a chain of 512 layers that all have to wait, without recursion', async () => {
  const chain = Array.from({ length: 512 }, (): Layer => ({ sectors: ['none'], mute: false, filters: [], delay: 1 }));
  const { top } = build(testGraph(), chain);
  expect(await chainStatus(top, undefined, { offset: 0, length: 512 })).toMatchObject({
    depth: 511,
    zero: true,
    length: 512,
  });
});
