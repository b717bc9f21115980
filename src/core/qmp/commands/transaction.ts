/** Commands that are part of transactions, and the transaction itself. */
import { bitmapSha256 } from '../../block/bitmaps/index.ts';
import { whileDrained } from '../../block/graph/drain.ts';
import { snapshotRemove } from '../../block/graph/snapshot-operations.ts';
import { Usage } from '../../errors/block-error.ts';
import { JobGroup } from '../../job/job-group.ts';
import type { Fields } from '../../options/field.ts';
import { choice, group, integer, list, text, variant } from '../../options/fields.ts';
import { type Action, actions, type Performed } from '../actions.ts';
import { namedNode, nodeName } from '../block-nodes.ts';
import { type AnyCommand, command } from '../record.ts';

const required = { required: true } as const;

/** An action as a command of its own: it is not undone. */
function single({ name, help, features, fields, perform }: Action): AnyCommand {
  return command({
    name,
    help,
    ...(features ? { features } : {}),
    arguments: fields,
    async run(args, { service }) {
      await (await perform(args as never, service)).commit?.();
    },
  });
}

const branches: Readonly<Record<string, Fields>> = Object.fromEntries(
  actions.map(({ name, fields }) => [
    name,
    { data: group(fields, { help: 'Arguments as of the command', ...required }) },
  ]),
);

const byName = new Map(actions.map((each) => [each.name, each]));

interface Asked {
  readonly type: string;
  readonly data: unknown;
}

const transaction = command({
  name: 'transaction',
  help: 'Carry out several commands at one point in time, all of them or none',
  arguments: {
    actions: list(variant('type', branches, { help: 'A command', ...required, keyHelp: 'Which' }), {
      help: 'The commands, in order',
      ...required,
    }),
    properties: group(
      {
        'completion-mode': choice(['individual', 'grouped'], {
          help: 'Whether jobs end together',
          default: 'individual',
        }),
      },
      { help: 'More about it' },
    ),
  },
  async run({ actions: wanted, properties }, { service }) {
    const asked = wanted as unknown as readonly Asked[];
    const group = properties?.['completion-mode'] === 'grouped' ? groupFor(asked) : undefined;
    const { graph, jobs } = service;
    const performed: Performed[] = [];
    await whileDrained(
      () => graph.nodes.values(),
      async () => {
        try {
          for (const { type, data } of asked) {
            const found = byName.get(type);
            if (found) performed.push(await found.perform(data as never, { graph, jobs, ...group }));
          }
        } catch (error) {
          for (const { undo } of performed.reverse()) await undo();
          throw error;
        }
      },
    );
    for (const { commit } of performed) await commit?.();
  },
});

/** Other actions are done when the transaction is: there is nothing that they could wait with. */
function groupFor(asked: readonly Asked[]): { readonly group: JobGroup } {
  const other = asked.find(({ type }) => type !== 'blockdev-backup' && type !== 'drive-backup');
  if (other) throw new Usage(`action '${other.type}' starts no job: completion-mode=grouped is for backups only`);
  return { group: new JobGroup() };
}

const deleteInternal = command({
  name: 'blockdev-snapshot-delete-internal-sync',
  help: 'Remove a snapshot within an image, and tell what it was',
  arguments: {
    device: nodeName('The node'),
    id: text({ help: 'Id of the snapshot' }),
    name: text({ help: 'Name of the snapshot' }),
  },
  returns: group(
    {
      id: text({ help: 'Its id', ...required }),
      name: text({ help: 'Its name', ...required }),
      'vm-state-size': integer({ help: 'Bytes of saved machine state', ...required }),
      'date-sec': integer({ help: 'When it was made, seconds', ...required }),
      'date-nsec': integer({ help: 'and nanoseconds', ...required }),
      'vm-clock-sec': integer({ help: 'Clock of the machine, seconds', ...required }),
      'vm-clock-nsec': integer({ help: 'and nanoseconds', ...required }),
      icount: integer({ help: 'Instructions of the machine' }),
    },
    { help: 'The snapshot', ...required },
  ),
  async run({ device, id, name }, { service: { graph } }) {
    if (id === undefined && name === undefined) throw new Usage("one of 'id' and 'name' must be given");
    const wanted = { ...(id === undefined ? {} : { id }), ...(name === undefined ? {} : { name }) };
    const gone = await snapshotRemove(graph, namedNode(graph, device), wanted);
    return {
      id: gone.id,
      name: gone.name,
      'vm-state-size': gone.vmStateSize,
      'date-sec': gone.date.sec,
      'date-nsec': gone.date.nsec,
      'vm-clock-sec': gone.vmClock.sec,
      'vm-clock-nsec': gone.vmClock.nsec,
      ...(gone.icount === undefined ? {} : { icount: gone.icount }),
    };
  },
});

const sha256 = command({
  name: 'x-debug-block-dirty-bitmap-sha256',
  help: 'Tell the SHA-256 of the bits of a bitmap',
  features: ['unstable'],
  arguments: { node: nodeName('The node'), name: text({ help: 'The bitmap', ...required }) },
  returns: group({ sha256: text({ help: 'In hexadecimal', ...required }) }, { help: 'The hash', ...required }),
  run: ({ node, name }, { service: { graph } }) => ({ sha256: bitmapSha256(namedNode(graph, node), name) }),
});

export const transactionCommands: readonly AnyCommand[] = [
  ...actions.filter(({ name }) => name !== 'abort').map(single),
  transaction,
  deleteInternal,
  sha256,
];
