/** Where an NBD server is to listen, as the control socket and the command line say it, and who may come in. */

import type { BlockGraph } from '../block/graph/block-graph.ts';
import { BlockError } from '../errors/block-error.ts';
import type { ListenAddress } from '../export/nbd-listener.ts';
import type { ServerCredentials } from '../export/server-credentials.ts';
import { tlsEntrance } from '../export/tls-entrance.ts';
import { group, text } from '../options/fields.ts';

const required = { required: true } as const;

/** Members by the type of address; port as text, since some clients send a service name there. */
const members = {
  inet: {
    host: text({ help: 'Name or address to listen at', ...required }),
    port: text({ help: 'Number of the port, 0 for any that is free', ...required }),
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

type Member = { readonly host?: string; readonly port?: string; readonly path?: string; readonly str?: string };

export function listenAddress(type: 'inet' | 'unix' | 'fd', given: Member): ListenAddress {
  if (type === 'unix') return { type, path: given.path ?? '' };
  if (type === 'fd') return { type, fd: number(given.str ?? '', 'descriptor', 2 ** 31 - 1) };
  return { type, host: given.host ?? '', port: number(given.port ?? '', 'port', 65_535) };
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
