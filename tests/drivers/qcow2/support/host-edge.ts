/** Edges on real files, through the graph and the file driver, for testing parts of qcow2 below the whole driver. */
import fs from 'node:fs';
import { onTestFinished } from 'vitest';
import { Closer } from '../../../../src/core/async/closer.ts';
import type { CreateContext } from '../../../../src/core/block/driver.ts';
import { BlockGraph } from '../../../../src/core/block/graph/block-graph.ts';
import type { Edge } from '../../../../src/core/block/graph/edge.ts';
import { openNode } from '../../../../src/core/block/graph/open.ts';
import { Perm } from '../../../../src/core/block/permissions-bits.ts';
import { validate } from '../../../../src/core/options/parse.ts';
import { driverList } from '../../../../src/drivers/index.ts';
import { createCapability } from '../../../../src/drivers/qcow2/create.ts';

export function newGraph(warn: (line: string) => void = () => undefined): BlockGraph {
  const graph = new BlockGraph({ drivers: driverList, references: 'all', warn });
  onTestFinished(() => graph.close());
  return graph;
}

/** An edge on a file, which must exist; closed with the graph, or by `release`. */
export async function fileEdge(
  path: string,
  mode: 'read' | 'write',
): Promise<{ edge: Edge; release: () => Promise<void> }> {
  const graph = new BlockGraph({ drivers: driverList, references: 'all', warn: () => undefined });
  const node = await openNode(
    graph,
    { driver: 'file', filename: path },
    { modes: { readOnly: mode === 'read', forceShare: mode === 'read' } },
  );
  const perm = mode === 'read' ? Perm.CONSISTENT_READ : Perm.CONSISTENT_READ | Perm.WRITE | Perm.RESIZE;
  const parent = { kind: 'backend' as const, describe: () => 'a test' };
  const edge = graph.attach({ parent, node, name: 'file', role: 'metadata+data' }, { perm, shared: Perm.ALL });
  return { edge, release: () => graph.detach(edge) };
}

/** Create a qcow2 image as `img create` does, without the command around it. */
export async function createImage(path: string, options: Readonly<Record<string, unknown>>): Promise<void> {
  const values = validate(createCapability.options, options, 'qcow2');
  fs.writeFileSync(path, '');
  const { edge, release } = await fileEdge(path, 'write');
  const releases = [release];
  const context: CreateContext = {
    options: values,
    fileName: path,
    file: edge,
    closer: new Closer(),
    createFile: async (name) => {
      fs.writeFileSync(name, '');
      const made = await fileEdge(name, 'write');
      releases.push(made.release);
      return made.edge;
    },
    object: () => {
      throw new Error('there are no objects');
    },
    warn: () => undefined,
  };
  try {
    await createCapability.run(context);
  } finally {
    for (const each of releases) await each();
  }
}
