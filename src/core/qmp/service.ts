/**
 * What the control socket controls: the graph, the jobs, the objects and the exports of one program. There is one of it,
 * however many clients there are.
 */
import type { Damage } from '../block/damage.ts';
import type { BlockGraph } from '../block/graph/block-graph.ts';
import { ThrottleGroup, type ThrottleLimits } from '../block/throttling.ts';
import type { Job } from '../job/job.ts';
import type { JobList } from '../job/job-list.ts';
import { DriverTypes } from './driver-types.ts';
import { EventBus } from './event-bus.ts';
import { Exports } from './exports.ts';
import { blockJobData, isBlockJob } from './job-info.ts';
import type { AnyCommand } from './record.ts';
import type { Types } from './shape.ts';

export interface QmpVersion {
  readonly qemu: { readonly major: number; readonly minor: number; readonly micro: number };
  readonly package: string;
}

/** Who asked for the end. */
export type QuitReason = 'host-qmp-quit' | 'host-signal';

export interface ServiceInit {
  readonly graph: BlockGraph;
  readonly jobs: JobList;
  /** As of which QEMU the commands are, and who this really is. */
  readonly version: QmpVersion;
  /** `quit` was asked for; the answer goes out first. */
  quit(reason: QuitReason): void;
}

/** Bytes; events on quorums count in them. */
const SECTOR = 512;

export class BlockService {
  readonly graph: BlockGraph;
  readonly jobs: JobList;
  readonly events = new EventBus();
  readonly version: QmpVersion;
  readonly exports: Exports;
  readonly quit: (reason: QuitReason) => void;
  readonly #driverTypes: DriverTypes;
  readonly #limitGroups = new Map<string, ThrottleGroup>();
  #commands: ReadonlyMap<string, AnyCommand> | undefined;

  constructor(init: ServiceInit) {
    this.graph = init.graph;
    this.jobs = init.jobs;
    this.version = init.version;
    this.exports = new Exports(init.graph, (id) => this.events.emit('BLOCK_EXPORT_DELETED', { id }));
    this.quit = (reason) => init.quit(reason);
    this.#driverTypes = new DriverTypes(init.graph.settings.drivers);
    this.jobs.events.on('added', (job) => this.#follow(job));
    this.graph.damageListeners.add((node, damage) => this.#damaged(node, damage));
  }

  /** All commands by name. Loaded with the first one, and not before: a program without clients has no use for them. */
  async commands(): Promise<ReadonlyMap<string, AnyCommand>> {
    this.#commands ??= (await import('./commands/index.ts')).commandTable;
    return this.#commands;
  }

  /** The limits that exports share which name this group; from now on they are these. */
  limitGroup(name: string, limits: ThrottleLimits): ThrottleGroup {
    const group = this.#limitGroups.get(name) ?? new ThrottleGroup(limits);
    group.limits = limits;
    this.#limitGroups.set(name, group);
    return group;
  }

  types(): Promise<Types> {
    return this.#driverTypes.all();
  }

  get driverTypes(): DriverTypes {
    return this.#driverTypes;
  }

  /** Stop serving, stop all jobs, whatever they do, and wait for their end; then close the graph. */
  async close(): Promise<void> {
    const failures: unknown[] = [];
    const note = (error: unknown): void => void failures.push(error);
    await this.exports.close().catch(note);
    const jobs = this.jobs.all();
    for (const job of jobs) stop(job);
    await Promise.allSettled(jobs.map((job) => (job.state === 'concluded' ? undefined : job.finished)));
    await this.graph.close().catch(note);
    this.events.close();
    if (failures.length > 0) throw failures[0];
  }

  #damaged(nodeName: string, damage: Damage): void {
    if (damage.kind === 'corrupt-image') {
      this.events.emit('BLOCK_IMAGE_CORRUPTED', {
        device: '',
        'node-name': nodeName,
        msg: damage.message,
        ...(damage.offset === undefined ? {} : { offset: damage.offset }),
        ...(damage.length === undefined ? {} : { size: damage.length }),
        fatal: damage.fatal,
      });
      return;
    }
    const first = Math.floor(damage.offset / SECTOR);
    const sectors = {
      'sector-num': first,
      'sectors-count': Math.ceil((damage.offset + damage.length) / SECTOR) - first,
    };
    if (damage.kind === 'no-quorum') {
      this.events.emit('QUORUM_FAILURE', { reference: nodeName, ...sectors });
      return;
    }
    this.events.emit('QUORUM_REPORT_BAD', {
      type: damage.operation,
      ...(damage.error === undefined ? {} : { error: damage.error }),
      'node-name': damage.child,
      ...sectors,
    });
  }

  #follow(job: Job): void {
    const status = (id: string) => this.events.emit('JOB_STATUS_CHANGE', { id: job.id, status: id });
    status(job.state);
    const onNodes = isBlockJob(job);
    let began = false;
    job.events.on('state', ({ to }) => {
      began ||= to === 'running';
      // One that was taken back before it began, by a transaction that failed, has done nothing that could end.
      if (to === 'concluded' && onNodes && began) this.#ended(job);
      status(to);
      if (to === 'pending' && onNodes && !job.autoFinalize) {
        this.events.emit('BLOCK_JOB_PENDING', { type: job.type, id: job.id });
      }
      if (to === 'ready' && onNodes) this.#ready(job);
    });
    if (!onNodes) return;
    job.events.on('error', ({ operation, action }) =>
      this.events.emit('BLOCK_JOB_ERROR', { device: job.id, operation, action }),
    );
  }

  readonly #wasReady = new WeakSet<Job>();

  /** Once, not each time it comes back from standby. */
  #ready(job: Job): void {
    if (this.#wasReady.has(job)) return;
    this.#wasReady.add(job);
    this.events.emit('BLOCK_JOB_READY', blockJobData(job));
  }

  #ended(job: Job): void {
    const { error } = job;
    if (error?.code === 'ECANCELED') this.events.emit('BLOCK_JOB_CANCELLED', blockJobData(job));
    else this.events.emit('BLOCK_JOB_COMPLETED', { ...blockJobData(job), ...(error ? { error: error.message } : {}) });
  }
}

function stop(job: Job): void {
  try {
    job.cancel();
  } catch {
    // Too far gone to be cancelled: it ends by itself.
  }
}
