/** Where clients come in. */
import { existsSync, lstatSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { asBlockError, BlockError, errnoText } from '../errors/block-error.ts';
import { withSocketLabel } from '../host/index.ts';

export type ListenAddress =
  | {
      readonly type: 'unix';
      readonly path: string;
      /** What SELinux is to label the socket. */
      readonly label?: string | undefined;
    }
  /** Port 0 takes any free one. */
  | { readonly type: 'inet'; readonly host: string; readonly port: number }
  /** A descriptor that listens already: socket activation. */
  | { readonly type: 'fd'; readonly fd: number };

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
    const server = createServer(
      { allowHalfOpen: true, pauseOnConnect: true, noDelay: true, keepAlive: true },
      connected,
    );
    if (address.type === 'unix') await makeWay(address.path);
    const label = address.type === 'unix' ? address.label : undefined;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(listenError(address, error)));
      // A unix socket has been made when this returns.
      withSocketLabel(label, () => server.listen({ ...bindOptions(address), backlog }, resolve));
    });
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

function bindOptions(address: ListenAddress): { path: string } | { host: string; port: number } | { fd: number } {
  if (address.type === 'unix') return { path: address.path };
  return address.type === 'fd' ? { fd: address.fd } : { host: address.host, port: address.port };
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
  return new BlockError(`cannot listen on ${addressText(address)}: ${why}`, { code, cause: error });
}

/** For messages. */
export function addressText(address: ListenAddress): string {
  if (address.type === 'unix') return `'${address.path}'`;
  if (address.type === 'fd') return `descriptor ${address.fd}`;
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
