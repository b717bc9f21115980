/** The storage daemon: a graph that the command line begins and control clients go on with. */
import { BlockGraph } from '../../core/block/graph/block-graph.ts';
import { NotSupported } from '../../core/errors/block-error.ts';
import { JobList } from '../../core/job/job-list.ts';
import { BlockService, type QuitReason } from '../../core/qmp/index.ts';
import { driverList } from '../../drivers/index.ts';
import { type Io, userLines } from '../cli/io.ts';
import { objectValue } from '../cli/object-value.ts';
import type { ParsedAny } from '../cli/record.ts';
import { changedBase } from '../cli/strict-base-option.ts';
import { traceFile, tracePattern } from '../cli/trace-option.ts';
import { VERSION, versionText } from '../cli/version.ts';
import { becomeDaemon, isDaemon, tellReady } from './background.ts';
import { Chardevs } from './daemon-chardev.ts';
import { addBlockdev, addExport, readOptions, startNbdServer } from './daemon-requests.ts';
import { writePidFile } from './pid-file.ts';

/** As of which QEMU commands and fields are. */
const QEMU = { major: 10, minor: 0, micro: 13 };

/** What is to be undone at the end, the last first. */
type Endings = (() => Promise<void> | void)[];

export async function runDaemon({ options, given }: ParsedAny, io: Io): Promise<number> {
  if (options.version === true) {
    io.stdout.write(versionText(io.programName));
    return 0;
  }
  heedTrace(given, io);
  if (options.daemonize === true && !isDaemon(io)) return becomeDaemon(false, io);
  const life = new Life();
  const graph = new BlockGraph({
    drivers: driverList,
    references: 'all',
    changedBase: changedBase(options.strictBase === true),
    ...userLines(io),
  });
  const service = new BlockService({
    graph,
    jobs: new JobList(),
    version: { qemu: QEMU, package: `blockyard ${VERSION}` },
    quit: (reason) => life.end(reason),
  });
  const endings: Endings = [];
  try {
    await new Builder(service, io, endings).build(given);
    if (typeof options.pidfile === 'string') endings.push(writePidFile(options.pidfile));
    tellReady(io, { keepFolder: true });
    service.events.emit('SHUTDOWN', { guest: false, reason: await life.ended(io.signal) });
  } catch (error) {
    await finish(service, endings).catch(() => undefined);
    throw error;
  }
  await finish(service, endings);
  return 0;
}

/** Events there are none to be switched on. @throws where requests are to be recorded. */
function heedTrace(given: ParsedAny['given'], io: Io): void {
  for (const { key, value } of given) {
    if (value !== undefined && key === 'tracePatterns') tracePattern(value, io);
    if (value === undefined || key !== 'trace' || traceFile(value, io) === undefined) continue;
    throw new NotSupported('the storage daemon does not take --trace', {
      hint: 'Requests are recorded by a node of the driver trace: --blockdev trace,trace-file=FILE,file=NODE,node-name=…',
    });
  }
}

/** Serving and jobs end first, then the control clients go: they hear of it. */
async function finish(service: BlockService, endings: Endings): Promise<void> {
  const failures: unknown[] = [];
  const note = (error: unknown): void => void failures.push(error);
  await service.close().catch(note);
  for (const ending of endings.reverse()) await Promise.resolve(ending()).catch(note);
  if (failures.length > 0) throw failures[0];
}

class Builder {
  readonly #service: BlockService;
  readonly #io: Io;
  readonly #endings: Endings;
  readonly #chardevs: Chardevs;

  constructor(service: BlockService, io: Io, endings: Endings) {
    this.#service = service;
    this.#io = io;
    this.#endings = endings;
    this.#chardevs = new Chardevs(service, io);
    endings.push(() => this.#chardevs.close());
  }

  async build(given: ParsedAny['given']): Promise<void> {
    for (const { key, value } of given) {
      if (value === undefined) continue;
      await this.#step(key, value);
    }
  }

  async #step(key: string, value: string): Promise<void> {
    const service = this.#service;
    switch (key) {
      case 'blockdev':
        return addBlockdev(service, value);
      case 'objects':
        return service.graph.objects.add(objectValue(value, '--object').definition, this.#io.signal);
      case 'chardev':
        return this.#chardevs.add(value);
      case 'monitor':
        return this.#chardevs.addMonitor(readOptions(value, '--monitor', 'chardev'));
      case 'qmp':
        return this.#chardevs.addQmp(value);
      case 'nbdServer':
        return startNbdServer(service, value);
      case 'export':
        return addExport(service, value);
      case 'stats': {
        const { serveStats } = await import('./stats-socket.ts');
        this.#endings.push(await serveStats(service.graph, value));
        return;
      }
      case 'metrics': {
        const { serveMetrics } = await import('./metrics.ts');
        this.#endings.push(await serveMetrics(service, value));
        return;
      }
      default:
        return;
    }
  }
}

/** When the program is to end, and who says so. */
class Life {
  #resolve: ((reason: QuitReason) => void) | undefined;
  readonly #ended = new Promise<QuitReason>((resolve) => {
    this.#resolve = resolve;
  });

  end(reason: QuitReason): void {
    this.#resolve?.(reason);
  }

  ended(signal: AbortSignal): Promise<QuitReason> {
    const stop = (): void => this.end('host-signal');
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    // Sockets that wait for clients keep the process alive; without any, nothing else does.
    const alive = setInterval(() => undefined, 2 ** 30);
    return this.#ended.finally(() => clearInterval(alive));
  }
}
