/** An NBD client that sends whatever a test wants, byte by byte if need be, and takes replies apart by itself. */
import { connect, type Socket } from 'node:net';

export interface OptionAnswer {
  readonly type: number;
  readonly data: Buffer;
}

export interface Reply {
  readonly cookie: bigint;
  /** 0, or the error number. */
  readonly error: number;
  /** Types of the chunks, in order; a simple reply has none. */
  readonly chunks: readonly { readonly type: number; readonly payload: Buffer }[];
}

export const ERROR = 0x8000_0000;

export class RawClient {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  #waiting: (() => void) | undefined;
  #closed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#waiting?.();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#closed = true;
      this.#waiting?.();
    });
  }

  /** Connect to a unix socket, or to a port of this machine. */
  static open(address: string | number): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const where = typeof address === 'string' ? { path: address } : { port: address, host: '127.0.0.1' };
      const socket = connect(where, () => resolve(new RawClient(socket)));
      socket.once('error', reject);
    });
  }

  /** On a socket that is connected. */
  static on(socket: Socket): RawClient {
    return new RawClient(socket);
  }

  /** Read the greeting and answer with these client flags. */
  async greet(flags = 3): Promise<Buffer> {
    const greeting = await this.take(18);
    this.socket.write(u32(flags));
    return greeting;
  }

  /** Send an option and collect its answers up to the last. */
  async option(option: number, data: Uint8Array = Buffer.alloc(0)): Promise<OptionAnswer[]> {
    this.socket.write(optionBytes(option, data));
    const answers: OptionAnswer[] = [];
    for (;;) {
      const answer = await this.answer();
      answers.push(answer);
      if (answer.type === 1 || answer.type >= ERROR) return answers;
    }
  }

  async answer(): Promise<OptionAnswer> {
    const header = await this.take(20);
    if (header.readBigUInt64BE(0) !== 0x3e889045565a9n) throw new Error('no option reply');
    return { type: header.readUInt32BE(12), data: await this.take(header.readUInt32BE(16)) };
  }

  /** Negotiate the form of replies and enter the transmission phase on `name`. */
  async go(name: string, form: 'simple' | 'structured' | 'extended', contexts: readonly string[] = []): Promise<void> {
    await this.greet();
    if (form === 'structured') await this.option(8);
    if (form === 'extended') await this.option(11);
    if (contexts.length > 0) await this.option(10, contextData(name, contexts));
    const last = (await this.option(7, infoData(name, [3]))).at(-1);
    if (last?.type !== 1) throw new Error(`GO was refused: ${last?.data}`);
  }

  /** The next whole reply; `dataLength` is that of a successful simple read. */
  async reply(dataLength = 0): Promise<Reply> {
    const chunks: { type: number; payload: Buffer }[] = [];
    for (let error = 0; ; ) {
      const magic = (await this.take(4)).readUInt32BE(0);
      if (magic === 0x67446698) {
        const rest = await this.take(12);
        const number = rest.readUInt32BE(0);
        const data = number === 0 && dataLength > 0 ? [{ type: -1, payload: await this.take(dataLength) }] : [];
        return { cookie: rest.readBigUInt64BE(4), error: number, chunks: data };
      }
      const extended = magic === 0x6e8a278c;
      if (!extended && magic !== 0x668e33ef) throw new Error(`reply magic 0x${magic.toString(16)}`);
      const header = await this.take(extended ? 28 : 16);
      const length = extended ? Number(header.readBigUInt64BE(20)) : header.readUInt32BE(12);
      const type = header.readUInt16BE(2);
      const payload = await this.take(length);
      chunks.push({ type, payload });
      if (type >= 0x8000) error = payload.readUInt32BE(0);
      if ((header.readUInt16BE(0) & 1) === 1) return { cookie: header.readBigUInt64BE(4), error, chunks };
    }
  }

  /** Exactly `length` bytes; throws when the connection ends before. */
  async take(length: number): Promise<Buffer> {
    while (this.#received.length < length) {
      if (this.#closed) throw new Error('the connection was closed');
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    }
    const bytes = this.#received.subarray(0, length);
    this.#received = this.#received.subarray(length);
    return bytes;
  }

  /** Resolves when the server has hung up. */
  async closed(): Promise<void> {
    while (!this.#closed) {
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    }
  }

  end(): void {
    this.socket.destroy();
  }
}

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

export function u64(value: bigint | number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

export function optionBytes(option: number, data: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from('IHAVEOPT'), u32(option), u32(data.length), data]);
}

export function infoData(name: string, wanted: readonly number[]): Buffer {
  const bytes = Buffer.from(name);
  return Buffer.concat([u32(bytes.length), bytes, u16(wanted.length), ...wanted.map(u16)]);
}

export function contextData(name: string, queries: readonly string[]): Buffer {
  const texts = [Buffer.from(name), ...queries.map((query) => Buffer.from(query))];
  const [first = Buffer.alloc(0), ...rest] = texts.map((text) => Buffer.concat([u32(text.length), text]));
  return Buffer.concat([first, u32(queries.length), ...rest]);
}

export interface RequestFields {
  readonly command: number;
  readonly flags?: number;
  readonly cookie?: bigint;
  readonly offset?: number | bigint;
  readonly length?: number | bigint;
  readonly data?: Uint8Array;
}

/** A request in compact form, or with `extended` in extended form. */
export function requestBytes(fields: RequestFields, extended = false): Buffer {
  const { command, flags = 0, cookie = 1n, offset = 0, length = fields.data?.length ?? 0, data } = fields;
  return Buffer.concat([
    u32(extended ? 0x21e41c71 : 0x25609513),
    u16(flags),
    u16(command),
    u64(cookie),
    u64(offset),
    extended ? u64(length) : u32(Number(length)),
    data ?? Buffer.alloc(0),
  ]);
}
