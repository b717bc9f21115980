/** A storage daemon, ours or the peer's, with a client on its control socket and an NBD server beside. */
import { mkdtempSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import { programPath } from './cli.ts';
import { findPeer } from './peers.ts';
import { type Running, start, until } from './tracked-child.ts';

export interface QmpMessage {
  readonly return?: unknown;
  readonly error?: { readonly class: string; readonly desc: string };
  readonly event?: string;
  readonly data?: Readonly<Record<string, unknown>>;
  readonly id?: unknown;
}

const PATIENCE = 60_000;

export class StorageDaemon {
  readonly running: Running;
  readonly #socket: net.Socket;
  readonly #nbd: string;
  /** All that has come, but for the greeting. */
  readonly messages: QmpMessage[] = [];
  #text = '';
  #wake: (() => void)[] = [];
  #id = 0;

  private constructor(running: Running, socket: net.Socket, nbd: string) {
    this.running = running;
    this.#socket = socket;
    this.#nbd = nbd;
    socket.setEncoding('utf8').on('data', (text: string) => this.#receive(text));
    socket.on('error', () => undefined).on('close', () => this.#wakeAll());
    onTestFinished(() => void socket.destroy());
  }

  /** Start one whose sockets are in `dir`, and end the negotiation. */
  static async start(
    dir: string,
    args: readonly string[] = [],
    program: 'ours' | 'peer' = 'ours',
  ): Promise<StorageDaemon> {
    const sockets = mkdtempSync(path.join(dir, 's-'));
    const qmp = path.join(sockets, 'qmp');
    const nbd = path.join(sockets, 'nbd');
    const control = ['--chardev', `socket,id=c,path=${qmp},server=on,wait=off`, '--monitor', 'chardev=c'];
    const all = ['--nbd-server', `addr.type=unix,addr.path=${nbd}`, ...args, ...control];
    const file = program === 'ours' ? programPath('nbd') : (findPeer('qemu-storage-daemon') ?? '');
    const running = start(file, all);
    let socket: net.Socket | undefined;
    const connected = async (): Promise<boolean> => {
      socket = await connect(qmp);
      return socket !== undefined || running.child.exitCode !== null;
    };
    await until(connected, PATIENCE, () => 'the daemon does not start');
    if (!socket) throw new Error(`the daemon did not start: ${running.output()}`);
    const daemon = new StorageDaemon(running, socket, nbd);
    await daemon.run('qmp_capabilities');
    return daemon;
  }

  uri(name: string): string {
    return `nbd+unix:///${name}?socket=${this.#nbd}`;
  }

  /** The first message for which `wanted` holds, now or later; it does not come again. */
  async take(wanted: (message: QmpMessage) => boolean, what: string): Promise<QmpMessage> {
    const deadline = performance.now() + PATIENCE;
    for (;;) {
      const at = this.messages.findIndex(wanted);
      const [found] = at < 0 ? [] : this.messages.splice(at, 1);
      if (found) return found;
      if (this.#socket.destroyed) throw new Error(`the daemon is gone before ${what}: ${this.running.output()}`);
      if (performance.now() > deadline) throw new Error(`no ${what}; there are ${JSON.stringify(this.messages)}`);
      await new Promise<void>((resolve) => {
        this.#wake.push(resolve);
        setTimeout(resolve, 1000).unref();
      });
    }
  }

  async ask(execute: string, args?: object): Promise<QmpMessage> {
    const id = ++this.#id;
    this.#socket.write(JSON.stringify({ execute, id, ...(args ? { arguments: args } : {}) }));
    return this.take((message) => message.id === id, `answer to ${execute}`);
  }

  /** What a command returns; throws its error. */
  async run<T = unknown>(execute: string, args?: object): Promise<T> {
    const answer = await this.ask(execute, args);
    if (answer.error) throw new Error(`${execute}: ${answer.error.desc}`);
    return answer.return as T;
  }

  event(name: string, fits: (data: Readonly<Record<string, unknown>>) => boolean = () => true): Promise<QmpMessage> {
    return this.take((message) => message.event === name && fits(message.data ?? {}), `event ${name}`);
  }

  /** A state of a job, now or later. */
  async reached(id: string, status: string): Promise<void> {
    await this.event('JOB_STATUS_CHANGE', (data) => data.id === id && data.status === status);
  }

  async quit(): Promise<void> {
    await this.ask('quit').catch(() => undefined);
    await this.running.ended();
  }

  #receive(text: string): void {
    const lines = (this.#text + text).split('\n');
    this.#text = lines.pop() ?? '';
    for (const line of lines.filter((each) => each.trim() !== '')) {
      const message = JSON.parse(line) as QmpMessage & { QMP?: unknown };
      if (message.QMP === undefined) this.messages.push(message);
    }
    this.#wakeAll();
  }

  #wakeAll(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

/** Undefined while nobody listens there yet. */
function connect(file: string): Promise<net.Socket | undefined> {
  const socket = net.connect(file);
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(socket)).once('error', () => resolve(undefined));
  });
}
