/**
 * An NBD server: exports by name, places to listen, connections.
 *
 * All of it can change while it runs. A client that misbehaves, stalls or leaves costs its own connection only: it has
 * a share of memory, and whatever it breaks is caught here and told as an event.
 */
import type { Socket } from 'node:net';
import { asBlockError, BlockError } from '../errors/block-error.ts';
import { Limit } from '../nbd/index.ts';
import type { Export } from './export.ts';
import { Connection, type ConnectionSettings } from './nbd-connection.ts';
import { type ListenAddress, Listener } from './nbd-listener.ts';
import { plainSession, type Session } from './nbd-session.ts';
import { payloads } from './payload-memory.ts';
import type { ServerCredentials } from './server-credentials.ts';

export interface ServerSettings {
  /** Clients served at a time; more wait in line. 0 for no limit. */
  readonly shared: number;
  /** Clients connected at a time, with those in line; more are turned away. 0 for no limit. */
  readonly maxConnections?: number;
  /** Milliseconds that a negotiation may take; 0 for no limit. */
  readonly handshakeLimit: number;
  readonly credentials?: ServerCredentials | undefined;
  readonly onEvent?: (event: ServerEvent) => void;
}

export type ServerEvent =
  | { readonly type: 'connected' | 'refused'; readonly client: number }
  | { readonly type: 'serving'; readonly client: number; readonly export: string }
  | { readonly type: 'request-failed'; readonly client: number; readonly command: number; readonly error: BlockError }
  | { readonly type: 'disconnected'; readonly client: number; readonly served: boolean; readonly error?: BlockError };

export class NbdServer {
  readonly #settings: ServerSettings;
  readonly #exports = new Map<string, Export>();
  readonly #listeners = new Set<Listener>();
  /** With what each does until its end. */
  readonly #connections = new Map<Connection, Promise<void>>();
  #waiting: { readonly socket: Socket; readonly id: number }[] = [];
  #lastId = 0;
  #stopping = false;

  constructor(settings: ServerSettings) {
    this.#settings = settings;
  }

  get exports(): ReadonlyMap<string, Export> {
    return this.#exports;
  }

  /** Clients being served, those that still negotiate among them. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Clients that use `target`. */
  users(target: Export): number {
    return [...this.#connections.keys()].filter((connection) => connection.target === target).length;
  }

  addExport(target: Export): void {
    if (this.#exports.has(target.name)) {
      throw new BlockError(`there is already an export '${target.name}'`, { code: 'EEXIST' });
    }
    this.#exports.set(target.name, target);
  }

  /** Offer it no more and close it. One in use is refused, unless `hard` cuts its clients off. */
  async removeExport(name: string, hard = false): Promise<void> {
    const target = this.#exports.get(name);
    if (!target) throw new BlockError(`there is no export '${name}'`, { code: 'ENOENT' });
    const users = [...this.#connections].filter(([connection]) => connection.target === target);
    if (users.length > 0 && !hard) {
      throw new BlockError(`export '${name}' is in use by ${users.length} clients`, { code: 'EBUSY' });
    }
    this.#exports.delete(name);
    for (const [connection] of users) connection.stop();
    await target.backend.ending(() => Promise.all(users.map(([, ended]) => ended)));
    await target.close();
  }

  /** Take clients at `address`; the answer has the port that was chosen. */
  async listen(address: ListenAddress, backlog?: number): Promise<ListenAddress> {
    const listener = await Listener.open({
      address,
      ...(backlog === undefined ? {} : { backlog }),
      connected: (socket) => this.#arrive(socket),
    });
    this.#listeners.add(listener);
    return listener.address;
  }

  /**
   * Serve `target` on a socket whose other end knows it already: there is no negotiation, and no waiting in line.
   * Resolves at its end, whatever that is; it is told as an event.
   */
  attach(target: Export, socket: Socket, minimumBlock: number): Promise<void> {
    socket.on('error', () => undefined);
    // Nobody has told it what the image takes at a time; what is longer is split.
    const session = { ...plainSession(target, minimumBlock), maximumPayload: Limit.PAYLOAD };
    return this.#serve(socket, ++this.#lastId, session);
  }

  /** Take no more clients, finish the requests under way, close the connections, then the exports. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const listener of this.#listeners) listener.close();
    this.#listeners.clear();
    for (const { socket } of this.#waiting) socket.destroy();
    this.#waiting = [];
    const ends = [...this.#connections.values()];
    for (const connection of this.#connections.keys()) connection.stop();
    let end = (): Promise<unknown> => Promise.all(ends);
    for (const { backend } of this.#exports.values()) {
      const inner = end;
      end = () => backend.ending(inner);
    }
    await end();
    const results = await Promise.allSettled([...this.#exports.values()].map((target) => target.close()));
    this.#exports.clear();
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  #arrive(socket: Socket): void {
    const id = ++this.#lastId;
    const { shared, maxConnections = 0 } = this.#settings;
    socket.on('error', () => undefined);
    const all = this.#connections.size + this.#waiting.length;
    if (this.#stopping || (maxConnections > 0 && all >= maxConnections)) {
      socket.destroy();
      this.#tell({ type: 'refused', client: id });
      return;
    }
    if (shared === 0 || this.#connections.size < shared) void this.#serve(socket, id);
    else this.#waiting.push({ socket, id });
  }

  #serve(socket: Socket, id: number, session?: Session): Promise<void> {
    this.#tell({ type: 'connected', client: id });
    let served = false;
    const settings: ConnectionSettings = {
      offer: {
        exports: this.#exports,
        credentials: this.#settings.credentials,
        multiConn: this.#settings.shared !== 1,
      },
      handshakeLimit: this.#settings.handshakeLimit,
      session,
      memory: () => payloads.share(this.#connections.size),
      failed: (command, error) => this.#tell({ type: 'request-failed', client: id, command, error }),
      serving: ({ target }) => {
        served = true;
        this.#tell({ type: 'serving', client: id, export: target?.name ?? '' });
      },
    };
    const connection = new Connection(id, socket, settings);
    const ended = (error?: unknown): void => {
      this.#connections.delete(connection);
      if (this.#connections.size === 0) payloads.trim();
      const why = error === undefined ? {} : { error: asBlockError(error) };
      this.#tell({ type: 'disconnected', client: id, served, ...why });
      this.#admit();
    };
    const end = connection.run().then(() => ended(), ended);
    this.#connections.set(connection, end);
    socket.resume();
    return end;
  }

  /** Let those in line come in. One that has left meanwhile is noticed as soon as something is read from it. */
  #admit(): void {
    const { shared } = this.#settings;
    while (!this.#stopping && this.#waiting.length > 0 && (shared === 0 || this.#connections.size < shared)) {
      const next = this.#waiting.shift();
      if (next && !next.socket.destroyed) void this.#serve(next.socket, next.id);
    }
  }

  #tell(event: ServerEvent): void {
    this.#settings.onEvent?.(event);
  }
}
