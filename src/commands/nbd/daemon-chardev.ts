/** Places for control clients: `--chardev` and `--monitor` in the words of QEMU's command line, and `--qmp` for short. */
import { connect } from 'node:net';
import { BlockError, NotSupported, Usage } from '../../core/errors/block-error.ts';
import { addressText, type ListenAddress } from '../../core/export/index.ts';
import { inetConnectOptions, TO_LISTENS } from '../../core/nbd/index.ts';
import {
  bool,
  choice,
  defineOptions,
  integer,
  type OptionsOf,
  parseKeyValues,
  text,
  validate,
} from '../../core/options/index.ts';
import {
  type BlockService,
  inetListenAddress,
  inetListenFields,
  listenQmp,
  type QmpListenOptions,
  serverCredentials,
  serveSocket,
} from '../../core/qmp/index.ts';
import type { Io } from '../cli/io.ts';
import { isDaemon } from './background.ts';
import { readOptions } from './daemon-requests.ts';
import { inetAddress, parseQmpAddress, serveStdio } from './qmp-address.ts';

const id = text({ help: 'Name for --monitor', required: true, nonEmpty: true });

const entrance = {
  'tls-creds': text({ help: 'Id of credentials: nobody comes in without TLS then' }),
  'tls-authz': text({ help: 'Id of an object that says which clients may come in' }),
};

const kinds = {
  socket: defineOptions({
    id,
    path: text({ help: 'Path of the socket' }),
    host: text({ help: 'Name or address' }),
    port: text({ help: 'Number of the port' }),
    ...inetListenFields,
    fd: integer({ help: 'A descriptor that listens already', min: 0 }),
    server: bool({ help: 'Listen, rather than connect', default: false }),
    wait: bool({ help: 'Go on only when a client has come' }),
    ...entrance,
    nodelay: bool({ help: 'Send at once; always so', default: true }),
  }),
  stdio: defineOptions({ id, signal: bool({ help: 'Let Ctrl-C end the program', default: true }) }),
};

const monitorOptions = defineOptions({
  chardev: text({ help: 'The chardev', required: true }),
  id: text({ help: 'Name of the monitor' }),
  mode: choice(['control', 'readline'], { help: 'What is spoken', default: 'control' }),
  pretty: bool({ help: 'Answers in several lines', default: false }),
});

const qmpOptions = defineOptions({
  address: text({ help: 'unix:PATH, tcp:HOST:PORT or stdio', required: true }),
  server: bool({ help: 'Listen; always so', default: true }),
  wait: bool({ help: 'Go on only when a client has come', default: false }),
  pretty: bool({ help: 'Answers in several lines', default: false }),
  ...entrance,
});

type SocketOptions = OptionsOf<(typeof kinds)['socket']>;

interface Chardev {
  used: boolean;
  attach(pretty: boolean): Promise<() => Promise<void> | void>;
}

export class Chardevs {
  readonly #service: BlockService;
  readonly #io: Io;
  readonly #chardevs = new Map<string, Chardev>();
  readonly #endings: (() => Promise<void> | void)[] = [];

  constructor(service: BlockService, io: Io) {
    this.#service = service;
    this.#io = io;
  }

