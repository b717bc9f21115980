/**
 * All connections to one export, and the requests that wait for one of them.
 *
 * ```
 * up ──the last connection is lost──→ away ──connected again──→ up
 *  │                                   └──the delay is over──→ absent: the next request tries once more
 *  └──lost without a delay, or the server breaks the protocol──→ dead
 * ```
 *
 * A request that was under way on a lost connection is sent again, whole: reading, writing, zeroing and trimming the
 * same again has the same result. That is done by itself only where another connection of a multi-conn server is
 * there, or where the user gave a delay; else what the server had not yet made stable could be lost unnoticed.
 *
 * Further connections are opened when requests pile up, one by one and in the background, so that whoever only looks
 * at an image takes one place at the server.
 */
import { asBlockError, BlockError, withContext } from '../../core/errors/block-error.ts';
import {
  type ClientRequest,
  Connection,
  type ConnectionOwner,
  type ConnectSettings,
  connectToExport,
  ExportFlag,
  type Negotiated,
  serverName,
} from '../../core/nbd/index.ts';
import { Backlog } from './backlog.ts';
import { keepTrying } from './keep-trying.ts';

/** Requests under way on each connection before another one is opened. */
const GROW_AT = 4;
/** A request that was sent so often takes every server down. */
const MAX_RESENDS = 32;

export interface SessionSettings extends Omit<ConnectSettings, 'signal'> {
  /** Milliseconds to wait for a server that has gone; 0 to fail at once. */
  readonly reconnectDelay: number;
  /** Milliseconds to keep trying at first. */
  readonly openTimeout: number;
  /** Most connections at the same time. */
  readonly connections: number;
}

export class Session implements ConnectionOwner {
  /** What the server said of the export first; later connections have to agree. */
  readonly negotiated: Negotiated;
  readonly #settings: SessionSettings;
  readonly #stop: AbortController;
  readonly #connections: Connection[] = [];
  readonly #backlog = new Backlog();
  readonly #resends = new WeakMap<ClientRequest, number>();
  #dead: BlockError | undefined;
  #reconnecting: Promise<void> | undefined;
  #growing: Promise<void> | undefined;
  #most: number;

  private constructor(settings: SessionSettings, negotiated: Negotiated, stop: AbortController) {
    this.#settings = settings;
    this.#stop = stop;
    this.negotiated = negotiated;
    this.#most = (negotiated.flags & ExportFlag.CAN_MULTI_CONN) === 0 ? 1 : settings.connections;
  }

  /** @param signal gives up waiting for the server. */
  static async open(settings: SessionSettings, signal?: AbortSignal): Promise<Session> {
    const stop = new AbortController();
    const patience = signal ?? stop.signal;
    const { transport, negotiated } = await keepTrying(settings.openTimeout, patience, () =>
      connectToExport({ ...settings, signal: patience }),
    );
    const session = new Session(settings, negotiated, stop);
    session.#connections.push(new Connection(transport, negotiated, session));
    return session;
  }

