/** Where clients come in. */

import { lookup } from 'node:dns';
import { existsSync, lstatSync, unlinkSync } from 'node:fs';
import { connect, createServer, type ListenOptions as ListenOptionsOfNode, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { asBlockError, BlockError, errnoText } from '../errors/block-error.ts';
import { withSocketLabel } from '../host/index.ts';
import type { IpVersion } from '../nbd/index.ts';

export type ListenAddress =
  | {
      readonly type: 'unix';
      readonly path: string;
      /** What SELinux is to label the socket. */
      readonly label?: string | undefined;
    }
  | InetListenAddress
  /** A descriptor that listens already: socket activation. */
  | { readonly type: 'fd'; readonly fd: number };

export interface InetListenAddress {
  readonly type: 'inet';
  /** '' for every address of this machine. */
  readonly host: string;
  /** 0 takes any free one. */
  readonly port: number;
  /** Highest port that may be taken in the place of one that is in use; default none but `port`. */
  readonly to?: number | undefined;
  readonly family?: IpVersion | undefined;
  /** Have the system find out which clients have gone; default true. */
  readonly keepAlive?: boolean;
}

export interface ListenOptions {
  readonly address: ListenAddress;
  /** Connections that the kernel keeps waiting. */
  readonly backlog?: number;
  /** A client has come in; nothing is read from its socket until it is resumed. */
  connected(socket: Socket): void;
}

/** Bytes of a path in `struct sockaddr_un`, less the NUL. */
const MAX_UNIX_PATH = 107;
const BACKLOG = 4096;

export class Listener {
  /** With the port that was chosen where none was given. */
  readonly address: ListenAddress;
  readonly #server: Server;

  private constructor(server: Server, address: ListenAddress) {
    this.#server = server;
    this.address = address;
  }

  static async open({ address, backlog = BACKLOG, connected }: ListenOptions): Promise<Listener> {
    const keepAlive = address.type !== 'inet' || (address.keepAlive ?? true);
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true, keepAlive }, connected);
    if (address.type === 'unix') await makeWay(address.path);
    const label = address.type === 'unix' ? address.label : undefined;
    let failure: NodeJS.ErrnoException | undefined;
    for (const place of await placesOf(address)) {
      // A unix socket has been made when this returns.
      failure = await begun(server, () => withSocketLabel(label, () => server.listen({ ...place, backlog })));
      if (failure?.code !== 'EADDRINUSE') break;
    }
    if (failure) throw listenError(address, failure);
    // Failing to accept one (too many open files) is no reason to stop serving the others.
    server.removeAllListeners('error').on('error', () => undefined);
    const bound = server.address();
    if (address.type !== 'inet' || bound === null || typeof bound === 'string') return new Listener(server, address);
    return new Listener(server, { ...address, port: bound.port });
  }

  /** Take no more; a unix socket's file goes away. Those who are connected stay. */
  close(): void {
    this.#server.close();
  }
}

/** Where to try, one after the other. */
async function placesOf(address: ListenAddress): Promise<Iterable<ListenPlace>> {
  if (address.type === 'unix') return [{ path: address.path }];
  if (address.type === 'fd') return [{ fd: address.fd }];
  const { port, to = port, family } = address;
  const host = family === undefined ? address.host : await hostOf(address, family);
  const ipv6Only = family === 6;
  return (function* () {
    for (let next = port; next <= to; next++) yield { host, port: next, ipv6Only };
  })();
}

type ListenPlace = Pick<ListenOptionsOfNode, 'path' | 'host' | 'port' | 'ipv6Only'> & { readonly fd?: number };

async function hostOf(address: InetListenAddress, family: IpVersion): Promise<string> {
  const { host } = address;
  if (host === '') return family === 4 ? '0.0.0.0' : '::';
  return new Promise((resolve, reject) => {
    lookup(host, { family }, (error, found) => (error ? reject(listenError(address, error)) : resolve(found)));
  });
}

/** Have `server` begin to listen; what it failed by, if it did. */
function begun(server: Server, listen: () => void): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const failed = (error: NodeJS.ErrnoException): void => {
      server.off('listening', succeeded);
      resolve(error);
    };
    const succeeded = (): void => {
      server.off('error', failed);
      resolve(undefined);
    };
    server.once('error', failed).once('listening', succeeded);
    listen();
  });
}

/** Remove the socket that a server which no longer runs has left behind; one that is in use is not ours to take. */
async function makeWay(path: string): Promise<void> {
  const length = Buffer.byteLength(path);
  if (length > MAX_UNIX_PATH) {
    throw new BlockError(`socket path '${path}' of ${length} bytes is longer than the limit of ${MAX_UNIX_PATH}`, {
      code: 'ENAMETOOLONG',
    });
  }
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSocket()) return;
  const inUse = await new Promise<boolean>((resolve) => {
    const probe = connect(path, () => resolve(true));
    probe.on('error', () => resolve(false));
    probe.on('connect', () => probe.destroy());
  });
  if (inUse) throw new BlockError(`another server listens on '${path}'`, { code: 'EBUSY' });
  unlinkSync(path);
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the address is in use',
  EADDRNOTAVAIL: 'the address is none of this machine',
  ENOTFOUND: 'there is no host of this name',
  EAI_AGAIN: 'the name of the host cannot be looked up',
};

function listenError(address: ListenAddress, error: NodeJS.ErrnoException): BlockError {
  // Node says so of a folder that is not there.
  const nowhere = address.type === 'unix' && error.code === 'EACCES' && !existsSync(dirname(address.path));
  const name = nowhere ? 'ENOENT' : (error.code ?? error.message);
  const why = REASONS[name] ?? errnoText(name);
  const code = nowhere ? 'ENOENT' : asBlockError(error).code;
  const further = address.type === 'inet' && (address.to ?? 0) > address.port ? ` to ${address.to}` : '';
  return new BlockError(`cannot listen on ${addressText(address)}${further}: ${why}`, { code, cause: error });
}

/** For messages. */
export function addressText(address: ListenAddress): string {
  if (address.type === 'unix') return `'${address.path}'`;
  if (address.type === 'fd') return `descriptor ${address.fd}`;
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
