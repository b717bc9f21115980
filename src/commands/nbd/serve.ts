/** Serving: from the command line to the end of the process. */
import { Closer } from '../../core/async/closer.ts';
import { BlockGraph } from '../../core/block/graph/block-graph.ts';
import { type ListenAddress, NbdServer, type ServerEvent, tlsEntrance } from '../../core/export/index.ts';
import { driverList } from '../../drivers/index.ts';
import type { Io } from '../cli/io.ts';
import { addObjects } from '../cli/object-value.ts';
import { changedBase } from '../cli/strict-base-option.ts';
import { tellReady } from './background.ts';
import type { NbdOptions } from './command-line.ts';
import { eventLog, type LogEvent } from './event-log.ts';
import type { ExportRequest } from './export-requests.ts';
import { openExport } from './open-export.ts';
import { writePidFile } from './pid-file.ts';

export interface Serving {
  readonly options: NbdOptions;
  readonly requests: readonly ExportRequest[];
  /** Undefined where nobody but the kernel is served. */
  readonly address: ListenAddress | undefined;
  readonly traceFile: string | undefined;
}

/** Backlog of a server that is meant for a few clients only. */
function backlogOf({ persistent, shared }: NbdOptions): number | undefined {
  return persistent || shared === 0 ? undefined : shared;
}

function credentialsOf({ tlsCreds, tlsAuthz, tlsOptional }: NbdOptions, graph: BlockGraph) {
  const mode = tlsOptional ? 'optional' : 'required';
  return tlsCreds === undefined ? undefined : tlsEntrance(graph, { tlsCreds, tlsAuthz, mode });
}

/** Open the images, listen, and serve until a signal, the last client or idleness ends it. */
export async function serve(serving: Serving, io: Io): Promise<number> {
  const { options, requests, traceFile } = serving;
  const closer = new Closer();
  try {
    const log = eventLog(io, { format: options.log, verbose: options.verbose && !options.fork });
    const graph = new BlockGraph({
      drivers: driverList,
      references: options.refs,
      changedBase: changedBase(options.strictBase),
      warn: (message) => log({ type: 'remark', kind: 'warning', message }),
      note: (message) => log({ type: 'remark', kind: 'note', message }),
    });
    const overlays = new Closer();
    closer.push(() => overlays.close());
    closer.push(() => graph.close());
    await addObjects(graph, options.objects, io.signal);
    const life = new Life(options, persists(serving));
    const server = new NbdServer({
      shared: options.shared,
      maxConnections: options.maxConnections,
      handshakeLimit: options.handshakeLimit * 1000,
      credentials: credentialsOf(options, graph),
      onEvent: (event) => {
        log(event);
        life.noticed(event, server);
      },
    });
    closer.push(() => server.stop());
    for (const request of requests) {
      const target = await openExport(graph, request, {
        options,
        traceFile,
        onClose: (action) => overlays.push(action),
      });
      server.addExport(target);
    }
    await start(serving, { server, log, closer, io });
    log({ type: 'stopping', reason: await life.end(io.signal, server) });
  } catch (error) {
    await closer.close().catch(() => undefined);
    throw error;
  }
  await closer.close();
  return 0;
}

interface Started {
  readonly server: NbdServer;
  readonly closer: Closer;
  readonly io: Io;
  log(event: LogEvent): void;
}

async function start(serving: Serving, { server, log, closer, io }: Started): Promise<void> {
  const { options, address } = serving;
  const bound = address && (await server.listen(address, backlogOf(options)));
  if (options.pidFile !== undefined) closer.push(writePidFile(options.pidFile));
  if (bound) log({ type: 'listening', address: bound });
  if (options.connect !== undefined) await connectDisk(serving, { server, log, closer, io }, options.connect);
  tellReady(io);
}

async function connectDisk(serving: Serving, { server, log, closer }: Started, path: string): Promise<void> {
  const { options, requests } = serving;
  const [request] = requests;
  const [target] = server.exports.values();
  if (!request || !target) return;
  const { connectDevice } = await import('./kernel-device.ts');
  const ends = !persists(serving);
  const settings = { path, target, multiConn: options.shared !== 1, ends, label: options.selinuxLabel };
  await connectDevice(server, settings, closer);
  log({ type: 'disk', device: path, image: request.file });
}

/** It goes on without clients: there is a way for others to come. */
function persists({ options, address }: Serving): boolean {
  return options.persistent && address !== undefined;
}

/** When the process is to end. */
class Life {
  readonly #options: NbdOptions;
  readonly #persistent: boolean;
  #idle: NodeJS.Timeout | undefined;
  #end: ((reason: string) => void) | undefined;
  readonly #ended: Promise<string>;

  constructor(options: NbdOptions, persistent: boolean) {
    this.#options = options;
    this.#persistent = persistent;
    this.#ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** Resolves with the reason. */
  async end(signal: AbortSignal, server: NbdServer): Promise<string> {
    const stop = (): void => this.#end?.('a signal asks for it');
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    this.#watchIdle(server);
    try {
      return await this.#ended;
    } finally {
      clearTimeout(this.#idle);
      signal.removeEventListener('abort', stop);
    }
  }

  noticed(event: ServerEvent, server: NbdServer): void {
    if (event.type === 'connected') clearTimeout(this.#idle);
    if (event.type !== 'disconnected' || server.connections > 0) return;
    // Failed negotiations do not count: who only looked for a server has not been served.
    if (event.served && !this.#persistent) this.#end?.('the last client has left');
    else this.#watchIdle(server);
  }

  #watchIdle(server: NbdServer): void {
    const { idleExit } = this.#options;
    if (idleExit === undefined || server.connections > 0) return;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#end?.(`nobody was connected for ${idleExit} s`), idleExit * 1000);
  }
}
