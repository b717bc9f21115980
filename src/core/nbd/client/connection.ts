/**
 * One connection in its transmission phase: requests go out, gathered within a turn of the event loop, and replies
 * come back in any order.
 *
 * A cookie is a slot and a count of how often the slot was used, so that a reply to a request that has its answer
 * already is seen for what it is. When the connection ends, all that waits is handed to the owner, who sends it again
 * elsewhere or gives it up; nothing is answered after that.
 */
import { asBlockError, type BlockError } from '../../errors/block-error.ts';
import { Command } from '../constants.ts';
import type { Negotiated } from './negotiation.ts';
import { ReplyParser } from './reply-parser.ts';
import { type ClientRequest, encodeRequest, headerSize, payloadOf } from './requests.ts';
import type { Transport } from './transport.ts';

/** Requests under way at the same time, and bytes of their payloads: servers take up to 16, the others are at hand. */
const MAX_REQUESTS = 64;
const MAX_BYTES = 64 << 20;
/** Bytes that wait to be sent before no more are added. */
const MAX_UNSENT = 4 << 20;
/** Headers and short payloads of one turn go together into buffers of this size. */
const BATCH_SIZE = 32 * 1024;
/** Payloads up to this long are copied there: cheaper than a piece of their own. */
const MAX_COPIED = 4096;

export interface ConnectionOwner {
  /** There is room for more requests. */
  roomFor(connection: Connection): void;
  /** The connection has ended; `pending` are the requests without an answer. */
  lost(connection: Connection, error: BlockError, pending: readonly ClientRequest[]): void;
  /** The server reported an error; true when the owner takes care of the request, as with one to be sent again. */
  refused(connection: Connection, request: ClientRequest, error: BlockError): boolean;
}

export class Connection {
  readonly negotiated: Negotiated;
  readonly #transport: Transport;
  readonly #owner: ConnectionOwner;
  readonly #parser: ReplyParser;
  readonly #extended: boolean;
  readonly #slots: (ClientRequest | undefined)[] = [];
  readonly #uses: number[] = [];
  readonly #free: number[] = [];
  #requests = 0;
  #bytes = 0;
  #batch: Buffer | undefined;
  /** Bytes of the batch in use, and those among them that are in `#parts` already. */
  #used = 0;
  #taken = 0;
  #parts: Uint8Array[] = [];
  #scheduled = false;
  #ended = false;

  constructor(transport: Transport, negotiated: Negotiated, owner: ConnectionOwner) {
    this.#transport = transport;
    this.#owner = owner;
    this.negotiated = negotiated;
    this.#extended = negotiated.mode === 'extended';
    this.#parser = new ReplyParser(negotiated.mode, negotiated.contextId, {
      find: (high, low) => (this.#uses[low] === high ? this.#slots[low] : undefined),
      finished: (request, low, error) => this.#finished(request, low, error),
    });
    transport.deliverTo({
      data: (chunk) => this.#received(chunk),
      end: (error) => this.#lose(asBlockError(error)),
      drain: () => this.#offerRoom(),
    });
  }

  /** Requests that wait for their replies. */
  get inFlight(): number {
    return this.#requests;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Another request may be submitted. */
  get hasRoom(): boolean {
    return (
      !this.#ended && this.#requests < MAX_REQUESTS && this.#bytes < MAX_BYTES && this.#transport.unsent < MAX_UNSENT
    );
  }

  submit(request: ClientRequest): void {
    request.progress = undefined;
    request.error = undefined;
    request.errors = 0;
    request.status = undefined;
    const low = this.#free.pop() ?? this.#slots.length;
    const high = ((this.#uses[low] ?? 0) + 1) >>> 0;
    this.#uses[low] = high;
    this.#slots[low] = request;
    this.#requests++;
    this.#bytes += payloadOf(request);
    this.#putHeader(request, high, low);
    if (request.command === Command.WRITE) for (const buffer of request.buffers) this.#putData(buffer);
    if (this.#scheduled) return;
    this.#scheduled = true;
    process.nextTick(() => this.#send());
  }

  /** Say goodbye and close; whoever still waits is told `reason`. */
  async close(reason: BlockError): Promise<void> {
    if (this.#ended) return;
    this.#send();
    const goodbye = Buffer.alloc(headerSize(this.#extended));
    encodeRequest(
      goodbye,
      0,
      { command: Command.DISC, flags: 0, offset: 0, length: 0 },
      { high: 0, low: 0, extended: this.#extended },
    );
    this.#transport.write(goodbye);
    this.#ended = true;
    for (const request of this.#takePending()) request.done(reason);
    await this.#transport.close();
  }

  /** Drop the connection; what waits goes to the owner. */
  abandon(error: BlockError): void {
    this.#lose(error);
  }

  #putHeader(request: ClientRequest, high: number, low: number): void {
    const at = this.#reserve(headerSize(this.#extended));
    if (this.#batch) encodeRequest(this.#batch, at, request, { high, low, extended: this.#extended });
  }

  #putData(data: Uint8Array): void {
    if (data.length <= MAX_COPIED) {
      const at = this.#reserve(data.length);
      this.#batch?.set(data, at);
      return;
    }
    this.#takeBatch();
    this.#parts.push(data);
  }

  /** Room for `size` bytes in the batch; returns where. */
  #reserve(size: number): number {
    if (!this.#batch || this.#used + size > this.#batch.length) {
      this.#takeBatch();
      this.#batch = Buffer.allocUnsafeSlow(BATCH_SIZE);
      this.#used = 0;
      this.#taken = 0;
    }
    const at = this.#used;
    this.#used += size;
    return at;
  }

  /** What the batch holds so far comes before what follows. */
  #takeBatch(): void {
    if (!this.#batch || this.#used === this.#taken) return;
    this.#parts.push(this.#batch.subarray(this.#taken, this.#used));
    this.#taken = this.#used;
  }

  #send(): void {
    this.#scheduled = false;
    this.#takeBatch();
    const parts = this.#parts;
    if (parts.length === 0 || this.#ended) return;
    this.#parts = [];
    this.#transport.write(...parts);
    // The batch is free again once the system has taken it; else it goes on behind what waits.
    if (this.#transport.unsent === 0) {
      this.#used = 0;
      this.#taken = 0;
    }
  }

  #received(chunk: Uint8Array): void {
    if (this.#ended) return;
    try {
      this.#parser.feed(chunk);
    } catch (error) {
      this.#lose(asBlockError(error));
      return;
    }
    this.#offerRoom();
  }

  #offerRoom(): void {
    if (this.hasRoom) this.#owner.roomFor(this);
  }

  #finished(request: ClientRequest, low: number, error: BlockError | undefined): void {
    this.#slots[low] = undefined;
    this.#free.push(low);
    this.#requests--;
    this.#bytes -= payloadOf(request);
    if (error && this.#owner.refused(this, request, error)) return;
    request.done(error);
  }

  #lose(error: BlockError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#transport.destroy();
    this.#parts = [];
    this.#owner.lost(this, error, this.#takePending());
  }

  #takePending(): readonly ClientRequest[] {
    const pending = this.#slots.filter((request) => request !== undefined);
    this.#slots.length = 0;
    this.#free.length = 0;
    this.#requests = 0;
    this.#bytes = 0;
    return pending;
  }
}
