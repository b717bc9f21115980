/** Runtime options of the driver, and what they say together. */
import { BlockError } from '../../core/errors/block-error.ts';
import {
  DEFAULT_PORT,
  exportUri,
  Limit,
  portNumber,
  type ServerAddress,
  serverAddress,
  serverField,
  unixAddress,
} from '../../core/nbd/index.ts';
import { bool, defineOptions, integer, type OptionsOf, text } from '../../core/options/fields.ts';

export const options = defineOptions({
  server: serverField,
  export: text({ help: 'Name of the export', default: '', maxBytes: Limit.STRING }),
  'tls-creds': text({ help: 'Id of the credentials for TLS; without them nothing is encrypted' }),
  'tls-hostname': text({ help: "Name that the server's certificate must be for, instead of that of the host" }),
  'x-dirty-bitmap': text({ help: 'Metadata context to take the place of base:allocation', maxBytes: Limit.STRING }),
  'reconnect-delay': integer({
    help: 'Seconds that requests wait for a server that has gone, 0 to fail at once',
    default: 0,
    min: 0,
    max: 0xffff_ffff,
  }),
  'open-timeout': integer({
    help: 'Seconds to try again while the server cannot be connected to, 0 to try once',
    default: 0,
    min: 0,
    max: 0xffff_ffff,
  }),
  connections: integer({
    help: 'Connections to spread requests over where the server allows it',
    default: 4,
    min: 1,
    max: 16,
  }),
  host: text({ help: 'Name or address of the host', hidden: true }),
  port: text({ help: 'Number of the port', hidden: true }),
  path: text({ help: 'Path of the socket', hidden: true }),
  tls: bool({ help: 'The name demands TLS (nbds://)', default: false, hidden: true }),
});

export type NbdOptions = OptionsOf<typeof options>;

/** The address, from `server` or the older options beside it. */
export function addressOf({ server, host, port, path }: NbdOptions): ServerAddress {
  const old = [host, path].filter((value) => value !== undefined).length;
  if (server) {
    if (old > 0 || port !== undefined) throw new BlockError("'server' cannot be combined with host, port or path");
    return serverAddress(server);
  }
  if (old !== 1) throw new BlockError('driver nbd needs either server, host or path');
  if (path !== undefined) {
    if (port !== undefined) throw new BlockError("'port' needs a host, not a path");
    return unixAddress(path);
  }
  return {
    type: 'inet',
    host: host ?? '',
    port: port === undefined ? DEFAULT_PORT : portNumber(port),
    family: undefined,
    keepAlive: true,
  };
}

/** The URI that opens the same export with the same credentials; undefined where no URI can say it. */
export function uriOf(values: NbdOptions): string | undefined {
  if (values['tls-creds'] !== undefined || values['tls-hostname'] !== undefined) return undefined;
  if (values['x-dirty-bitmap'] !== undefined) return undefined;
  return exportUri(addressOf(values), values.export);
}
