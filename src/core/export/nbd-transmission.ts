/**
 * The transmission phase of one connection: requests in, replies out.
 *
 * Requests are taken as they come and carried out side by side, up to a number of requests and an amount of memory.
 * One that is done at once (data in the page cache) costs no promise: its reply lies in the sender's block, and all
 * replies to what arrived together leave together. While too much is under way, or the client does not take its
 * replies, nothing more is read from it, so that it waits in its own buffers.
 */

import { nextTurn } from '../async/turn.ts';
import { asBlockError, type BlockError } from '../errors/block-error.ts';
import {
  Command,
  CommandFlag,
  ConnectionLost,
  decodeExtendedRequest,
  decodeRequest,
  errorNumber,
  NbdError,
  type NbdErrorNumber,
  type RequestHeader,
  Size,
} from '../nbd/index.ts';
import type { Channel } from './nbd-channel.ts';
import { refusal } from './nbd-check.ts';
import { carryOut } from './nbd-commands.ts';
import { read } from './nbd-reads.ts';
import { putFailure, putSuccess } from './nbd-replies.ts';
import type { Session } from './nbd-session.ts';
import { takePayload, write } from './nbd-writes.ts';
import { payloads } from './payload-memory.ts';

/** What the server tells its connections, and wants to hear from them. */
export interface TransmissionSettings {
  /** Bytes that one connection may have in memory now; it depends on how many there are. */
  memory(): number;
  /** A request failed in the block layer (and not because the client asked for something impossible). */
  failed(command: number, error: BlockError): void;
}

/** Requests under way on one connection. */
const MAX_REQUESTS = 128;
/** Bytes served before other connections get a turn. */
const BYTES_PER_TURN = 2 << 20;

/** Bytes of replies that leave before what arrived together is answered, so that the client has something to do. */
const EARLY = 32 * 1024;

/** Fixed memory that a request takes beside its data, for the limit. */
const OVERHEAD = 256;

export class Transmission {
  readonly channel: Channel;
  readonly session: Session;
  readonly settings: TransmissionSettings;
  #requests = 0;
  #bytes = 0;
  #served = 0;
  #stopping = false;
  /** No more requests are taken: the client has said goodbye, or the server stops. */
  #left = false;
  /** What has to end before the next request can be read. */
  #halt: Promise<void> | undefined;
  #waiting: (() => void)[] = [];
  #fatal: unknown;

  constructor(channel: Channel, session: Session, settings: TransmissionSettings) {
    this.channel = channel;
    this.session = session;
    this.settings = settings;
  }

