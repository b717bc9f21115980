/**
 * What goes out on a connection.
 *
 * Small replies are put one behind the other into a block of memory (`place`, `commit`), data of their own follows by
 * reference (`append`), and all of it leaves in one system call (`flush`). A block is used again once the kernel has
 * what was in it. What is not taken yet by a slow client is counted, so that its requests can wait (`room`).
 *
 * A long answer in one piece (`stream`) has the line for itself; others queue up behind it.
 */
import type { Writable } from 'node:stream';
import { ConnectionLost } from '../nbd/index.ts';
import { Flights } from './flights.ts';

/** Bytes of a block: what sixteen small reads need, and some room. */
const BLOCK = 128 * 1024;

class Block {
  readonly bytes = Buffer.allocUnsafeSlow(BLOCK);
  /** Writes under way and places set aside that lie in it. */
  users = 0;
}

/** A place in a block that is filled later. */
export interface Reserved {
  readonly block: Block;
  readonly view: Buffer;
}

export class Sender {
  #block = new Block();
  /** A block that is free, for the next time one is needed beside the current one. */
  #spare: Block | undefined;
  /** Of the current block: where what is not flushed begins, and where it ends. */
  #start = 0;
  #at = 0;
  #parts: Buffer[] = [];
  #releases: (() => void)[] = [];
  /** Bytes that wait for a flush. */
  #queued = 0;
  /** What the kernel has not taken. */
  readonly #flights: Flights;
  /** How often it has taken something. */
  #taken = 0;
  #streaming = false;
  #scheduled = false;
  #ended: ConnectionLost | undefined;
  #waiting: (() => void)[] = [];

  constructor(socket: Writable) {
    this.#flights = new Flights(socket, () => {
      this.#taken++;
      this.#wake();
    });
  }

  /** Bytes on their way that the client has not taken. */
  get pending(): number {
    return this.#queued + this.#flights.bytes;
  }

  /** Undefined unless something waits for the client to take it; while it takes nothing, the number stays. */
  get stuckAt(): number | undefined {
    return this.#flights.bytes > 0 ? this.#taken : undefined;
  }

  /** Bytes that wait for a flush. */
  get queued(): number {
    return this.#queued;
  }

  /** Memory for `length` bytes (far less than a block), at {@link at} of {@link bytes}; they count once {@link commit} says so. */
  place(length: number): void {
    if (this.#at + length > BLOCK) this.#newBlock();
  }

  /** The block of the last {@link place}. */
  get bytes(): Buffer {
    return this.#block.bytes;
  }

  get at(): number {
    return this.#at;
  }

  commit(length: number): void {
    this.#at += length;
    this.#queued += length;
  }

  /** Set the placed bytes aside: they are filled later, and {@link sendReserved} sends them then. */
  reserve(length: number): Reserved {
    const block = this.#block;
    this.#closeSegment();
    const view = block.bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    this.#start = this.#at;
    block.users++;
    return { block, view };
  }

  sendReserved({ block, view }: Reserved): void {
    this.append(view, () => this.#leave(block));
  }

  dropReserved({ block }: Reserved): void {
    this.#leave(block);
  }

  /** Bytes that lie elsewhere; `sent` is called when they are no longer needed. */
  append(bytes: Buffer, sent?: () => void): void {
    this.#closeSegment();
    this.#parts.push(bytes);
    this.#queued += bytes.length;
    if (sent) this.#releases.push(sent);
  }

  /** Flush at the end of this round of events, so that replies that come together leave together. */
  flushSoon(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.flush();
    });
  }

  /** Hand all of it to the kernel. */
  flush(): void {
    if (this.#streaming) return;
    this.#closeSegment();
    if (this.#parts.length === 0) return;
    const parts = this.#parts;
    const releases = this.#releases;
    this.#parts = [];
    this.#releases = [];
    const length = this.#queued;
    this.#queued = 0;
    this.#send(parts, length, releases);
  }

  /** Nothing when fewer than `limit` bytes are on their way, else a promise of the moment that changes. */
  async room(limit: number): Promise<void> {
    while (this.pending >= limit && !this.#ended) await this.#change();
    if (this.#ended) throw this.#ended;
  }

  /** Resolves when something of what is on its way has left, or the connection has ended. */
  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Have the line for oneself: `action` may {@link Line.write}, everything else waits behind it. */
  async stream(action: (line: Line) => Promise<void>): Promise<void> {
    while (this.#streaming) await this.#change();
    if (this.#ended) throw this.#ended;
    this.flush();
    this.#streaming = true;
    try {
      await action({
        write: (parts, sent) => {
          const length = parts.reduce((sum, part) => sum + part.length, 0);
          this.#send(parts, length, sent ? [sent] : []);
        },
        room: async (limit) => {
          while (this.#flights.bytes >= limit && !this.#ended) await this.#change();
          if (this.#ended) throw this.#ended;
        },
      });
    } finally {
      this.#streaming = false;
      this.flush();
      this.#wake();
    }
  }

  /** The connection is gone: whoever waits is told so. */
  end(cause: unknown): void {
    const how = cause instanceof Error ? `failed (${cause.message})` : 'was closed';
    this.#ended ??= new ConnectionLost(
      `the connection ${how} before all replies were sent`,
      cause === undefined,
      cause,
    );
    this.#wake();
  }

  #send(parts: readonly Buffer[], length: number, releases: readonly (() => void)[]): void {
    const block = this.#block;
    block.users++;
    this.#flights.send(parts, length, () => {
      this.#leave(block);
      for (const release of releases) release();
    });
  }

  /** What lies in the block and is not flushed becomes a part. */
  #closeSegment(): void {
    if (this.#at === this.#start) return;
    this.#parts.push(this.#block.bytes.subarray(this.#start, this.#at));
    this.#start = this.#at;
  }

  /** The rest of the block is too short. Its parts leave first, so that each flush has to hold one block only. */
  #newBlock(): void {
    if (this.#streaming) {
      // Cannot leave now: held until it has.
      const block = this.#block;
      this.#closeSegment();
      block.users++;
      this.#releases.push(() => this.#leave(block));
    } else {
      this.flush();
    }
    // Nothing holds the block any more: it begins anew.
    if (this.#block.users > 0) {
      this.#block = this.#spare ?? new Block();
      this.#spare = undefined;
    }
    this.#start = 0;
    this.#at = 0;
  }

  #leave(block: Block): void {
    block.users--;
    if (block.users > 0) return;
    if (block !== this.#block) this.#spare = block;
    if (block !== this.#block || this.#at !== this.#start || this.#parts.length > 0) return;
    this.#start = 0;
    this.#at = 0;
  }

  #wake(): void {
    if (this.#waiting.length === 0) return;
    const woken = this.#waiting;
    this.#waiting = [];
    for (const wake of woken) wake();
  }
}

/** The line of a {@link Sender} while one answer has it for itself. */
export interface Line {
  /** Leaves at once; `sent` is called when the bytes are no longer needed. */
  write(parts: readonly Buffer[], sent?: () => void): void;
  /** Wait until fewer than `limit` bytes are on their way. */
  room(limit: number): Promise<void>;
}
