/** Options of the storage daemon as the commands of the control socket that they stand for. */
import type { NodeSpec } from '../../core/block/graph/spec.ts';
import { Usage } from '../../core/errors/block-error.ts';
import {
  asksForHelp,
  crumple,
  defineOptions,
  isRecord,
  type OptionsOf,
  parseJson,
  parseKeyValues,
  validate,
  variant,
} from '../../core/options/index.ts';
import {
  addNode,
  type BlockService,
  exportOptions,
  flatAddress,
  listenAddress,
  requestExport,
  serverCredentials,
  serverFields,
} from '../../core/qmp/index.ts';

/** `key=value,…` with dotted keys, or JSON, as a tree. */
export function readOptions(text: string, option: string, impliedKey: string): Record<string, unknown> {
  if (!text.startsWith('{')) {
    if (asksForHelp(text)) throw new Usage(`'help' is no value of ${option}`, { hint: 'docs/qmp.md has all options' });
    return crumple(parseKeyValues(text, { impliedKey }));
  }
  const value = parseJson(text, `the value of ${option}`);
  if (!isRecord(value)) throw new Usage(`the value of ${option} must be an object`);
  return value;
}

export async function addBlockdev(service: BlockService, text: string): Promise<void> {
  const spec = readOptions(text, '--blockdev', 'driver') as NodeSpec;
  if (typeof spec.driver !== 'string') throw new Usage('--blockdev needs the option driver');
  await addNode(service.graph, spec);
}

const nbdServer = defineOptions({
  addr: variant('type', flatAddress, { help: 'Where to listen', required: true, keyHelp: 'Kind of address' }),
  ...serverFields,
});

export async function startNbdServer(service: BlockService, text: string): Promise<void> {
  const given: OptionsOf<typeof nbdServer> = validate(nbdServer, readOptions(text, '--nbd-server', ''), '--nbd-server');
  await service.exports.start({
    addresses: [listenAddress(given.addr)],
    maxConnections: given['max-connections'],
    handshakeSeconds: given['handshake-max-seconds'],
    credentials: serverCredentials(service.graph, given['tls-creds'], given['tls-authz']),
  });
}

export async function addExport(service: BlockService, text: string): Promise<void> {
  requestExport(service, validate(exportOptions, readOptions(text, '--export', 'type'), '--export'));
}
