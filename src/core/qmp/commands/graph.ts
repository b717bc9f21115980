/** Changes of a graph in use: snapshots put on top, filters put in and taken out. */
import { whileDrained } from '../../block/graph/drain.ts';
import { linksBetween } from '../../block/graph/freeze.ts';
import { lendWritable } from '../../block/graph/lend.ts';
import { addMember, removeMember } from '../../block/graph/members.ts';
import type { Node } from '../../block/graph/node.ts';
import { asking } from '../../block/graph/refusal.ts';
import { insertFilter, removeFilter } from '../../block/graph/reshape.ts';
import type { NodeSpec } from '../../block/graph/spec.ts';
import { Usage } from '../../errors/block-error.ts';
import { assertRenamable } from '../../job/backing-link.ts';
import { anything, text } from '../../options/fields.ts';
import { giveToClient, namedNode, nodeName } from '../block-nodes.ts';
import { type AnyCommand, command } from '../record.ts';
import { named } from '../shape.ts';

const changeBackingFile = command({
  name: 'change-backing-file',
  help: 'Have the header of an image name another backing file; what it shows now stays as it is',
  arguments: {
    device: nodeName('The disk that the image is a layer of'),
    'image-node-name': nodeName('The image'),
    'backing-file': text({ help: 'The text to write, empty for none', required: true }),
  },
  async run(args, { service: { graph } }) {
    const device = namedNode(graph, args.device);
    const node = namedNode(graph, args['image-node-name']);
    const touched = (): Node[] => {
      linksBetween(device, node);
      assertRenamable(node);
      return [node];
    };
    const [text, format] = args['backing-file'] === '' ? [] : [args['backing-file'], node.image.backing?.format];
    touched();
    const giveBack = await asking(`change-backing-file of node '${node.name}'`, () => lendWritable(graph, node));
    try {
      await whileDrained(touched, () => node.image.backing?.change?.(text, format), { alone: true });
    } finally {
      await giveBack();
    }
  },
});

const insert = command({
  name: 'x-blockyard-insert-filter',
  help: 'Put a filter on top of a node, between it and its users, while they go on',
  arguments: {
    'node-name': nodeName('The node below'),
    filter: named(
      'BlockdevFilterOptions',
      anything({ help: "Options of the filter's node, but for what it filters", required: true }),
    ),
  },
  features: ['unstable'],
  async run({ 'node-name': name, filter }, { service: { graph } }) {
    const below = namedNode(graph, name);
    const spec = filter as NodeSpec;
    // What a client has named is its own to take away.
    const also = spec['node-name'] === undefined ? undefined : (node: Node) => giveToClient(graph, node);
    await asking(`the insertion of a filter on node '${below.name}'`, () => insertFilter(graph, below, spec, also));
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

const changeChildren = command({
  name: 'x-blockdev-change',
  help: 'Give a quorum in use another child, or take one away',
  arguments: {
    parent: nodeName('The quorum'),
    child: text({ help: 'The child to take away, by the name of its link: children.0, …' }),
    node: text({ help: 'The node to add' }),
  },
  features: ['unstable'],
  async run({ parent: name, child, node }, { service: { graph } }) {
    if ((child === undefined) === (node === undefined))
      throw new Usage("exactly one of 'child' and 'node' must be given");
    const parent = namedNode(graph, name);
    const added = node === undefined ? undefined : namedNode(graph, node);
    await asking(`the change of the children of node '${name}'`, async () => {
      if (added) await addMember(graph, parent, added);
      else if (child !== undefined) await removeMember(graph, parent, child);
    });
  },
});

export const graphCommands: readonly AnyCommand[] = [changeBackingFile, changeChildren, insert, remove];