  /** Serve until the client says goodbye, leaves, or the server stops; what is under way has then ended. */
  async run(): Promise<void> {
    try {
      await this.#loop();
    } catch (error) {
      // A client that leaves without a word between two requests, or a payload on its way when the server was stopped.
      if (!(error instanceof ConnectionLost && (this.#stopping || error.clean))) throw error;
    } finally {
      while (this.#requests > 0) await this.#change();
      this.channel.sender.flush();
    }
    if (this.#fatal !== undefined) throw this.#fatal;
  }

  /** Take no more requests. What is under way is answered; what was not read yet is not. */
  stop(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#left = true;
    // The reading of a next header ends here, as if the client had left.
    this.channel.reader.end();
  }

  /** The reply cannot be completed as it was begun: there is nothing but to hang up. */
  break(cause: unknown): void {
    this.#fatal ??= cause;
    this.channel.destroy();
  }

  async #loop(): Promise<void> {
    const { reader } = this.channel;
    const serve = (): boolean => this.#serve();
    while (!this.#left) {
      if (!this.#serve()) await reader.whenever(this.#headerSize, 'a request', serve);
      await this.#halt;
      this.#halt = undefined;
      if (this.#isFull()) await this.#relief();
      if (this.#served >= BYTES_PER_TURN) await this.#giveWay();
    }
  }

  /** Serve what has arrived; false when that is all, true when something has to be waited for, or nothing will follow. */
  #serve(): boolean {
    const { reader, sender } = this.channel;
    const size = this.#headerSize;
    while (!this.#left) {
      const header = reader.take(size);
      if (header === undefined) {
        sender.flush();
        return false;
      }
      const request = this.session.form === 'extended' ? decodeExtendedRequest(header) : decodeRequest(header);
      if (request.command === Command.DISC) this.#left = true;
      else this.#halt = this.#start(request);
      if (sender.queued >= EARLY) sender.flush();
      if (this.#halt || this.#served >= BYTES_PER_TURN || this.#isFull()) return true;
    }
    return true;
  }

  get #headerSize(): number {
    return this.session.form === 'extended' ? Size.EXTENDED_REQUEST : Size.REQUEST;
  }

  async #giveWay(): Promise<void> {
    this.#served = 0;
    this.channel.sender.flush();
    await nextTurn();
  }

  /** Take the payload and begin; a promise only where the payload has not arrived, not for the request itself. */
  #start(request: RequestHeader): Promise<void> | undefined {
    if (carriesPayload(request, this.session)) return takePayload(this, request);
    const refused = refusal(request, request.length, this.session);
    if (refused) {
      putFailure(this, request, refused.error, refused.message);
      return undefined;
    }
    const { command, length } = request;
    const memory = command === Command.READ ? Math.min(length, payloads.piece) : OVERHEAD;
    this.#served += memory;
    this.follow(request, memory, () => (command === Command.READ ? read(this, request) : carryOut(this, request)));
    return undefined;
  }

  /**
   * Carry out `action`, which replies, and count it while it lasts. What it throws becomes the reply.
   * @param data what was taken out of the reader for it, and must stay as it is
   */
  follow(
    request: RequestHeader,
    memory: number,
    action: () => Promise<void> | void,
    data?: readonly Uint8Array[],
  ): void {
    let done: Promise<void> | void;
    try {
      done = action();
    } catch (error) {
      this.fail(request, error);
      return;
    }
    if (!(done instanceof Promise)) return;
    this.#requests++;
    this.#bytes += memory;
    const letGo = data && this.channel.reader.hold(data);
    const end = (): void => {
      letGo?.();
      this.#requests--;
      this.#bytes -= memory;
      this.channel.sender.flushSoon();
      this.#wake();
    };
    done.then(end, (error: unknown) => {
      this.fail(request, error);
      end();
    });
  }

  /** A write whose data lies there already. */
  write(request: RequestHeader, data: readonly Uint8Array[]): void {
    this.#served += request.length;
    this.follow(request, request.length + OVERHEAD, () => write(this, request, data), data);
  }

  /** Count what was served outside of {@link follow}, so that others get a turn. */
  served(bytes: number): void {
    this.#served += bytes;
  }

  succeed(request: RequestHeader): void {
    putSuccess(this, request);
  }

  fail(request: RequestHeader, thrown: unknown): void {
    if (this.channel.socket.destroyed) return;
    const error = asBlockError(thrown);
    this.settings.failed(request.command, error);
    putFailure(this, request, wireNumber(request, error), error.message);
  }

  #isFull(): boolean {
    const { sender } = this.channel;
    if (this.#requests === 0 && sender.pending === 0) return false;
    const limit = this.settings.memory();
    return this.#requests >= MAX_REQUESTS || this.#inMemory() >= limit || sender.pending >= limit;
  }

  /** Short pieces may hold long blocks, unless nobody holds any. */
  #inMemory(): number {
    return this.#requests === 0 ? 0 : Math.max(this.#bytes, this.channel.reader.memory);
  }

  /** Wait until there is room for one more request. */
  async #relief(): Promise<void> {
    const { sender } = this.channel;
    sender.flush();
    while (this.#isFull()) {
      const limit = this.settings.memory();
      if (sender.pending >= limit) await sender.room(limit);
      else await this.#change();
    }
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    if (this.#waiting.length === 0) return;
    const woken = this.#waiting;
    this.#waiting = [];
    for (const wake of woken) wake();
  }
}

function carriesPayload({ command, flags }: RequestHeader, { form }: Session): boolean {
  return form === 'extended' ? (flags & CommandFlag.PAYLOAD_LEN) !== 0 : command === Command.WRITE;
}

/** ENOTSUP is reserved for fast zeroing, and EOVERFLOW is no error of the block layer ("Error values"). */
function wireNumber({ command, flags }: RequestHeader, { code }: BlockError): NbdErrorNumber {
  const number = errorNumber(code);
  const fast = command === Command.WRITE_ZEROES && (flags & CommandFlag.FAST_ZERO) !== 0;
  return number === NbdError.ENOTSUP && !fast ? NbdError.EINVAL : number;
}
