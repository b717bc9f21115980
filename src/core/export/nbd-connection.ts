/**
 * One client: negotiation, transmission, the end. Whatever goes wrong here ends this connection and nothing else.
 *
 *     negotiating ──► serving ──► closed
 *          └────────────────────────^
 */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { BlockError } from '../errors/block-error.ts';
import { setUnixSendBuffer } from '../host/index.ts';
import { SEND_BUFFER } from '../nbd/index.ts';
import type { Export } from './export.ts';
import { Channel } from './nbd-channel.ts';
import { negotiate } from './nbd-handshake.ts';
import type { Negotiation, Offer } from './nbd-negotiation.ts';
import type { Session } from './nbd-session.ts';
import { Transmission, type TransmissionSettings } from './nbd-transmission.ts';

export interface ConnectionSettings extends TransmissionSettings {
  readonly offer: Offer;
  /** Milliseconds that the negotiation may take; 0 for no limit. */
  readonly handshakeLimit: number;
  /** Where it was agreed on in another way: there is no negotiation then. */
  readonly session?: Session | undefined;
  /** Negotiation has ended with this session. */
  serving(connection: Connection): void;
}

/** How long a client may take to fetch its last replies, in milliseconds. */
const GRACE_MS = 5000;

export class Connection {
  readonly id: number;
  readonly #settings: ConnectionSettings;
  /** Below TLS, where there is TLS. */
  readonly #plain: Duplex;
  #channel: Channel;
  #transmission: Transmission | undefined;
  #target: Export | undefined;
  #stopped: unknown;
  #watch: NodeJS.Timeout | undefined;

  constructor(id: number, socket: Socket, settings: ConnectionSettings) {
    this.id = id;
    this.#settings = settings;
    setUnixSendBuffer(socket, SEND_BUFFER);
    // Of a socket that may be put under TLS, the reading is TLS's.
    this.#channel = settings.offer.credentials && !settings.session ? Channel.on(socket) : Channel.onAccepted(socket);
    this.#plain = this.#channel.socket;
  }

  /** The export that it has chosen. */
  get target(): Export | undefined {
    return this.#target;
  }

  /** Serve the client until it is gone. Throws what was wrong with it, after the connection is closed. */
  async run(): Promise<void> {
    try {
      const agreed = this.#settings.session;
      const { session, channel } = agreed ? { session: agreed, channel: this.#channel } : await this.#negotiate();
      this.#channel = channel;
      if (session && this.#stopped === undefined) {
        this.#target = session.target;
        this.#settings.serving(this);
        this.#transmission = new Transmission(channel, session, this.#settings);
        await this.#transmission.run();
      }
      await channel.end(GRACE_MS);
    } catch (error) {
      // What it asked for before was answered: the replies may leave.
      await this.#channel.end(this.#transmission ? GRACE_MS : 0);
      throw this.#stopped ?? error;
    } finally {
      clearInterval(this.#watch);
      this.#channel.destroy();
      this.#plain.destroy();
    }
  }

  /** Finish what is under way, then close. One that is still negotiating is cut off. */
  stop(): void {
    if (this.#transmission) {
      this.#transmission.stop();
      this.#cutWhenStuck();
    } else this.cut(new BlockError('the server is being stopped', { code: 'ESHUTDOWN' }));
  }

  /** A client that takes none of its replies for so long does not keep the server from ending. */
  #cutWhenStuck(): void {
    const { sender } = this.#channel;
    let before = sender.stuckAt;
    this.#watch ??= setInterval(() => {
      const now = sender.stuckAt;
      if (now !== undefined && now === before) {
        this.cut(new BlockError('the server is being stopped, and the client takes no replies', { code: 'ESHUTDOWN' }));
      }
      before = now;
    }, GRACE_MS);
  }

  /** Close at once; `reason` is what {@link run} throws. */
  cut(reason: BlockError): void {
    this.#stopped ??= reason;
    this.#channel.destroy();
    this.#plain.destroy();
  }

  async #negotiate(): Promise<Negotiation> {
    const { handshakeLimit, offer } = this.#settings;
    if (handshakeLimit === 0) return negotiate(this.#channel, offer);
    const seconds = handshakeLimit / 1000;
    const timer = setTimeout(() => {
      this.cut(new BlockError(`the handshake took longer than the limit of ${seconds} s`, { code: 'ETIMEDOUT' }));
    }, handshakeLimit);
    try {
      return await negotiate(this.#channel, offer);
    } finally {
      clearTimeout(timer);
    }
  }
}
