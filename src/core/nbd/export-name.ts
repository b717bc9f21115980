/** File names that lead to an export: URIs (doc/uri.md of the protocol) and the older form with colons. */
import { BlockError } from '../errors/block-error.ts';
import { anything, defineOptions } from '../options/fields.ts';
import { validate } from '../options/parse.ts';
import { DEFAULT_PORT } from './constants.ts';
import { type ServerAddress, serverAddress, serverField } from './socket-address.ts';

type NameOptions = Record<string, unknown>;

/** The server that a name leads to, for who wants to know of all its exports. */
export interface NamedServer {
  readonly address: ServerAddress;
  /** The name demands TLS. */
  readonly tls: boolean;
  /** Name that the server's certificate must be for, where the name says so. */
  readonly hostname: string | undefined;
}

const serverOptions = defineOptions({
  server: serverField,
  export: anything({ help: 'Name of the export' }),
  tls: anything({ help: 'TLS is demanded' }),
  'tls-hostname': anything({ help: 'Name of the server' }),
});

/** The server in a file name. @throws as {@link parseExportName}. */
export function parseServerName(name: string): NamedServer {
  const { server, tls, 'tls-hostname': hostname } = validate(serverOptions, parseExportName(name), `'${name}'`);
  if (!server) fail(name, 'it has no address');
  return {
    address: serverAddress(server),
    tls: tls === true,
    hostname: typeof hostname === 'string' ? hostname : undefined,
  };
}

/** Options for a file name. @throws BlockError for one that says nothing that could be connected to. */
export function parseExportName(name: string): NameOptions {
  return /^nbds?(\+(unix|tcp))?:\/\//i.test(name) ? parseUri(name) : parseOldName(name);
}

/** What URIs of other programs say of credentials, which ours take by name. */
const TLS_PARAMETERS = ['tls-verify-peer', 'tls-type', 'tls-certificates', 'tls-psk-file', 'tls-username'];
/** Query parameters that a URI may have. */
const PARAMETERS = ['socket', 'tls-hostname', ...TLS_PARAMETERS];

function parseUri(name: string): NameOptions {
  const [, scheme = '', authority = '', path = '', query = ''] =
    /^([^:]+):\/\/([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/.exec(name) ?? fail(name, 'it is no URI');
  const parameters = parseQuery(name, query);
  const kind = scheme.toLowerCase();
  const tls = kind.startsWith('nbds');
  const shared = {
    export: decode(name, path),
    ...(tls ? { tls: true } : {}),
    ...(parameters['tls-hostname'] === undefined ? {} : { 'tls-hostname': parameters['tls-hostname'] }),
  };
  if (kind.endsWith('+unix')) {
    const { socket } = parameters;
    if (socket === undefined || socket === '') fail(name, 'a path of the socket is missing (?socket=PATH)');
    if (authority !== '') fail(name, `'${authority}' cannot stand beside the path of a socket`);
    return { server: unixServer(socket), ...shared };
  }
  if (parameters.socket !== undefined) fail(name, `'socket' is for names that begin with ${kind}+unix`);
  return { server: inetServer(name, authority), ...shared };
}

/** A path that begins with a NUL is a name without a file. */
function unixServer(socket = ''): NameOptions {
  return socket.startsWith('\0')
    ? { type: 'unix', path: socket.slice(1), abstract: true }
    : { type: 'unix', path: socket };
}

function inetServer(name: string, authority: string): NameOptions {
  const [, , bracketed, plain, port] =
    /^(?:([^@]*)@)?(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d*))?$/.exec(authority) ??
    fail(name, `'${authority}' is not HOST:PORT`);
  const host = decode(name, bracketed ?? plain ?? '');
  return {
    type: 'inet',
    host: host === '' ? 'localhost' : host,
    port: port === undefined || port === '' ? String(DEFAULT_PORT) : port,
  };
}

function parseQuery(name: string, query: string): Readonly<Record<string, string | undefined>> {
  const found: Record<string, string> = {};
  for (const part of query.split('&').filter((each) => each !== '')) {
    const [key = '', value = ''] = part.split(/=(.*)/s, 2).map((text) => decode(name, text));
    if (!PARAMETERS.includes(key)) fail(name, `there is no parameter '${key}'`);
    if (found[key] !== undefined) fail(name, `parameter '${key}' is given twice`);
    found[key] = value;
  }
  if (TLS_PARAMETERS.some((key) => found[key] !== undefined)) {
    fail(name, 'how TLS is done is said by credentials (--object tls-creds-…, tls-creds=ID), not by the URI');
  }
  return found;
}

function decode(name: string, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return fail(name, `'${text}' has a percent sign that begins no character`);
  }
}

/** `nbd:HOST:PORT[:exportname=NAME]`, `nbd:unix:PATH[:exportname=NAME]`; the name may have colons of its own. */
function parseOldName(name: string): NameOptions {
  const [address = '', exportName = ''] = name.slice(name.indexOf(':') + 1).split(/:exportname=(.*)/s, 2);
  if (address.startsWith('unix:')) {
    const path = address.slice('unix:'.length);
    if (path === '') fail(name, 'a path of the socket is missing');
    return { server: { type: 'unix', path }, export: exportName };
  }
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:]*)):([^:]*)$/.exec(address) ?? fail(name, OLD_FORM);
  const host = bracketed ?? plain ?? '';
  if (host === '' || port === '') fail(name, OLD_FORM);
  return { server: { type: 'inet', host, port }, export: exportName };
}

const OLD_FORM = 'it is neither a URI nor HOST:PORT or unix:PATH after nbd:';

function fail(name: string, why: string): never {
  throw new BlockError(`'${name}' names no NBD export: ${why}`, {
    hint: 'Write nbd://HOST:PORT/EXPORT or nbd+unix:///EXPORT?socket=PATH',
  });
}
