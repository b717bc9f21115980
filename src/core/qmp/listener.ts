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
  /** One client at a time; others wait until it has gone, and nothing is said to them before. */
  readonly single?: boolean;
  /** Take only those who come in by TLS, from their first byte on. */
  readonly credentials?: ServerCredentials | undefined;
  /** Told of every client. */
  connected?(): void;
}

/** Clients that may wait for the one that is served; there is nobody for more. */
const MAX_QUEUED = 16;

/** How long a client may take for the last words, in milliseconds. */
const LAST_WORDS_MS = 1000;

/** How long a client may take for its TLS handshake, in milliseconds. */
const HANDSHAKE_MS = 10_000;

export async function listenQmp(
  service: BlockService,
  address: ListenAddress,
  options: QmpListenOptions = {},
): Promise<QmpListener> {
  const door = new Door(service, options);
  const listener = await Listener.open({ address, connected: (socket) => door.arrived(socket) });
  return {
    address: addressText(listener.address),
    close() {
      listener.close();
      return door.close();
    },
  };
}

/** The clients of one place, and those that wait for their turn. */
class Door {
  readonly #service: BlockService;
  readonly #options: QmpListenOptions;
  /** Without a session as long as TLS is being negotiated. */
  readonly #clients = new Map<Socket, Session | undefined>();
  readonly #queue: Socket[] = [];

  constructor(service: BlockService, options: QmpListenOptions) {
    this.#service = service;
    this.#options = options;
  }

  arrived(socket: Socket): void {
    socket.on('error', () => undefined);
    if (!this.#options.single || this.#clients.size === 0) this.#admit(socket);
    else if (this.#queue.length < MAX_QUEUED) this.#queue.push(socket);
    else socket.destroy();
  }

  async close(): Promise<void> {
    for (const socket of this.#queue.splice(0)) socket.destroy();
    const clients = this.#clients;
    const closed = [...clients.keys()].map((socket) => new Promise<void>((resolve) => socket.once('close', resolve)));
    for (const [socket, session] of clients) session ? session.end() : socket.destroy();
    const grace = setTimeout(() => [...clients.keys()].forEach((socket) => void socket.destroy()), LAST_WORDS_MS);
    await Promise.all(closed);
    clearTimeout(grace);
  }

  #admit(socket: Socket): void {
    const { credentials } = this.#options;
    this.#clients.set(socket, undefined);
    socket.once('close', () => this.#left(socket));
    if (credentials) {
      secured(socket, credentials).then(
        (talk) => this.#serve(socket, talk),
        () => socket.destroy(),
      );
    } else this.#serve(socket, socket);
  }

  #serve(socket: Socket, talk: Socket): void {
    if (socket.destroyed) return;
    this.#clients.set(socket, serveSocket(this.#service, talk, this.#options));
    this.#options.connected?.();
  }

  #left(socket: Socket): void {
    this.#clients.delete(socket);
    const next = this.#queue.splice(0, this.#queue.findIndex((each) => !each.destroyed) + 1).at(-1);
    if (next) this.#admit(next);
  }
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
