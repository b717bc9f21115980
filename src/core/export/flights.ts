/**
 * Writes to a socket, and the memory they hold until the kernel has what they wrote.
 *
 * Mostly the kernel takes all of it at once, which shows in `writableLength`; the memory is then free before `send`
 * returns, and the next replies go into the same, warm one. Else the stream tells when a write has left, in order.
 */
import type { Writable } from 'node:stream';

interface Flight {
  readonly length: number;
  readonly landed: () => void;
}

export class Flights {
  readonly #socket: Writable;
  /** Those that the kernel has not taken, in order. */
  readonly #under: Flight[] = [];
  /** Writes begun, and those of them that are over: by the look of it, and as told by the stream. */
  #begun = 0;
  #over = 0;
  #told = 0;
  #bytes = 0;
  readonly #changed: () => void;
  readonly #written = (): void => {
    this.#told++;
    if (this.#told > this.#over) this.#land();
  };

  /** @param changed called when bytes have left later than at once */
  constructor(socket: Writable, changed: () => void) {
    this.#socket = socket;
    this.#changed = changed;
  }

  /** Bytes that the kernel has not taken. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Send `parts`, `length` bytes in all, in one system call where possible; `landed` is called when they have left. */
  send(parts: readonly Buffer[], length: number, landed: () => void): void {
    const socket = this.#socket;
    const last = parts.length - 1;
    const [only] = parts;
    if (only === undefined) {
      landed();
      return;
    }
    this.#begun++;
    this.#bytes += length;
    this.#under.push({ length, landed });
    // Always the same callback: the stream then tells of several writes in one go.
    if (last === 0) {
      socket.write(only, this.#written);
    } else {
      socket.cork();
      for (const [index, part] of parts.entries()) {
        if (index < last) socket.write(part);
        else socket.write(part, this.#written);
      }
      socket.uncork();
    }
    // A socket that is destroyed takes nothing, and tells so by the callback.
    if (socket.writableLength === 0 && !socket.destroyed) while (this.#over < this.#begun) this.#land();
  }

  #land(): void {
    const flight = this.#under.shift();
    this.#over++;
    if (flight === undefined) return;
    this.#bytes -= flight.length;
    flight.landed();
    this.#changed();
  }
}
