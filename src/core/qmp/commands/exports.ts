/** What is served to others, and to whom. */
import { errorPolicies } from '../../block/error-policy.ts';
import { bool, choice, either, group, integer, list, text, variant } from '../../options/fields.ts';
import { namedBackend } from '../backends.ts';
import { listenAddress, nestedAddress, serverCredentials } from '../nbd-address.ts';
import { type AnyCommand, command, unionCommand } from '../record.ts';

const required = { required: true } as const;
const id = text({ help: 'Id of the export', ...required });

/** What `nbd-server-start` and `--nbd-server` take beside the address. */
export const serverFields = {
  'handshake-max-seconds': integer({
    help: 'Seconds that a negotiation may take, 0 for any',
    default: 10,
    min: 0,
    max: 3600,
  }),
  'tls-creds': text({ help: 'Id of credentials: nobody comes in without TLS then' }),
  'tls-authz': text({ help: 'Id of an object that says which clients may come in' }),
  'max-connections': integer({ help: 'Clients at a time, 0 for any number', default: 100, min: 0, max: 4294967295 }),
};

const start = command({
  name: 'nbd-server-start',
  help: 'Listen for NBD clients',
  arguments: {
    addr: variant('type', nestedAddress, { help: 'Where to listen', ...required, keyHelp: 'Kind of address' }),
    ...serverFields,
  },
  async run({ addr, ...rest }, { service: { exports, graph } }) {
    await exports.start({
      addresses: [listenAddress(addr.type, addr.data)],
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

const common = {
  id,
  'node-name': text({ help: 'The node to serve', ...required }),
  writable: bool({ help: 'Clients may write', default: false }),
  writethrough: bool({ help: 'Every write is stable before it is answered', default: false }),
  iothread: text({ help: 'Id of an iothread object; all requests are served by one thread all the same' }),
  'fixed-iothread': bool({ help: 'Never move it to another thread, of which there is none', default: false }),
};

export const exportOptions = variant(
  'type',
  {
    nbd: {
      ...common,
      name: text({ help: 'What clients call it; by default the name of the node' }),
      description: text({ help: 'Text for people' }),
      bitmaps: list(
        either(
          text({ help: 'A bitmap of the chain below', ...required }),
          group(
            {
              node: text({ help: 'The node it belongs to', ...required }),
              name: text({ help: 'Its name', ...required }),
            },
            { help: 'A bitmap of a certain node', ...required },
          ),
          { help: 'A bitmap', ...required },
        ),
        { help: 'Dirty bitmaps that clients can look at' },
      ),
      'allocation-depth': bool({ help: 'Clients can see which layer of the chain holds what', default: false }),
    },
  },
  { help: 'What to serve', ...required, keyHelp: 'How' },
);

const add = unionCommand({
  name: 'block-export-add',
  help: 'Serve a node to clients',
  argument: exportOptions,
  run(given, { service: { exports, graph } }) {
    if (given.iothread !== undefined) graph.objects.find('iothread', given.iothread);
    exports.add({
      id: given.id,
      node: given['node-name'],
      name: given.name,
      description: given.description,
      writable: given.writable,
      writethrough: given.writethrough,
      bitmaps: given.bitmaps ?? [],
      allocationDepth: given['allocation-depth'],
    });
  },
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

const policy = (help: string) => choice(errorPolicies, { help, default: 'report' });

const setPolicy = command({
  name: 'x-blockyard-export-error-policy',
  help: 'Say what is done when a request of an export fails: report it to the client, ignore it, or stop until resumed',
  features: ['unstable'],
  arguments: { id, rerror: policy('For reads'), werror: policy('For writes, discards and flushes') },
  run({ id: name, rerror, werror }, { service: { graph, events } }) {
    const backend = namedBackend(graph, name);
    if (rerror === 'report' && werror === 'report') {
      backend.errorPolicies = undefined;
      return;
    }
    backend.errorPolicies = {
      read: rerror,
      write: werror,
      failed: ({ operation, action, error }) =>
        events.emit('BLOCK_IO_ERROR', {
          'qom-path': `/exports/${name}`,
          device: name,
          'node-name': backend.image.name,
          operation,
          action,
          nospace: error.code === 'ENOSPC',
          reason: error.message,
        }),
    };
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
