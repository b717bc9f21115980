/**
 * One client: a greeting, the negotiation, then commands one after the other, each answered in order, and events between
 * the answers.
 *
 *     greeting ─▶ negotiating ──qmp_capabilities──▶ commands ─▶ ended
 *
 * What a client sends while commands wait is read no further once {@link MAX_WAITING} of them do; a client that does not
 * read what it is sent is cut off when {@link MAX_UNREAD} bytes wait for it, for they would only grow.
 */
import { asBlockError, type BlockError } from '../errors/block-error.ts';
import { isRecord } from '../options/field.ts';
import { formatJson } from '../options/json.ts';
import type { QmpEvent } from './event-bus.ts';
import { type JsonItem, JsonStream } from './json-stream.ts';
import { run } from './run-command.ts';
import type { BlockService } from './service.ts';

/** The two directions to a client, whatever carries them. */
export interface SessionPipe {
  write(text: string): void;
  /** Bytes written and not yet gone. */
  readonly unread: number;
  /** Stop reading, and go on. */
  pause(): void;
  resume(): void;
  /** Cut the client off. */
  end(): void;
}

export interface SessionOptions {
  /** Answers in several lines, for people. */
  readonly pretty?: boolean;
}

const MAX_WAITING = 64;
const MAX_UNREAD = 64 * 1024 * 1024;

export type ErrorClass = 'GenericError' | 'CommandNotFound' | 'DeviceNotFound' | 'DeviceNotActive';

interface Request {
  readonly id: { readonly id?: unknown };
  readonly perform: () => Promise<unknown>;
}

export class Session {
  readonly #service: BlockService;
  readonly #pipe: SessionPipe;
  readonly #options: SessionOptions;
  readonly #stream = new JsonStream();
  readonly #waiting: Request[] = [];
  readonly #unsubscribe: () => void;
  #phase: 'negotiating' | 'commands' | 'ended' = 'negotiating';
  #oob = false;
  #busy = false;
  /** The client sends no more: the session ends with the last answer. */
  #finished = false;

  constructor(service: BlockService, pipe: SessionPipe, options: SessionOptions = {}) {
    this.#service = service;
    this.#pipe = pipe;
    this.#options = options;
    this.#unsubscribe = service.events.subscribe((event) => this.#event(event));
    this.#send({ QMP: { version: service.version, capabilities: ['oob'] } });
  }

  get negotiated(): boolean {
    return this.#phase === 'commands';
  }

  /** Leave the negotiation; `enable` are the capabilities the client wants. */
  negotiate(enable: readonly string[]): void {
    this.#oob = enable.includes('oob');
    this.#phase = 'commands';
  }

  /** Bytes from the client, in pieces of any size. */
  receive(chunk: Uint8Array): void {
    if (this.#phase === 'ended') return;
    for (const item of this.#stream.push(chunk)) this.#accept(item);
    if (this.#waiting.length >= MAX_WAITING) this.#pipe.pause();
  }

  /** The client sends no more; what it asked for is still done. */
  finish(): void {
    const item = this.#stream.end();
    if (item) this.#accept(item);
    this.#finished = true;
    if (!this.#busy) this.end();
  }

  /** The client is gone, or is to go. */
  end(): void {
    if (this.#phase === 'ended') return;
    this.#phase = 'ended';
    this.#waiting.length = 0;
    this.#unsubscribe();
    this.#pipe.end();
  }

  #accept(item: JsonItem): void {
    this.#waiting.push(this.#requestOf(item));
    if (!this.#busy) void this.#work();
  }

  /** Mistakes wait for their turn like commands: answers come in the order of what they answer. */
  #requestOf(item: JsonItem): Request {
    if ('error' in item) return { id: {}, perform: () => Promise.reject(item.error) };
    const { value } = item;
    const id = isRecord(value) && Object.hasOwn(value, 'id') ? { id: value.id } : {};
    return {
      id,
      perform: async () =>
        run(value, { service: this.#service, session: this }, { negotiated: this.negotiated, oob: this.#oob }),
    };
  }

  async #work(): Promise<void> {
    this.#busy = true;
    for (let request = this.#waiting.shift(); request; request = this.#waiting.shift()) {
      let answer: Record<string, unknown>;
      try {
        answer = { return: (await request.perform()) ?? {} };
      } catch (error) {
        answer = { error: describeError(error) };
      }
      this.#send(answer, request.id);
      if (this.#waiting.length < MAX_WAITING) this.#pipe.resume();
    }
    this.#busy = false;
    if (this.#finished) this.end();
  }

  #event(event: QmpEvent): void {
    // Nothing may stand between the greeting and the answer to the negotiation.
    if (this.#phase === 'commands') this.#send({ ...event });
  }

  #send(message: Readonly<Record<string, unknown>>, id: Request['id'] = {}): void {
    if (this.#phase === 'ended') return;
    const { pretty = false } = this.#options;
    const text = withId(pretty ? JSON.stringify(message, null, 4) : JSON.stringify(message), id, pretty);
    this.#pipe.write(`${ascii(text)}\r\n`);
    if (this.#pipe.unread > MAX_UNREAD) this.end();
  }
}

/** An error as the client gets it: the sentence with its advice, and a class. */
function describeError(thrown: unknown): { class: ErrorClass; desc: string } {
  const error = asBlockError(thrown);
  const wanted = error.data?.qmpClass;
  return { class: isErrorClass(wanted) ? wanted : 'GenericError', desc: sentence(error) };
}

function sentence({ message, hint, followUp }: BlockError): string {
  const advice = hint ?? followUp;
  return advice === undefined ? message : `${message} (${advice})`;
}

function isErrorClass(value: unknown): value is ErrorClass {
  return value === 'CommandNotFound' || value === 'DeviceNotFound' || value === 'DeviceNotActive';
}

/** The id goes back as it came, also a number that is none of JavaScript's. */
function withId(text: string, id: Request['id'], pretty: boolean): string {
  if (!('id' in id)) return text;
  const json = formatJson(id.id);
  return pretty ? `${text.slice(0, -2)},\n    "id": ${json}\n}` : `${text.slice(0, -1)},"id":${json}}`;
}

/** Some clients read bytes, not UTF-8. */
function ascii(text: string): string {
  return text.replace(/[\u007f-\uffff]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
