/** What is served to others, and to whom. */
import { bool, choice, group, list, text, variant } from '../../options/fields.ts';
import { policyFields, setErrorPolicies } from '../backend-settings.ts';
import { namedBackend } from '../backends.ts';
import { exportOptions, requestExport, serverFields } from '../export-options.ts';
import { nestedAddress, nestedListenAddress, serverCredentials } from '../nbd-address.ts';
import { type AnyCommand, command, unionCommand } from '../record.ts';

const required = { required: true } as const;
const id = text({ help: 'Id of the export', ...required });

const start = command({
  name: 'nbd-server-start',
  help: 'Listen for NBD clients',
  arguments: {
    addr: variant('type', nestedAddress, { help: 'Where to listen', ...required, keyHelp: 'Kind of address' }),
    ...serverFields,
  },
  async run({ addr, ...rest }, { service: { exports, graph } }) {
    await exports.start({
      addresses: [nestedListenAddress(addr)],
      maxConnections: rest['max-connections'],
      handshakeSeconds: rest['handshake-max-seconds'],
      credentials: serverCredentials(graph, rest['tls-creds'], rest['tls-authz']),
    });
  },
});

const stop = command({
  name: 'nbd-server-stop',
  help: 'End the NBD server, its exports and the connections of its clients',
  run: (_, { service }) => service.exports.stop(),
});

const add = unionCommand({
  name: 'block-export-add',
  help: 'Serve a node to clients',
  argument: exportOptions,
  run: (given, { service }) => requestExport(service, given),
});

const mode = choice(['safe', 'hard'], {
  help: 'safe is refused while clients use it, hard cuts them off',
  default: 'safe',
});

const del = command({
  name: 'block-export-del',
  help: 'Serve a node no more; BLOCK_EXPORT_DELETED says when it is gone',
  arguments: { id, mode },
  run: ({ id: name, mode: how }, { service }) => service.exports.remove(name, how === 'hard'),
});

const query = command({
  name: 'query-block-exports',
  help: 'List what is served',
  returns: list(
    group(
      {
        id,
        type: choice(['nbd'], { help: 'How', ...required }),
        'node-name': text({ help: 'The node', ...required }),
        'shutting-down': bool({ help: 'It is being removed', ...required }),
      },
      { help: 'An export', ...required },
    ),
    { help: 'The exports', ...required },
  ),
  run: (_, { service }) =>
    service.exports.list().map((each) => ({
      id: each.id,
      type: 'nbd' as const,
      'node-name': each.node,
      'shutting-down': each.removing,
    })),
});

const olderAdd = command({
  name: 'nbd-server-add',
  help: 'Serve a node to NBD clients, in older words',
  features: ['deprecated'],
  arguments: {
    device: text({ help: 'The node', ...required }),
    name: text({ help: 'What clients call it, and its id; by default the name of the node' }),
    description: text({ help: 'Text for people' }),
    writable: bool({ help: 'Clients may write', default: false }),
    bitmap: text({ help: 'A dirty bitmap that clients can look at' }),
  },
  run({ device, name = device, description, writable, bitmap }, { service }) {
    service.exports.add({
      id: name,
      node: device,
      name,
      description,
      writable,
      writethrough: false,
      bitmaps: bitmap === undefined ? [] : [bitmap],
      allocationDepth: false,
    });
  },
});

const olderRemove = command({
  name: 'nbd-server-remove',
  help: 'Serve a node to NBD clients no more, in older words',
  features: ['deprecated'],
  arguments: { name: text({ help: 'What clients call it', ...required }), mode },
  run: ({ name, mode: how }, { service: { exports } }) => exports.remove(exports.idOf(name), how === 'hard'),
});

const setPolicy = command({
  name: 'x-blockyard-export-error-policy',
  help: 'Say what is done when a request of an export fails: report it to the client, ignore it, or stop until resumed',
  features: ['unstable'],
  arguments: { id, ...policyFields },
  run({ id: name, ...policies }, { service: { graph, events } }) {
    setErrorPolicies(namedBackend(graph, name), policies, events);
  },
});

const resume = command({
  name: 'x-blockyard-export-resume',
  help: 'Have an export go on that stopped since a request failed; what failed is tried again',
  features: ['unstable'],
  arguments: { id },
  run: ({ id: name }, { service: { graph } }) => namedBackend(graph, name).resume(),
});

export const exportCommands: readonly AnyCommand[] = [
  start,
  stop,
  add,
  del,
  query,
  olderAdd,
  olderRemove,
  setPolicy,
  resume,
];
