/** An NBD server of our own that says just what a test wants it to say, right or wrong. */
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { ExportFlag, Magic, Option, OptionReply } from '../../src/core/nbd/index.ts';
import { unixUri } from './nbd-servers.ts';
import { tempDir } from './temp.ts';

export interface ScriptedRequest {
  readonly flags: number;
  readonly command: number;
  readonly cookie: Buffer;
  readonly offset: number;
  readonly length: number;
  readonly data: Buffer;
}

export interface Script {
  /** Sent first; default the greeting of a fixed newstyle server. */
  readonly greeting?: Buffer;
  /** The answers to an option; undefined for the usual ones, null to close the connection. */
  readonly option?: (option: number, data: Buffer) => Buffer | null | undefined;
  /** The reply to a request; undefined for the usual one, null to close the connection. */
  readonly request?: (request: ScriptedRequest, connection: number) => Buffer | null | undefined;
  readonly disk?: Buffer;
  readonly flags?: number;
  /** Accept structured replies, with the context `base:allocation` as number 0. */
  readonly structured?: boolean;
  /** Close a connection when it was sent so many bytes. */
  readonly cut?: number;
  /** Send each byte by itself. */
  readonly dribble?: boolean;
}

export interface ScriptedServer {
  readonly socket: string;
  readonly uri: string;
  /** Connections so far. */
  readonly connections: number;
  /** Options and requests received, in order. */
  readonly log: string[];
  /** Close all connections; with `listen` false, take no more either. */
  drop(listen?: boolean): Promise<void>;
  listen(): Promise<void>;
}

const be = (value: number | bigint, width: 2 | 4 | 8): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes.subarray(8 - width);
};

/** Handshake flags as a fixed newstyle server sends them. */
export const GREETING = Buffer.concat([be(Magic.INIT, 8), be(Magic.OPTION, 8), be(3, 2)]);

export function optionReply(option: number, type: number, data: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.concat([be(Magic.OPTION_REPLY, 8), be(option, 4), be(type, 4), be(data.length, 4), data]);
}

/** The INFO answer with size and flags. */
export function exportInfo(option: number, size: number | bigint, flags: number): Buffer {
  return optionReply(option, OptionReply.INFO, Buffer.concat([be(0, 2), be(size, 8), be(flags, 2)]));
}

export const ALL_FLAGS =
  ExportFlag.HAS_FLAGS |
  ExportFlag.SEND_FLUSH |
  ExportFlag.SEND_FUA |
  ExportFlag.SEND_TRIM |
  ExportFlag.SEND_WRITE_ZEROES;

/** Start a server; it ends with the test. */
export async function scriptedServer(script: Script = {}): Promise<ScriptedServer> {
  const socket = join(tempDir(), 'nbd');
  const open = new Set<Socket>();
  const log: string[] = [];
  let connections = 0;
  const server: Server = createServer((client) => {
    connections++;
    open.add(client);
    client.on('error', () => undefined);
    client.on('close', () => open.delete(client));
    new Session(client, script, log, connections).start();
  });
  const listen = (): Promise<void> => new Promise((resolve) => server.listen(socket, resolve));
  const drop = async (stay = true): Promise<void> => {
    const closed = stay ? undefined : new Promise((resolve) => server.close(resolve));
    for (const client of open) client.destroy();
    await closed;
  };
  await listen();
  onTestFinished(() => drop(!server.listening));
  return {
    socket,
    uri: unixUri(socket),
    get connections() {
      return connections;
    },
    log,
    drop,
    listen,
  };
}

class Session {
  readonly #client: Socket;
  readonly #script: Script;
  readonly #log: string[];
  readonly #number: number;
  #received = Buffer.alloc(0);
  #phase: 'flags' | 'options' | 'requests' = 'flags';
  #sending: Promise<void> = Promise.resolve();
  #sent = 0;

  constructor(client: Socket, script: Script, log: string[], number: number) {
    this.#client = client;
    this.#script = script;
    this.#log = log;
    this.#number = number;
  }

