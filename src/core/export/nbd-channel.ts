/** A socket as two halves: messages come out of a reader, and go into a sender. */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { ByteReader, ReceiveMemory } from '../nbd/index.ts';
import { Sender } from './nbd-sender.ts';
import { readingInto } from './own-reading.ts';
import { payloads } from './payload-memory.ts';

/** Bytes that are read of a client while what it sent before waits for its turn. */
const READ_AHEAD = 64 * 1024;

export class Channel {
  readonly socket: Duplex;
  readonly reader: ByteReader;
  readonly sender: Sender;
  readonly #onData: (chunk: Buffer) => void;
  readonly #onEnd: () => void;
  readonly #onError: (error: Error) => void;
  readonly #onClose: () => void;

  private constructor(socket: Duplex, reader: ByteReader) {
    this.socket = socket;
    this.reader = reader;
    this.sender = new Sender(socket);
    let failure: Error | undefined;
    this.#onData = (chunk) => this.reader.push(chunk);
    this.#onEnd = () => this.reader.end();
    this.#onError = (error) => {
      failure = error;
    };
    this.#onClose = () => {
      this.reader.end(failure);
      this.sender.end(failure);
      this.reader.close();
    };
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
  }

  /** On a socket, or whatever is like one. */
  static on(socket: Duplex): Channel {
    return new Channel(socket, new ByteReader(socket));
  }

  /** On a socket that was accepted, and is not to be put to another use: read into our own memory where possible. */
  static onAccepted(accepted: Socket): Channel {
    let socket = accepted;
    const source = { pause: () => void socket.pause(), resume: () => void socket.resume() };
    const reader = new ByteReader(source, READ_AHEAD, new ReceiveMemory(payloads));
    const own = readingInto(accepted, reader);
    if (own === undefined) return Channel.on(accepted);
    socket = own;
    return new Channel(own, reader);
  }

  /** Let go of the socket, for a protocol that goes on in another way. Nothing more is read here. */
  release(): void {
    const { socket } = this;
    socket.pause();
    socket.off('data', this.#onData);
    socket.off('end', this.#onEnd);
    // Errors stay caught: whoever takes over reports its own.
  }

  /** Send what is left to be sent, then close; resolves when the socket is gone, at the latest after `graceMs`. */
  async end(graceMs: number): Promise<void> {
    const { socket } = this;
    if (socket.destroyed) return;
    this.sender.flush();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => socket.destroy(), graceMs);
      socket.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
      socket.end(() => socket.destroy());
      // What still arrives is of no interest, and must not keep the other side from seeing the end.
      this.reader.discard();
    });
  }

  /** Close at once. */
  destroy(): void {
    this.socket.destroy();
  }
}
