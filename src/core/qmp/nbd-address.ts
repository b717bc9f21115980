/** Where an NBD server is to listen, as the control socket and the command line say it, and who may come in. */

import type { BlockGraph } from '../block/graph/block-graph.ts';
import { BlockError } from '../errors/block-error.ts';
import type { InetListenAddress, ListenAddress } from '../export/nbd-listener.ts';
import type { ServerCredentials } from '../export/server-credentials.ts';
import { tlsEntrance } from '../export/tls-entrance.ts';
import { type InetOptions, inetFields, inetManners } from '../nbd/index.ts';
import { group, integer, text } from '../options/fields.ts';

const required = { required: true } as const;

/** What a listening Internet address has beside host and port. */
export const inetListenFields = {
  ...inetFields,
  to: integer({ help: 'Highest port to try, from the port on, when others are in use', min: 0, max: 65_535 }),
};

/** Members by the type of address; port as text, since some clients send a service name there. */
const members = {
  inet: {
    host: text({ help: 'Name or address to listen at', ...required }),
    port: text({ help: 'Number of the port, 0 for any that is free', ...required }),
    ...inetListenFields,
  },
  unix: { path: text({ help: 'Path of the socket to make', ...required, nonEmpty: true }) },
  fd: { str: text({ help: 'Number of a descriptor that listens already', ...required }) },
};

/** Members beside the type, as the command line has them. */
export const flatAddress = members;

const data = { help: 'Where', required: true } as const;

/** Members within `data`, as the command has them. */
export const nestedAddress = {
  inet: { data: group(members.inet, data) },
  unix: { data: group(members.unix, data) },
  fd: { data: group(members.fd, data) },
};

type Given =
  | ({ readonly type: 'inet' } & InetGiven)
  | { readonly type: 'unix'; readonly path: string }
  | { readonly type: 'fd'; readonly str: string };

type InetListenOptions = InetOptions & { readonly to?: number | undefined };
type InetGiven = InetListenOptions & { readonly host: string; readonly port: string };

type NestedGiven =
  | { readonly type: 'inet'; readonly data: InetGiven }
  | { readonly type: 'unix'; readonly data: { readonly path: string } }
  | { readonly type: 'fd'; readonly data: { readonly str: string } };

export function listenAddress(given: Given): ListenAddress {
  if (given.type === 'unix') return { type: 'unix', path: given.path };
  if (given.type === 'fd') return { type: 'fd', fd: number(given.str, 'descriptor', 2 ** 31 - 1) };
  return inetListenAddress(given.host, number(given.port, 'port', 65_535), given);
}

/** The address as {@link nestedAddress} has it. */
export function nestedListenAddress(given: NestedGiven): ListenAddress {
  if (given.type === 'unix') return listenAddress({ ...given.data, type: 'unix' });
  if (given.type === 'fd') return listenAddress({ ...given.data, type: 'fd' });
  return listenAddress({ ...given.data, type: 'inet' });
}

/** @throws what cannot be listened at so. */
export function inetListenAddress(host: string, port: number, given: InetListenOptions): InetListenAddress {
  const { to } = given;
  if (to !== undefined && to < port) throw new BlockError(`'to' is ${to}, less than the port ${port}`);
  return { type: 'inet', host, port, to, ...inetManners(host, given) };
}

function number(typed: string, what: string, max: number): number {
  if (/^\d{1,10}$/.test(typed) && Number(typed) <= max) return Number(typed);
  throw new BlockError(`${what} must be a number from 0 to ${max}, not '${typed}'`);
}

/** With credentials, nobody comes in without TLS. */
export function serverCredentials(
  graph: BlockGraph,
  tlsCreds: string | undefined,
  tlsAuthz: string | undefined,
): ServerCredentials | undefined {
  if (tlsCreds === undefined) {
    if (tlsAuthz !== undefined) throw new BlockError("'tls-authz' needs 'tls-creds'");
    return undefined;
  }
  return tlsEntrance(graph, { tlsCreds, tlsAuthz });
}