  /** Send as soon as there is room; `done` of the request is called in any case. */
  send(request: ClientRequest): void {
    const connection = this.#dead || this.#backlog.length > 0 ? undefined : this.#roomiest();
    if (connection) {
      connection.submit(request);
      if (this.#most > 1 && connection.inFlight > GROW_AT) this.#grow();
      return;
    }
    if (this.#dead) {
      request.done(this.#dead);
      return;
    }
    this.#backlog.push(request);
    if (this.#connections.length === 0) this.#reconnect(0);
  }

  /** Say goodbye on all connections; what still waits fails. */
  async close(): Promise<void> {
    const reason = new BlockError(`the connection to ${serverName(this.#settings.address)} is closed`, { code: 'EIO' });
    this.#dead ??= reason;
    this.#stop.abort();
    await Promise.all([this.#reconnecting, this.#growing]);
    await Promise.all(this.#connections.splice(0).map((connection) => connection.close(reason)));
    this.#failAll(this.#dead);
  }

  roomFor(connection: Connection): void {
    while (connection.hasRoom) {
      const request = this.#backlog.shift();
      if (!request) return;
      connection.submit(request);
    }
  }

  lost(connection: Connection, error: BlockError, pending: readonly ClientRequest[]): void {
    const at = this.#connections.indexOf(connection);
    if (at >= 0) this.#connections.splice(at, 1);
    if (error.code === 'EPROTO' || (this.#connections.length === 0 && this.#settings.reconnectDelay === 0)) {
      this.#die(error, pending);
      return;
    }
    if (this.#dead) {
      for (const request of pending) request.done(this.#dead);
      return;
    }
    // A place that was lost is not asked for again: the server may have had a reason.
    if (this.#connections.length > 0) this.#most = this.#connections.length;
    for (const request of pending) this.#sendAgain(request, error);
    for (const other of this.#connections) this.roomFor(other);
    if (this.#connections.length === 0) this.#reconnect(this.#settings.reconnectDelay, error);
  }

  /** A server that is shutting down is left, and comes back or not. */
  refused(connection: Connection, request: ClientRequest, error: BlockError): boolean {
    if (error.code !== 'ESHUTDOWN') return false;
    if (this.#settings.reconnectDelay === 0 && this.#connections.length <= 1) return false;
    this.#sendAgain(request, error);
    // Not now: the connection is in the middle of a reply.
    process.nextTick(() => connection.abandon(error));
    return true;
  }

  #roomiest(): Connection | undefined {
    let best: Connection | undefined;
    for (const connection of this.#connections) {
      if (connection.hasRoom && (!best || connection.inFlight < best.inFlight)) best = connection;
    }
    return best;
  }

  #sendAgain(request: ClientRequest, error: BlockError): void {
    const count = (this.#resends.get(request) ?? 0) + 1;
    this.#resends.set(request, count);
    if (count > MAX_RESENDS) request.done(this.#gone(error));
    else this.#backlog.putBack(request);
  }

  #grow(): void {
    if (this.#growing || this.#connections.length >= this.#most || this.#reconnecting) return;
    this.#growing = this.#connectAgain()
      .catch(() => {
        this.#most = this.#connections.length;
      })
      .finally(() => {
        this.#growing = undefined;
      });
  }

  /** Another connection that agrees with the first. */
  async #connectAgain(): Promise<void> {
    const { transport, negotiated } = await connectToExport({ ...this.#settings, signal: this.#stop.signal });
    const difference = this.#dead ?? differenceBetween(this.negotiated, negotiated);
    if (difference) {
      transport.destroy();
      throw withContext(serverName(this.#settings.address), difference);
    }
    const connection = new Connection(transport, negotiated, this);
    if (connection.ended) return;
    this.#connections.push(connection);
    this.roomFor(connection);
  }

  /** Try for `delay` milliseconds, at least once. What waits is sent when that succeeds, and fails when not. */
  #reconnect(delay: number, reason?: BlockError): void {
    this.#reconnecting ??= this.#tryAgain(delay, reason).finally(() => {
      this.#reconnecting = undefined;
    });
  }

  async #tryAgain(delay: number, reason: BlockError | undefined): Promise<void> {
    try {
      await keepTrying(delay, this.#stop.signal, () => this.#connectAgain());
    } catch (error) {
      const last = asBlockError(error);
      if (last.code === 'EPROTO') this.#die(last, []);
      else if (!this.#dead) this.#failAll(this.#absent(delay, reason, last));
    }
  }

  #die(error: BlockError, pending: readonly ClientRequest[]): void {
    this.#dead ??= this.#gone(error);
    for (const connection of this.#connections.splice(0)) connection.abandon(this.#dead);
    for (const request of pending) request.done(this.#dead);
    this.#failAll(this.#dead);
  }

  #failAll(error: BlockError): void {
    for (let request = this.#backlog.shift(); request; request = this.#backlog.shift()) request.done(error);
  }

  /** To the user an I/O error, whatever became of the connection. */
  #gone(error: BlockError): BlockError {
    const delay = this.#settings.reconnectDelay === 0 && error.code !== 'EPROTO';
    return new BlockError(`the connection to ${serverName(this.#settings.address)} is lost: ${error.message}`, {
      code: 'EIO',
      ...(delay ? { hint: 'reconnect-delay=SECONDS waits for a server to come back' } : {}),
      cause: error,
    });
  }

  #absent(delay: number, reason: BlockError | undefined, last: BlockError): BlockError {
    const lost = reason ? ` since the connection was lost (${reason.message})` : '';
    const name = serverName(this.#settings.address);
    return new BlockError(`${name} has been away for ${delay / 1000} s${lost}: ${last.message}`, {
      code: 'EIO',
      cause: last,
    });
  }
}

/** Flags whose absence would make requests fail that the first connection allowed. */
const NEEDED =
  ExportFlag.SEND_FLUSH |
  ExportFlag.SEND_FUA |
  ExportFlag.SEND_TRIM |
  ExportFlag.SEND_WRITE_ZEROES |
  ExportFlag.SEND_FAST_ZERO;

/** Why a later connection cannot take the place of the first; such a server is not the one it was. */
export function differenceBetween(first: Negotiated, now: Negotiated): BlockError | undefined {
  const what = different(first, now);
  return what === undefined ? undefined : new BlockError(`the export is not what it was: ${what}`, { code: 'EPROTO' });
}

function different(first: Negotiated, now: Negotiated): string | undefined {
  if (now.size !== first.size) return `it has ${now.size} bytes instead of ${first.size}`;
  if ((now.flags & ExportFlag.READ_ONLY) > (first.flags & ExportFlag.READ_ONLY)) return 'it is read-only now';
  const missing = first.flags & NEEDED & ~now.flags;
  if (missing !== 0) return `transmission flags 0x${missing.toString(16)} are missing now`;
  if (first.contextId !== undefined && now.contextId === undefined) return 'it tells no block status any more';
  if (first.mode === 'extended' && now.mode !== 'extended') return 'there are no extended headers any more';
  const { minimum = 1, maximum = Number.MAX_SAFE_INTEGER } = first.blockSizes ?? {};
  const sizes = now.blockSizes ?? { minimum: 1, maximum: Number.MAX_SAFE_INTEGER };
  if (sizes.minimum > minimum) return `its minimum block size is ${sizes.minimum} instead of ${minimum}`;
  if (sizes.maximum < maximum && sizes.maximum < 32 << 20) return `its maximum payload is ${sizes.maximum} bytes now`;
  return undefined;
}
