/** Addresses of servers: what the option `server` holds, and how one is written for a user. */
import { isIP, type TcpNetConnectOpts } from 'node:net';
import { BlockError, NotSupported } from '../errors/block-error.ts';
import { bool, type OptionsOf, text, variant } from '../options/fields.ts';
import { DEFAULT_PORT } from './constants.ts';

/** What can be said of an Internet address beside where it is, for connecting to it and for listening at it. */
export const inetFields = {
  numeric: bool({ help: 'The host is an address, not a name to look up', default: false }),
  ipv4: bool({ help: 'Use IPv4' }),
  ipv6: bool({ help: 'Use IPv6' }),
  'keep-alive': bool({ help: 'Let the system find out when the other end has gone', default: true }),
  mptcp: bool({ help: 'Use Multipath TCP; refused', default: false }),
};

export interface InetOptions {
  readonly numeric: boolean;
  readonly ipv4?: boolean | undefined;
  readonly ipv6?: boolean | undefined;
  readonly 'keep-alive': boolean;
  readonly mptcp: boolean;
}

/** The kinds of addresses as the control socket's schema names them. */
const branches = {
  inet: {
    host: text({ help: 'Name or address of the host', required: true, nonEmpty: true }),
    port: text({ help: 'Number of the port', default: String(DEFAULT_PORT) }),
    ...inetFields,
    to: text({ help: 'Highest port to try when listening', hidden: true }),
  },
  unix: {
    path: text({ help: 'Path of the socket', required: true, nonEmpty: true }),
    abstract: bool({ help: 'The path is a name without a file (Linux)', default: false }),
    tight: bool({ help: 'The name without a file ends where the path ends', default: true }),
  },
  vsock: {
    cid: text({ help: 'Number of the machine', required: true }),
    port: text({ help: 'Number of the port', required: true }),
  },
  fd: { str: text({ help: 'Number or name of the descriptor', required: true }) },
} as const;

/** The option `server`: `server.type=inet,server.host=…` and its relatives. */
export const serverField = variant('type', branches, {
  help: 'Where the server listens',
  keyHelp: 'Kind of address',
});

export type ServerOption = NonNullable<OptionsOf<typeof serverField>>;

/** Where only that version of IP is wanted. */
export type IpVersion = 4 | 6;

/** An address that can be connected to. */
export type ServerAddress =
  | {
      readonly type: 'inet';
      readonly host: string;
      readonly port: number;
      readonly family: IpVersion | undefined;
      readonly keepAlive: boolean;
    }
  | { readonly type: 'unix'; readonly path: string; readonly abstract: boolean };

/** Longest path of a unix socket in bytes (`sun_path`, without its NUL). */
const MAX_UNIX_PATH = 107;

/** The address in a validated option. @throws what cannot be connected to from here. */
export function serverAddress(option: ServerOption): ServerAddress {
  switch (option.type) {
    case 'unix':
      return unixAddress(option.path, option.abstract, option.tight);
    case 'inet':
      return inetAddress(option);
    case 'vsock':
      throw new NotSupported('addresses of type vsock are not supported', { hint: 'Use type unix or inet' });
    case 'fd':
      throw new NotSupported('addresses of type fd are not supported', { hint: 'Use type unix or inet' });
  }
}

export function unixAddress(path: string, abstract = false, tight = true): ServerAddress {
  const length = Buffer.byteLength(path);
  if (length > MAX_UNIX_PATH) {
    throw new BlockError(`path of the socket '${path}' has ${length} bytes, more than ${MAX_UNIX_PATH}`, {
      code: 'ENAMETOOLONG',
    });
  }
  if (abstract && !tight) throw new NotSupported('tight=off is not supported for sockets without a file');
  return { type: 'unix', path, abstract };
}

function inetAddress(option: Extract<ServerOption, { type: 'inet' }>): ServerAddress {
  if (option.to !== undefined) throw new BlockError(TO_LISTENS);
  return { type: 'inet', host: option.host, port: portNumber(option.port), ...inetManners(option.host, option) };
}

/** For `connect` of Node. */
export function inetConnectOptions({ host, port, family, keepAlive }: InetPlace): InetConnectOptions {
  return { host, port, ...(keepAlive === undefined ? {} : { keepAlive }), ...(family === undefined ? {} : { family }) };
}

type InetPlace = { readonly host: string; readonly port: number } & {
  readonly [K in keyof InetManners]?: InetManners[K] | undefined;
};
type InetConnectOptions = Pick<TcpNetConnectOpts, 'host' | 'port' | 'family' | 'keepAlive'>;

export const TO_LISTENS = "'to' is for addresses to listen on, not to connect to";

export interface InetManners {
  readonly family: IpVersion | undefined;
  readonly keepAlive: boolean;
}

/** What {@link inetFields} ask for at `host`, '' being every address of this machine. @throws what cannot be had. */
export function inetManners(
  host: string,
  { numeric, ipv4, ipv6, 'keep-alive': keepAlive, mptcp }: InetOptions,
): InetManners {
  if (mptcp) throw new NotSupported('mptcp=on is not supported');
  if (ipv4 === false && ipv6 === false) throw new BlockError('ipv4=off and ipv6=off leave no way');
  const version = isIP(host);
  if (numeric && host !== '' && version === 0) {
    throw new BlockError(`'${host}' is no address, and numeric=on allows no names`);
  }
  const only4 = ipv6 === false || (ipv4 === true && ipv6 !== true);
  const only6 = ipv4 === false || (ipv6 === true && ipv4 !== true);
  const family = only4 ? 4 : only6 ? 6 : undefined;
  if (family !== undefined && version !== 0 && version !== family) {
    throw new BlockError(`'${host}' is no address of IPv${family}, which alone is asked for`);
  }
  return { family, keepAlive };
}

/** A port from what a user typed: 1 to 65535. */
export function portNumber(typed: string): number {
  const port = /^\d{1,5}$/.test(typed) ? Number(typed) : 0;
  if (port < 1 || port > 65_535) throw new BlockError(`port must be a number between 1 and 65535, not '${typed}'`);
  return port;
}

/** The address for messages: `host:port`, `[::1]:port` or the path. */
export function describeAddress(address: ServerAddress): string {
  if (address.type === 'unix') return address.abstract ? `@${address.path}` : address.path;
  return `${bracketed(address.host)}:${address.port}`;
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** The URI of an export, `doc/uri.md`; `tls` for the scheme that insists on it. */
export function exportUri(address: ServerAddress, exportName: string, tls = false): string {
  const scheme = tls ? 'nbds' : 'nbd';
  const name = encodeURIComponent(exportName).replaceAll('%2F', '/').replaceAll('%3A', ':');
  if (address.type === 'unix') {
    const path = encodeURIComponent(`${address.abstract ? '\0' : ''}${address.path}`).replaceAll('%2F', '/');
    return `${scheme}+unix://${name === '' ? '' : `/${name}`}?socket=${path}`;
  }
  return `${scheme}://${bracketed(address.host)}:${address.port}${name === '' ? '' : `/${name}`}`;
}