  async add(typed: string): Promise<void> {
    const { backend, ...rest } = readOptions(typed, '--chardev', 'backend');
    const what = `--chardev ${String(backend)}`;
    let made: { id: string; attach: Chardev['attach'] };
    if (backend === 'socket') made = this.#socket(validate(kinds.socket, rest, what));
    else if (backend === 'stdio') made = this.#stdio(validate(kinds.stdio, rest, what).id);
    else throw new NotSupported(`chardev '${String(backend)}' is not supported; there are socket and stdio`);
    if (this.#chardevs.has(made.id))
      throw new BlockError(`there is already a chardev '${made.id}'`, { code: 'EEXIST' });
    this.#chardevs.set(made.id, { used: false, attach: made.attach });
  }

  async addMonitor(given: Readonly<Record<string, unknown>>): Promise<void> {
    const { chardev: name, mode, pretty } = validate(monitorOptions, given, '--monitor');
    if (mode === 'readline') throw new NotSupported('mode=readline is not supported; only QMP is spoken');
    const chardev = this.#chardevs.get(name);
    if (!chardev) throw new BlockError(`there is no chardev '${name}'`, { code: 'ENOENT' });
    if (chardev.used) throw new BlockError(`chardev '${name}' has a monitor already`, { code: 'EBUSY' });
    chardev.used = true;
    this.#endings.push(await chardev.attach(pretty));
  }

  /** Any number of clients at one place. */
  async addQmp(typed: string): Promise<void> {
    const given = validate(qmpOptions, parseKeyValues(typed, { impliedKey: 'address' }), '--qmp');
    const { server, wait, pretty, 'tls-creds': tlsCreds, 'tls-authz': tlsAuthz } = given;
    if (!server) throw new Usage('--qmp only listens', { hint: '--chardev socket connects where a client waits' });
    const address = parseQmpAddress(given.address, '--qmp');
    if (address === 'stdio') {
      if (isDaemon(this.#io)) throw new Usage('--qmp stdio cannot be used with --daemonize');
      if (tlsCreds !== undefined || tlsAuthz !== undefined) throw new Usage('--qmp stdio takes no TLS');
      this.#endings.push(serveStdio(this.#service, this.#io, { pretty }));
      return;
    }
    const credentials = serverCredentials(this.#service.graph, tlsCreds, tlsAuthz);
    this.#endings.push(await this.#listen(address, { pretty, credentials }, wait));
  }

  async close(): Promise<void> {
    for (const ending of this.#endings.reverse()) await ending();
  }

  #stdio(name: string) {
    if (isDaemon(this.#io)) throw new Usage('chardev stdio cannot be used with --daemonize');
    return { id: name, attach: async (pretty: boolean) => serveStdio(this.#service, this.#io, { pretty }) };
  }

  #socket(given: SocketOptions) {
    const address = addressOf(given);
    if (!given.server && given.to !== undefined) throw new Usage(TO_LISTENS);
    for (const name of ['wait', 'tls-creds'] as const) {
      if (!given.server && given[name] !== undefined) throw new Usage(`'${name}' needs server=on`);
    }
    const credentials = serverCredentials(this.#service.graph, given['tls-creds'], given['tls-authz']);
    const attach = (pretty: boolean) =>
      given.server
        ? this.#listen(address, { pretty, single: true, credentials }, given.wait ?? true)
        : this.#connect(address, pretty);
    return { id: given.id, attach };
  }

  async #listen(address: ListenAddress, options: QmpListenOptions, wait: boolean): Promise<() => Promise<void>> {
    let came = (): void => undefined;
    const first = new Promise<void>((resolve) => {
      came = resolve;
    });
    const listener = await listenQmp(this.#service, address, { ...options, connected: () => came() });
    if (wait) {
      const stop = (): void => came();
      this.#io.signal.addEventListener('abort', stop, { once: true });
      await first;
    }
    return () => listener.close();
  }

  /** A client that waits for us to come. */
  async #connect(address: ListenAddress, pretty: boolean): Promise<() => void> {
    if (address.type === 'fd') throw new NotSupported("'fd' needs server=on");
    const socket = connect(address.type === 'unix' ? { path: address.path } : inetConnectOptions(address));
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', (error) =>
        reject(new BlockError(`cannot connect to ${addressText(address)}: ${error.message}`)),
      );
    });
    socket.on('error', () => undefined);
    const session = serveSocket(this.#service, socket, { pretty });
    return () => session.end();
  }
}

function addressOf(given: SocketOptions): ListenAddress {
  const { path, host, port, fd } = given;
  if ([path, host, fd].filter((each) => each !== undefined).length > 1) {
    throw new Usage("of 'path', 'host' and 'fd' a chardev takes one");
  }
  if (path !== undefined || fd !== undefined) {
    for (const name of ['ipv4', 'ipv6', 'to'] as const) {
      if (given[name] !== undefined) throw new Usage(`'${name}' needs 'host' and 'port'`);
    }
  }
  if (path !== undefined) return { type: 'unix', path };
  if (fd !== undefined) return { type: 'fd', fd };
  if (port === undefined || !/^\d{1,5}$/.test(port))
    throw new Usage("a chardev socket needs 'path', or 'host' and 'port'");
  const place = inetAddress(host ?? '', Number(port), '--chardev');
  return inetListenAddress(place.host, place.port, given);
}
