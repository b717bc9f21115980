/** What serving a node takes, for the command and for the command line. */
import { bool, either, group, integer, list, type OptionsOf, text, variant } from '../options/fields.ts';
import { checkIntervals, policyFields, setErrorPolicies, setIntervals, statsIntervals } from './backend-settings.ts';
import type { BlockService } from './service.ts';

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
      ...policyFields,
      'stats-intervals': statsIntervals,
      'allocation-depth': bool({ help: 'Clients can see which layer of the chain holds what', default: false }),
    },
  },
  { help: 'What to serve', ...required, keyHelp: 'How' },
);

export type ExportOptions = OptionsOf<typeof exportOptions>;

/** Serve as the options say. */
export function requestExport({ exports, graph, events }: BlockService, given: ExportOptions): void {
  const { 'stats-intervals': intervals = [] } = given;
  checkIntervals(intervals);
  if (given.iothread !== undefined) graph.objects.find('iothread', given.iothread);
  const backend = exports.add({
    id: given.id,
    node: given['node-name'],
    name: given.name,
    description: given.description,
    writable: given.writable,
    writethrough: given.writethrough,
    bitmaps: given.bitmaps ?? [],
    allocationDepth: given['allocation-depth'],
  });
  setErrorPolicies(backend, given, events);
  setIntervals(backend.accounts, intervals);
}
