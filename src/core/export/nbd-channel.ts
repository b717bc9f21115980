/** A socket as two halves: messages come out of a reader, and go into a sender. */
import type { Duplex } from 'node:stream';
import { ByteReader } from '../nbd/index.ts';
import { Sender } from './nbd-sender.ts';

export class Channel {
  readonly socket: Duplex;
  readonly reader: ByteReader;
  readonly sender: Sender;
  readonly #onData: (chunk: Buffer) => void;
  readonly #onEnd: () => void;
  readonly #onError: (error: Error) => void;
  readonly #onClose: () => void;

  constructor(socket: Duplex) {
    this.socket = socket;
    this.reader = new ByteReader(socket);
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
    };
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
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