  start(): void {
    this.#send(this.#script.greeting ?? GREETING);
    this.#client.on('data', (bytes: Buffer) => {
      this.#received = Buffer.concat([this.#received, bytes]);
      while (this.#step());
    });
  }

  #send(message: Buffer | null): void {
    this.#sending = this.#sending.then(async () => {
      const { cut = Number.POSITIVE_INFINITY } = this.#script;
      if (message === null) {
        this.#client.destroy();
        return;
      }
      const bytes = message.subarray(0, cut - this.#sent);
      this.#sent += bytes.length;
      const step = this.#script.dribble ? 1 : bytes.length;
      for (let at = 0; at < bytes.length && !this.#client.destroyed; at += step) {
        this.#client.write(bytes.subarray(at, at + step));
        if (step === 1) await new Promise((resolve) => setImmediate(resolve));
      }
      if (this.#sent === cut) this.#client.end();
    });
  }

  #take(length: number): Buffer {
    const part = this.#received.subarray(0, length);
    this.#received = this.#received.subarray(length);
    return part;
  }

  /** Handle one message if it is there. */
  #step(): boolean {
    if (this.#phase === 'flags') {
      if (this.#received.length < 4) return false;
      this.#take(4);
      this.#phase = 'options';
      return true;
    }
    return this.#phase === 'options' ? this.#option() : this.#request();
  }

  #option(): boolean {
    if (this.#received.length < 16) return false;
    const length = this.#received.readUInt32BE(12);
    if (this.#received.length < 16 + length) return false;
    const option = this.#take(16).readUInt32BE(8);
    const data = this.#take(length);
    this.#log.push(`option ${option}`);
    const given = this.#script.option?.(option, data);
    const answer = given === undefined ? this.#usualAnswer(option) : given;
    this.#send(answer);
    const refused = answer?.equals(optionReply(option, OptionReply.ERR_UNSUP));
    if (option === Option.EXPORT_NAME || (option === Option.GO && !refused)) this.#phase = 'requests';
    return true;
  }

  #usualAnswer(option: number): Buffer {
    const { structured = false, disk = Buffer.alloc(1 << 20), flags = ALL_FLAGS } = this.#script;
    if (option === Option.GO || option === Option.INFO) {
      return Buffer.concat([exportInfo(option, disk.length, flags), optionReply(option, OptionReply.ACK)]);
    }
    if (structured && option === Option.STRUCTURED_REPLY) return optionReply(option, OptionReply.ACK);
    if (structured && option === Option.SET_META_CONTEXT) {
      const context = Buffer.concat([be(0, 4), Buffer.from('base:allocation')]);
      return Buffer.concat([
        optionReply(option, OptionReply.META_CONTEXT, context),
        optionReply(option, OptionReply.ACK),
      ]);
    }
    return optionReply(option, OptionReply.ERR_UNSUP);
  }

  #request(): boolean {
    if (this.#received.length < 28) return false;
    const command = this.#received.readUInt16BE(6);
    const length = this.#received.readUInt32BE(24);
    const payload = command === 1 ? length : 0;
    if (this.#received.length < 28 + payload) return false;
    const header = this.#take(28);
    const request: ScriptedRequest = {
      flags: header.readUInt16BE(4),
      command,
      cookie: Buffer.from(header.subarray(8, 16)),
      offset: Number(header.readBigUInt64BE(16)),
      length,
      data: Buffer.from(this.#take(payload)),
    };
    this.#log.push(`request ${command} ${request.offset}+${length}`);
    if (command === 2) return false;
    const reply = this.#script.request?.(request, this.#number);
    this.#send(reply === undefined ? this.#usualReply(request) : reply);
    return true;
  }

  #usualReply({ command, cookie, offset, length, data }: ScriptedRequest): Buffer {
    const { disk = Buffer.alloc(1 << 20), structured } = this.#script;
    if (command === 1) data.copy(disk, offset);
    if (command === 6) disk.fill(0, offset, offset + length);
    const content = command === 0 ? disk.subarray(offset, offset + length) : Buffer.alloc(0);
    if (!structured) return Buffer.concat([be(Magic.SIMPLE_REPLY, 4), be(0, 4), cookie, content]);
    const head = (type: number, size: number) =>
      Buffer.concat([be(Magic.STRUCTURED_REPLY, 4), be(1, 2), be(type, 2), cookie, be(size, 4)]);
    if (command === 0) return Buffer.concat([head(1, length + 8), be(offset, 8), content]);
    if (command === 7) return Buffer.concat([head(5, 12), be(0, 4), be(length, 4), be(0, 4)]);
    return head(0, 0);
  }
}
