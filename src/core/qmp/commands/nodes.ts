/** Nodes: opened, opened with other options, resized, closed. */
import { Backend } from '../../block/backend/backend.ts';
import { closeByForce } from '../../block/graph/force-close.ts';
import { operations } from '../../block/graph/operations.ts';
import { asking } from '../../block/graph/refusal.ts';
import { reopenNodes } from '../../block/graph/reopen.ts';
import type { NodeSpec } from '../../block/graph/spec.ts';
import { BlockError, Usage } from '../../errors/block-error.ts';
import { anything, bool, bytes, list, textOrNull } from '../../options/fields.ts';
import { addNode, findNode, namedNode, nodeName, nodeOrDevice, usersOf } from '../block-nodes.ts';
import { type AnyCommand, command, unionCommand } from '../record.ts';
import { named } from '../shape.ts';

const required = { required: true } as const;

export const blockdevOptions = () =>
  named('BlockdevOptions', anything({ help: 'Options of a node, as its driver has them', ...required }));

const blockdevAdd = unionCommand({
  name: 'blockdev-add',
  help: 'Open a node with all that is below it, and keep it under its name',
  argument: blockdevOptions(),
  async run(spec, { service }) {
    await addNode(service.graph, spec as NodeSpec);
  },
});

const blockdevDel = command({
  name: 'blockdev-del',
  help: 'Close a node that blockdev-add opened and nobody uses',
  arguments: {
    'node-name': nodeName('The node'),
    force: bool({ help: 'Close it although it is used; its users get errors from then on (ours)', default: false }),
  },
  async run({ 'node-name': name, force }, { service: { graph } }) {
    const node = namedNode(graph, name);
    if (!node.added) {
      throw new BlockError(`node '${name}' was not added by name, it closes with what uses it`, { code: 'EBUSY' });
    }
    const users = usersOf(node);
    if (users === '') return node.added.release();
    if (!force) throw new BlockError(`node '${name}' is in use by ${users}`, { code: 'EBUSY' });
    await closeByForce(graph, node);
  },
});

const blockdevReopen = command({
  name: 'blockdev-reopen',
  help: 'Give nodes other options, all of them or none; options left out go back to their defaults',
  arguments: {
    options: list(blockdevOptions(), { help: 'Options for each node, which node-name names', ...required }),
  },
  async run({ options }, { service: { graph } }) {
    const requests = (options as NodeSpec[]).map((spec) => {
      const name = spec['node-name'];
      if (typeof name !== 'string') throw new Usage("'node-name' must be given for every node to be reopened");
      return { node: namedNode(graph, name), spec };
    });
    const names = requests.map(({ node }) => `'${node.name}'`).join(', ');
    await asking(`the reopening of node ${names}`, () => reopenNodes(graph, requests));
  },
});

const blockResize = command({
  name: 'block_resize',
  help: 'Change the length of a disk',
  arguments: { ...nodeOrDevice, size: bytes({ help: 'New length in bytes', ...required }) },
  async run({ size, ...which }, { service: { graph } }) {
    const node = findNode(graph, which);
    await using backend = Backend.attach(graph, node, {
      user: `the resizing of '${node.name}'`,
      permissions: operations.resize.image,
    });
    await backend.truncate(size, { exact: false });
  },
});

const writeThreshold = command({
  name: 'block-set-write-threshold',
  help: 'Have BLOCK_WRITE_THRESHOLD come once, when a write goes past an offset',
  arguments: {
    'node-name': nodeName('The node'),
    'write-threshold': bytes({ help: 'The offset in bytes; 0 calls it off', ...required }),
  },
  run({ 'node-name': name, 'write-threshold': at }, { service }) {
    const node = namedNode(service.graph, name);
    node.accounts.setThreshold(at === 0 ? undefined : at, (exceeded) =>
      service.events.emit('BLOCK_WRITE_THRESHOLD', {
        'node-name': node.name,
        'amount-exceeded': exceeded,
        'write-threshold': at,
      }),
    );
  },
});

const setIothread = command({
  name: 'x-blockdev-set-iothread',
  help: 'Say which thread serves a node: there is one for all, so that this changes nothing',
  arguments: {
    'node-name': nodeName('The node'),
    iothread: textOrNull({ help: 'Id of an iothread object, or null for the main one', ...required }),
    force: bool({ help: 'Also while it is used', default: false }),
  },
  features: ['unstable'],
  run({ 'node-name': name, iothread }, { service: { graph } }) {
    namedNode(graph, name);
    if (iothread !== null) graph.objects.find('iothread', iothread);
  },
});

export const nodeCommands: readonly AnyCommand[] = [
  blockdevAdd,
  blockdevDel,
  blockdevReopen,
  blockResize,
  writeThreshold,
  setIothread,
];
