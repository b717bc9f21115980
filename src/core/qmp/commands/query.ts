/** What there is: nodes, how they hang together, who uses them. */
import type { Edge, EdgeParent } from '../../block/graph/edge.ts';
import { Perm } from '../../block/permissions-bits.ts';
import { anything, bool, choice, group, integer, list, text } from '../../options/fields.ts';
import { describeNode, deviceInfo } from '../node-info.ts';
import { type AnyCommand, command } from '../record.ts';

const required = { required: true } as const;

const namedNodes = command({
  name: 'query-named-block-nodes',
  help: 'List all nodes',
  arguments: { flat: bool({ help: 'Leave out the images below within each image', default: false }) },
  returns: list(deviceInfo, { help: 'The nodes', ...required }),
  run({ flat }, { service }) {
    return Promise.all([...service.graph.nodes.values()].map((node) => describeNode(node, flat)));
  },
});

const queryBlock = command({
  name: 'query-block',
  help: 'List the devices of a machine: there is no machine, and the list is empty',
  returns: list(anything({ help: 'A device', ...required }), { help: 'Nothing', ...required }),
  run: () => [],
});

const permission = choice(['consistent-read', 'write', 'write-unchanged', 'resize'], {
  help: 'A permission',
  ...required,
});
type Permission = 'consistent-read' | 'write' | 'write-unchanged' | 'resize';

const BITS: readonly (readonly [number, Permission])[] = [
  [Perm.CONSISTENT_READ, 'consistent-read'],
  [Perm.WRITE, 'write'],
  [Perm.WRITE_UNCHANGED, 'write-unchanged'],
  [Perm.RESIZE, 'resize'],
];

function permissions(mask: number): Permission[] {
  return BITS.filter(([bit]) => (mask & bit) !== 0).map(([, name]) => name);
}

const TYPES = { node: 'block-driver', backend: 'block-backend', job: 'block-job' } as const;

const blockGraph = command({
  name: 'x-debug-query-block-graph',
  help: 'Show nodes and their users, and the links between them with their permissions',
  features: ['unstable'],
  returns: group(
    {
      nodes: list(
        group(
          {
            id: integer({ help: 'A number for the links to refer to', ...required }),
            type: choice(['block-backend', 'block-job', 'block-driver'], { help: 'What it is', ...required }),
            name: text({ help: 'Name of the node, or who uses it', ...required }),
          },
          { help: 'A node or a user', ...required },
        ),
        { help: 'Nodes and users', ...required },
      ),
      edges: list(
        group(
          {
            parent: integer({ help: 'Who uses', ...required }),
            child: integer({ help: 'What is used', ...required }),
            name: text({ help: 'What for', ...required }),
            perm: list(permission, { help: 'What is needed', ...required }),
            'shared-perm': list(permission, { help: 'What others may have', ...required }),
          },
          { help: 'A link', ...required },
        ),
        { help: 'Links', ...required },
      ),
    },
    { help: 'The graph', ...required },
  ),
  run(_, { service }) {
    const ids = new Map<EdgeParent, number>();
    const idOf = (item: EdgeParent): number => {
      const id = ids.get(item) ?? ids.size + 1;
      ids.set(item, id);
      return id;
    };
    const edges = [...service.graph.nodes.values()].flatMap((node) =>
      [...node.parents].map((edge: Edge) => ({
        parent: idOf(edge.parent.node ?? edge.parent),
        child: idOf(node),
        name: edge.name,
        perm: permissions(edge.perm),
        'shared-perm': permissions(edge.shared),
      })),
    );
    for (const node of service.graph.nodes.values()) idOf(node);
    const nodes = [...ids].map(([item, id]) => ({
      id,
      type: TYPES[item.kind],
      name: item.node?.name ?? item.describe(),
    }));
    return { nodes, edges };
  },
});

export const queryCommands: readonly AnyCommand[] = [namedNodes, queryBlock, blockGraph];
