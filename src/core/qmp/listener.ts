/** Where clients come in: a socket of the host that makes a session of each connection. */
import { Socket } from 'node:net';
import { addressText, type ListenAddress, Listener } from '../export/nbd-listener.ts';
import type { ServerCredentials } from '../export/server-credentials.ts';
import type { BlockService } from './service.ts';
import { Session, type SessionOptions, type SessionPipe } from './session.ts';

export interface QmpListener {
  /** Where it really listens: a port of 0 has become one. */
  readonly address: string;
  /** Take no more clients, and let those there are go, after the last words to them. */
  close(): Promise<void>;
}

export interface QmpListenOptions extends SessionOptions {
  /** One client at a time; others are turned away. */
  readonly single?: boolean;
  /** Take only those who come in by TLS, from their first byte on. */
  readonly credentials?: ServerCredentials | undefined;
  /** Told of every client. */
  connected?(): void;
}

/** How long a client may take for the last words, in milliseconds. */
const LAST_WORDS_MS = 1000;

/** How long a client may take for its TLS handshake, in milliseconds. */
const HANDSHAKE_MS = 10_000;

export async function listenQmp(
  service: BlockService,
  address: ListenAddress,
  options: QmpListenOptions = {},
): Promise<QmpListener> {
  const clients = new Map<Socket, Session | undefined>();
  const listener = await Listener.open({
    address,
    connected(socket) {
      socket.on('error', () => undefined);
      if (options.single && clients.size > 0) return void socket.destroy();
      clients.set(socket, undefined);
      socket.once('close', () => clients.delete(socket));
      const serve = (talk: Socket): void => {
        if (socket.destroyed) return;
        clients.set(socket, serveSocket(service, talk, options));
        options.connected?.();
      };
      if (options.credentials) secured(socket, options.credentials).then(serve, () => socket.destroy());
      else serve(socket);
    },
  });
  return {
    address: addressText(listener.address),
    async close() {
      listener.close();
      const closed = [...clients.keys()].map((socket) => new Promise<void>((resolve) => socket.once('close', resolve)));
      for (const [socket, session] of clients) session ? session.end() : socket.destroy();
      const grace = setTimeout(() => [...clients.keys()].forEach((socket) => void socket.destroy()), LAST_WORDS_MS);
      await Promise.all(closed);
      clearTimeout(grace);
    },
  };
}

async function secured(socket: Socket, credentials: ServerCredentials): Promise<Socket> {
  const limit = setTimeout(() => void socket.destroy(), HANDSHAKE_MS);
  try {
    const talk = await credentials.upgrade(socket);
    if (!(talk instanceof Socket)) throw new Error('TLS goes over sockets');
    return talk.on('error', () => undefined);
  } finally {
    clearTimeout(limit);
  }
}

/** A session on a socket that is connected. */
export function serveSocket(service: BlockService, socket: Socket, options: SessionOptions): Session {
  const session = new Session(service, socketPipe(socket), options);
  socket.on('data', (chunk: Buffer) => session.receive(chunk));
  socket.on('end', () => session.finish());
  socket.on('close', () => session.end());
  socket.resume();
  return session;
}

function socketPipe(socket: Socket): SessionPipe {
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
