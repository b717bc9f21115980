/** Where clients come in: a socket of the host that makes a session of each connection. */

import fs from 'node:fs';
import net from 'node:net';
import { asBlockError, BlockError, withContext } from '../errors/block-error.ts';
import type { BlockService } from './service.ts';
import { Session, type SessionOptions, type SessionPipe } from './session.ts';

export type QmpAddress =
  | { readonly type: 'unix'; readonly path: string }
  | { readonly type: 'inet'; readonly host: string; readonly port: number }
  | { readonly type: 'fd'; readonly fd: number };

export interface QmpListener {
  /** Where it really listens: a port of 0 has become one. */
  readonly address: string;
  close(): Promise<void>;
}

/** Serve clients at `address`, several at once, or one after the other with `single`. */
export async function listenQmp(
  service: BlockService,
  address: QmpAddress,
  options: SessionOptions & { readonly single?: boolean } = {},
): Promise<QmpListener> {
  const sessions = new Set<{ session: Session; socket: net.Socket }>();
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    if (options.single && sessions.size > 0) return void socket.destroy();
    const entry = { session: serveSocket(service, socket, options), socket };
    sessions.add(entry);
    socket.once('close', () => sessions.delete(entry));
  });
  const made = await listen(server, address);
  return {
    address: describe(server, address),
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const { session, socket } of sessions) {
        session.end();
        // The last words (an answer to quit, SHUTDOWN) go out before the connection is closed for good.
        if (socket.writableLength === 0) socket.destroySoon();
      }
      const grace = setTimeout(() => sessions.forEach(({ socket }) => void socket.destroy()), LAST_WORDS_MS);
      await closed;
      clearTimeout(grace);
      if (made !== undefined) fs.rmSync(made, { force: true });
    },
  };
}

/** How long a client may take for the last words, in milliseconds. */
const LAST_WORDS_MS = 1000;

function serveSocket(service: BlockService, socket: net.Socket, options: SessionOptions): Session {
  socket.setNoDelay(true);
  const session = new Session(service, socketPipe(socket), options);
  socket.on('data', (chunk: Buffer) => session.receive(chunk));
  socket.on('end', () => session.finish());
  socket.on('error', () => session.end());
  socket.on('close', () => session.end());
  return session;
}

function socketPipe(socket: net.Socket): SessionPipe {
  return {
    write: (text) => void (socket.writable && socket.write(text)),
    get unread() {
      return socket.writableLength;
    },
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    end: () => socket.destroySoon(),
  };
}

/** Begin to listen; the path of a socket that was made for it, to be removed at the end. */
async function listen(server: net.Server, address: QmpAddress): Promise<string | undefined> {
  const where = address.type === 'unix' ? address.path : address.type === 'fd' ? `fd ${address.fd}` : portName(address);
  if (address.type === 'unix') await removeStale(address.path);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      const to = address.type === 'inet' ? { host: address.host, port: address.port } : place(address);
      server.listen(to, () => {
        server.off('error', reject);
        resolve();
      });
    });
  } catch (error) {
    throw withContext(`cannot listen at '${where}'`, systemError(error));
  }
  return address.type === 'unix' ? address.path : undefined;
}

function place(address: Exclude<QmpAddress, { type: 'inet' }>): net.ListenOptions {
  return address.type === 'unix' ? { path: address.path } : ({ fd: address.fd } as net.ListenOptions);
}

/** A socket that nobody listens at any more is in the way of a new one. */
async function removeStale(path: string): Promise<void> {
  const stat = fs.statSync(path, { throwIfNoEntry: false });
  if (!stat?.isSocket()) return;
  const alive = await new Promise<boolean>((resolve) => {
    const probe = net.connect(path);
    probe.once('connect', () => resolve(true)).once('error', () => resolve(false));
    probe.once('connect', () => probe.destroy());
  });
  if (alive) throw new BlockError(`cannot listen at '${path}': another program does`, { code: 'EBUSY' });
  fs.rmSync(path, { force: true });
}

function systemError(error: unknown): BlockError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'EADDRINUSE') return new BlockError('Address already in use', { code: 'EBUSY', cause: error });
  return asBlockError(error);
}

function describe(server: net.Server, address: QmpAddress): string {
  const at = server.address();
  if (at && typeof at === 'object') return portName({ host: at.address, port: at.port });
  return address.type === 'unix' ? address.path : String(at);
}

function portName({ host, port }: { host: string; port: number }): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
