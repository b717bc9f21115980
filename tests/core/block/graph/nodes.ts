/** Nodes put together by hand, for what does not need anything opened. */
import type { ChildRole, Driver, Image } from '../../../../src/core/block/driver.ts';
import type { BlockGraph } from '../../../../src/core/block/graph/block-graph.ts';
import { defaultModes, type InheritedModes } from '../../../../src/core/block/graph/common-options.ts';
import type { EdgeParent } from '../../../../src/core/block/graph/edge.ts';
import { Node } from '../../../../src/core/block/graph/node.ts';
import { defineOptions } from '../../../../src/core/options/fields.ts';

export interface NodeSettings {
  readonly image?: Partial<Image>;
  readonly kind?: Driver['kind'];
  readonly modes?: Partial<InheritedModes>;
  readonly children?: readonly { readonly name: string; readonly role: ChildRole; readonly node: Node }[];
}

export function emptyImage(size = 4096): Image {
  return { size, read: (_offset, buf) => void buf.fill(0), write: () => undefined, close: async () => undefined };
}

/** A node in `graph`, its children attached with no needs and everything shared. */
export function makeNode(graph: BlockGraph, name: string, settings: NodeSettings = {}): Node {
  const { image = {}, kind = 'format', modes = {}, children = [] } = settings;
  const driver: Driver = {
    name: `driver-of-${name}`,
    kind,
    options: defineOptions({}) as unknown as Driver['options'],
    open: () => Promise.reject(new Error('made by hand')),
  };
  const parent: EdgeParent = { kind: 'node', describe: () => `node '${name}'` };
  const edges = children.map((child) => graph.attach({ ...child, parent }, { perm: 0, shared: 15 }));
  const node = new Node({
    name: graph.reserveName(name),
    driver,
    image: Object.defineProperties(emptyImage(), Object.getOwnPropertyDescriptors(image)),
    modes: { ...defaultModes, ...modes },
    options: {},
    fileName: name,
    detectZeroes: 'off',
    children: edges,
    probed: false,
    backingOverridden: false,
  });
  graph.add(node);
  return node;
}

export const user: EdgeParent = { kind: 'job', describe: () => 'the user' };

/** Who holds nodes. */
export const holder = { describe: () => 'the test' };
