/**
 * The way to a server: a socket of either kind, with or without TLS on it.
 *
 * During the negotiation what arrives goes through a {@link ByteReader}; afterwards each chunk is handed to the
 * parser of replies as it comes, out of one buffer that is used again and again, so that reading costs no allocation.
 */
import { connect as connectSocket, type NetConnectOpts, type Socket } from 'node:net';
import type { TlsClient } from '../../crypto/tls-credentials.ts';
import { asBlockError, BlockError } from '../../errors/block-error.ts';
import { setUnixSendBuffer } from '../../host/index.ts';
import { ByteReader, ConnectionLost } from '../byte-reader.ts';
import { SEND_BUFFER } from '../constants.ts';
import { describeAddress, inetConnectOptions, type ServerAddress } from '../socket-address.ts';

/** Bytes read from the socket at a time. */
const READ_SIZE = 256 * 1024;

export interface ConnectOptions {
  /** The connection will be upgraded to TLS, which needs a socket of the plain kind of reading. */
  readonly willUpgrade: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** What takes over from the reader when the transmission begins. */
export interface TransmissionSink {
  /** A chunk that is only valid during the call. */
  data(chunk: Uint8Array): void;
  /** Nothing more will come. */
  end(error: Error): void;
  /** What was written has left. */
  drain(): void;
}

export class Transport {
  readonly reader: ByteReader;
  #socket: Socket;
  #sink: TransmissionSink | undefined;
  #failure: Error | undefined;
  #ended = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.reader = new ByteReader({ pause: () => this.#socket.pause(), resume: () => this.#socket.resume() });
  }

  /** @throws BlockError with the system's reason when nobody answers at `address`. */
  static async connect(address: ServerAddress, options: ConnectOptions): Promise<Transport> {
    let transport: Transport | undefined;
    const onread = {
      // No Buffer: parts of an ordinary array are made faster.
      buffer: new Uint8Array(READ_SIZE),
      callback: (length: number, buffer: Uint8Array): boolean => {
        transport?.arrived(buffer.subarray(0, length), true);
        return true;
      },
    };
    const { signal } = options;
    const target = {
      ...socketOptions(address),
      ...(options.willUpgrade ? {} : { onread }),
      ...(signal ? { signal } : {}),
    } as NetConnectOpts;
    if (signal?.aborted) throw new BlockError('connecting was given up', { code: 'ECANCELED' });
    const socket = connectSocket(target);
    transport = new Transport(socket);
    try {
      await connected(socket);
    } catch (error) {
      socket.destroy();
      throw connectError(address, error);
    }
    if (address.type === 'inet') socket.setNoDelay(true);
    else setUnixSendBuffer(socket, SEND_BUFFER);
    transport.#listen(options.willUpgrade);
    return transport;
  }

  /** Of a socket that is connected already, for tests. */
  static over(socket: Socket): Transport {
    const transport = new Transport(socket);
    transport.#listen(true);
    return transport;
  }

  /** Bytes that wait to be sent. */
  get unsent(): number {
    return this.#socket.writableLength;
  }

  get closed(): boolean {
    return this.#ended;
  }

  /** Send now, or as soon as the other end takes it. */
  write(...chunks: readonly Uint8Array[]): void {
    const [only] = chunks;
    if (chunks.length === 1 && only) {
      this.#socket.write(only);
      return;
    }
    this.#socket.cork();
    for (const chunk of chunks) this.#socket.write(chunk);
    this.#socket.uncork();
  }

  /**
   * Put TLS on the connection. What has come in plain text and is not read yet would be taken for something the
   * server said under TLS: there must be none.
   */
  async upgrade(tls: TlsClient, hostname: string | undefined): Promise<void> {
    const plain = this.#socket;
    if (this.reader.buffered > 0) {
      throw new BlockError(`the server sent ${this.reader.buffered} bytes in plain text after it agreed to TLS`, {
        code: 'EPROTO',
      });
    }
    plain.removeAllListeners('data');
    plain.removeAllListeners('end');
    plain.pause();
    this.#socket = await tls.upgrade(plain, hostname);
    this.#listen(true);
  }

  /** The negotiation is over: everything from now on, and what has come already, goes to `sink`. */
  deliverTo(sink: TransmissionSink): void {
    this.#sink = sink;
    for (let rest = this.reader.takeSome(READ_SIZE); rest; rest = this.reader.takeSome(READ_SIZE)) sink.data(rest);
    if (this.#ended) sink.end(this.#lost());
  }

  /** Say goodbye with what is sent already; resolves when the connection is closed. */
  close(): Promise<void> {
    const socket = this.#socket;
    if (socket.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      const giveUp = setTimeout(() => socket.destroy(), CLOSE_MS);
      socket.once('close', () => {
        clearTimeout(giveUp);
        resolve();
      });
      socket.end();
    });
  }

  /** Drop the connection as it is. */
  destroy(): void {
    this.#socket.destroy();
  }

  arrived(chunk: Uint8Array, borrowed: boolean): void {
    if (this.#sink) this.#sink.data(chunk);
    else this.reader.push(borrowed ? new Uint8Array(chunk) : chunk);
  }

  #listen(byEvent: boolean): void {
    const socket = this.#socket;
    if (byEvent) socket.on('data', (chunk: Buffer) => this.arrived(chunk, false));
    socket.on('drain', () => this.#sink?.drain());
    socket.on('error', (error) => {
      this.#failure ??= error;
    });
    socket.on('end', () => this.#finish());
    socket.on('close', () => this.#finish());
    if (socket.destroyed) this.#finish();
  }

  #finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.reader.end(this.#failure && asBlockError(this.#failure));
    this.#sink?.end(this.#lost());
  }

  #lost(): Error {
    if (!this.#failure) return new ConnectionLost('the server closed the connection', false);
    const { message } = asBlockError(this.#failure);
    return new ConnectionLost(`the connection failed: ${message}`, false, this.#failure);
  }
}

/** Time the other end has for closing its side, in milliseconds. */
const CLOSE_MS = 5000;

function socketOptions(address: ServerAddress): Record<string, unknown> {
  if (address.type === 'unix') return { path: `${address.abstract ? '\0' : ''}${address.path}` };
  return inetConnectOptions(address);
}

function connected(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    const succeed = (): void => {
      socket.off('error', fail);
      resolve();
    };
    const fail = (error: Error): void => {
      socket.off('connect', succeed);
      // A second error of the same attempt has nobody to hear it.
      socket.on('error', () => undefined);
      reject(error);
    };
    socket.once('connect', succeed);
    socket.once('error', fail);
  });
}

function connectError(address: ServerAddress, error: unknown): BlockError {
  const name = describeAddress(address);
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  if (first instanceof Error && first.name === 'AbortError') {
    return new BlockError(`connecting to '${name}' took too long`, { code: 'ETIMEDOUT', cause: error });
  }
  if (first instanceof Error && 'code' in first && (first.code === 'ENOTFOUND' || first.code === 'EAI_AGAIN')) {
    const host = address.type === 'inet' ? address.host : name;
    return new BlockError(`Failed to connect to '${name}': there is no host '${host}'`, {
      code: 'ENOENT',
      cause: error,
    });
  }
  const { message, code } = asBlockError(first);
  return new BlockError(`Failed to connect to '${name}': ${message}`, { code, cause: error });
}
