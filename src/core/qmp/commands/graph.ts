/** Changes of a graph in use: snapshots put on top, filters put in and taken out. */
import { addOverlay, insertFilter, removeFilter } from '../../block/graph/reshape.ts';
import type { NodeSpec } from '../../block/graph/spec.ts';
import { Usage } from '../../errors/block-error.ts';
import { isRecord } from '../../options/field.ts';
import { anything } from '../../options/fields.ts';
import { namedNode, nodeName } from '../block-nodes.ts';
import { checkShape } from '../check-shape.ts';
import { type AnyCommand, command } from '../record.ts';

const snapshot = command({
  name: 'blockdev-snapshot',
  help: 'Put an open image without a backing file on top of a node: its users write there from now on',
  arguments: { node: nodeName('The node that becomes the backing file'), overlay: nodeName('The image on top') },
  async run({ node, overlay }, { service: { graph } }) {
    await addOverlay(graph, namedNode(graph, node), namedNode(graph, overlay));
  },
});

const insert = command({
  name: 'x-blockyard-insert-filter',
  help: 'Put a filter on top of a node, between it and its users, while they go on',
  arguments: {
    'node-name': nodeName('The node below'),
    filter: anything({ help: "Options of the filter's node, without 'file'", required: true }),
  },
  features: ['unstable'],
  async run({ 'node-name': name, filter }, { service }) {
    if (!isRecord(filter)) throw new Usage("Invalid parameter type for 'filter', expected: object");
    if ('file' in filter) throw new Usage("Parameter 'filter.file' is unexpected");
    const below = namedNode(service.graph, name);
    const spec = { ...filter, file: name };
    checkShape({ kind: 'named', name: 'BlockdevOptions' }, spec, await service.types(), 'filter');
    const node = await insertFilter(service.graph, below, filter as NodeSpec);
    node.held = typeof filter['node-name'] === 'string' && node.parents.size === 0;
  },
});

const remove = command({
  name: 'x-blockyard-remove-filter',
  help: 'Take a filter out: its users use what it filtered, while they go on',
  arguments: { 'node-name': nodeName('The filter') },
  features: ['unstable'],
  async run({ 'node-name': name }, { service: { graph } }) {
    await removeFilter(graph, namedNode(graph, name));
  },
});

export const graphCommands: readonly AnyCommand[] = [snapshot, insert, remove];
