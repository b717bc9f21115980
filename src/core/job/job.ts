/**
 * A job: long work with a state that its user sees, progress, a speed limit, pause and cancellation.
 *
 * What it does is a {@link JobBody}; the machine around it is the same for all. A job needs no node. One that has
 * some holds backends (or bare edges) on them, whose permissions decide what may run beside it, and gives them back
 * before it is concluded: an error in closing them is an error of the job.
 */
import { setMaxListeners } from 'node:events';
import { Closer } from '../async/closer.ts';
import type { Maybe } from '../async/maybe.ts';
import type { Backend } from '../block/backend/backend.ts';
import type { BlockGraph } from '../block/graph/block-graph.ts';
import type { Edge, EdgeParent } from '../block/graph/edge.ts';
import type { Node } from '../block/graph/node.ts';
import type { OperationPart } from '../block/graph/operations.ts';
import { asBlockError, BlockError, Cancelled } from '../errors/block-error.ts';
import type { Options } from '../options/schema.ts';
import { type ErrorPolicy, errorAction } from './error-policy.ts';
import type { JobBody, JobEvents, JobInit, JobProgress } from './job-body.ts';
import { type GroupMember, JobGroup } from './job-group.ts';
import { Listeners } from './listeners.ts';
import { Pace } from './pace.ts';
import { type JobState, mayGo } from './states.ts';
import { allows, type JobVerb } from './verbs.ts';

export type { InitWithId, JobBody, JobEvents, JobInit, JobProgress } from './job-body.ts';

/** For messages. */
export function jobName(type: string, id: string): string {
  return `${type} job '${id}'`;
}

export class Job implements EdgeParent, GroupMember {
  readonly kind = 'job';
  readonly id: string;
  readonly type: string;
  readonly events = new Listeners<JobEvents>();
  /** Resolves when the job is concluded; rejects with its error. */
  readonly finished: Promise<void>;
  readonly #body: JobBody;
  readonly #init: JobInit;
  readonly #pace: Pace;
  readonly #group: JobGroup;
  readonly #abort = new AbortController();
  readonly #closer = new Closer();
  readonly #held = new Set<Backend | Edge>();
  readonly #settle: { resolve(): void; reject(error: BlockError): void };
  #state: JobState = 'created';
  #progress: JobProgress = { done: 0, total: 0 };
  #error: BlockError | undefined;
  #ioStatus: 'ok' | 'failed' | 'nospace' = 'ok';
  #pausedByUser = false;
  #pauses = 0;
  #parked: { readonly promise: Promise<void>; readonly wake: () => void } | undefined;

  constructor(init: JobInit) {
    this.id = init.id;
    this.type = init.type;
    this.#body = init.body;
    this.#init = init;
    setMaxListeners(0, this.#abort.signal);
    this.#pace = new Pace(init.speed, init.clock);
    this.#group = init.group ?? new JobGroup();
    this.#group.join(this);
    const settle = { resolve: (): void => undefined, reject: (_: BlockError): void => undefined };
    this.finished = new Promise((resolve, reject) => Object.assign(settle, { resolve, reject }));
    this.finished.catch(() => undefined);
    this.#settle = settle;
  }

  get state(): JobState {
    return this.#state;
  }

  get progress(): JobProgress {
    return this.#progress;
  }

  get error(): BlockError | undefined {
    return this.#error;
  }

  /** What its kind shows beside what all jobs show. */
  get details(): Readonly<Record<string, unknown>> {
    return this.#body.details?.() ?? {};
  }

  /** Aborted when the job is cancelled. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Bytes per second, 0 for no limit. */
  get speed(): number {
    return this.#pace.speed;
  }

  /** Whether it waits since a request failed, until it is resumed. */
  get ioStatus(): 'ok' | 'failed' | 'nospace' {
    return this.#ioStatus;
  }

  get pausedByUser(): boolean {
    return this.#pausedByUser;
  }

  /** Goes from pending to concluded without being told. */
  get autoFinalize(): boolean {
    return this.#init.autoFinalize !== false;
  }

  /** Is forgotten once concluded. */
  get autoDismiss(): boolean {
    return this.#init.autoDismiss !== false;
  }

  describe(): string {
    return jobName(this.type, this.id);
  }

  // ---- what a user asks ----

  /** Begin; resolves or rejects like {@link finished}. */
  start(): Promise<void> {
    if (this.#state !== 'created') throw new BlockError(`${this.describe()} is ${this.#state}, it cannot be started`);
    this.#go('running');
    void this.#run();
    return this.finished;
  }

  pause(): void {
    this.#ask('pause');
    if (this.#pausedByUser) throw new BlockError(`${this.describe()} is paused already`);
    this.#pausedByUser = true;
    this.#pauses++;
    this.#pace.interrupt();
  }

  resume(): void {
    this.#ask('resume');
    if (!this.#pausedByUser) throw new BlockError(`${this.describe()} is not paused`);
    this.#pausedByUser = false;
    this.#ioStatus = 'ok';
    this.#endPause();
  }

  setSpeed(speed: number): void {
    this.#ask('setSpeed');
    if (!Number.isSafeInteger(speed) || speed < 0) throw new BlockError(`speed ${speed} is not a number of bytes`);
    this.#pace.speed = speed;
  }

  /**
   * Stop as soon as requests in flight have ended, and undo what can be undone. A job that is ready has done its work:
   * with `force` false it ends well, but leaves its user where he was.
   */
  cancel({ force = true }: { readonly force?: boolean } = {}): void {
    this.#ask('cancel');
    const from = this.#state;
    if (this.#abort.signal.aborted || this.#group.finalizing) return;
    if (!force && this.#body.settle && (from === 'ready' || from === 'standby')) {
      this.#body.settle();
      return;
    }
    this.#abort.abort(new Cancelled());
    this.#pace.interrupt();
    this.#unpark();
    // Where the body is not running nobody would notice.
    if (from === 'created' || from === 'waiting' || from === 'pending') void this.fail(new Cancelled());
  }

  complete(): void {
    this.#ask('complete');
    this.#body.complete?.();
  }

  /** Have it go on in another way (a mirror: in another copy mode). */
  change(options: Options): void {
    this.#ask('change');
    if (!this.#body.change) throw new BlockError(`a ${this.type} job cannot be changed while it runs`);
    this.#body.change(options);
  }

  /** Make the result final, where that was left to the user; the results of its group with it. */
  finalize(): Promise<void> {
    this.#ask('finalize');
    if (this.#group.finalizing) throw new BlockError(`${this.describe()} is being finalized already`);
    return this.#group.finalize();
  }

  dismiss(): void {
    this.#ask('dismiss');
    this.#go('null');
  }

  // ---- what the body asks ----

  /** Between two steps of work: waits while the job is paused, throws Cancelled when it is to stop. */
  checkpoint(): Maybe<void> {
    if (this.#abort.signal.aborted) throw new Cancelled();
    if (this.#pauses === 0) return;
    return this.#park().then(() => this.checkpoint());
  }

  /** Wait until `bytes` more fit the speed, and while the job is paused. */
  throttle(bytes: number): Maybe<void> {
    return this.#pace.wait(bytes, () => this.checkpoint());
  }

  /** Longest request in bytes that keeps the speed even; infinite without a limit. */
  get evenLength(): number {
    return this.#pace.evenLength;
  }

  setTotal(total: number): void {
    this.#progress = { done: this.#progress.done, total };
    this.events.emit('progress', this.#progress);
  }

  advance(by: number): void {
    this.#progress = { done: this.#progress.done + by, total: this.#progress.total };
    this.events.emit('progress', this.#progress);
  }

  /** So much of `total` is done: for a body that is told of its progress as a whole. */
  reach(done: number, total: number): void {
    this.#progress = { done, total };
    this.events.emit('progress', this.#progress);
  }

  /** All is copied, and the job goes on until it is told to complete. */
  becomeReady(): void {
    this.#go('ready');
  }

  /** What to do about a failed request: throws to fail the job, else says whether to try again or leave it out. */
  async onError(operation: 'read' | 'write', policy: ErrorPolicy, thrown: unknown): Promise<'retry' | 'ignore'> {
    const error = asBlockError(thrown);
    const action = errorAction(policy, error);
    this.events.emit('error', { operation, action, error });
    if (action === 'stop') this.#ioStatus = error.code === 'ENOSPC' ? 'nospace' : 'failed';
    if (action === 'ignore') return 'ignore';
    if (action === 'report' || this.#abort.signal.aborted) throw error;
    if (!this.#pausedByUser) {
      this.#pausedByUser = true;
      this.#pauses++;
      this.#pace.interrupt();
    }
    await this.checkpoint();
    return 'retry';
  }

  /** Keep `backend` until the job ends, and close it then. */
  own(backend: Backend): Backend {
    this.#held.add(backend);
    this.#closer.push(() => backend.close());
    return backend;
  }

  /** Have `action` run when the job ends, after all that it takes later has been given back. */
  atEnd(action: () => Promise<void>): void {
    this.#closer.push(action);
  }

  /** Hold permissions on a node that the job does not read or write by itself. */
  hold(graph: BlockGraph, link: { node: Node; name: string; permissions: OperationPart }): Edge {
    const edge = graph.attach({ parent: this, node: link.node, name: link.name, role: 'filtered' }, link.permissions);
    this.#held.add(edge);
    this.#closer.push(() => graph.detach(edge));
    return edge;
  }

  /** Nodes that the job holds. */
  nodes(): Node[] {
    if (this.#state === 'concluded' || this.#state === 'null') return [];
    return [...this.#held].map((item) => ('image' in item ? item.image : item.node));
  }

  drainBegin(): void {
    this.#pauses++;
  }

  drainEnd(): void {
    this.#endPause();
  }

  // ---- the machine ----

  #ask(verb: JobVerb): void {
    if (allows(verb, this.#state)) return;
    throw new BlockError(`${this.describe()} is ${this.#state}, ${verb} is not possible`, { code: 'EBUSY' });
  }

  /** The only way to another state. */
  #go(to: JobState): void {
    const from = this.#state;
    if (!mayGo(from, to)) throw new Error(`${this.describe()} cannot go from ${from} to ${to}`);
    this.#state = to;
    this.events.emit('state', { from, to });
  }

  async #run(): Promise<void> {
    try {
      await this.checkpoint();
      await this.#body.run(this);
      if (this.#abort.signal.aborted) throw new Cancelled();
    } catch (error) {
      return this.fail(this.#abort.signal.aborted ? new Cancelled() : asBlockError(error));
    }
    this.#go('waiting');
    await this.#group.arrived();
  }

  // ---- what the group asks ----

  becomePending(): void {
    this.#go('pending');
  }

  async prepare(): Promise<void> {
    await this.#body.prepare?.();
  }

  async commit(): Promise<void> {
    try {
      await this.#body.commit?.();
      await this.#closer.close();
    } catch (error) {
      return this.fail(asBlockError(error));
    }
    this.#conclude();
  }

  giveUp(): void {
    if (allows('cancel', this.#state)) this.cancel();
  }

  async fail(error: BlockError): Promise<void> {
    this.#error = error;
    this.#go('aborting');
    this.#group.failed(this);
    // The first error is the one that matters; what goes wrong in cleaning up after it is its consequence.
    await Promise.resolve(this.#body.abort?.(error)).catch(() => undefined);
    await this.#closer.close().catch(() => undefined);
    this.#conclude();
  }

  #conclude(): void {
    this.#go('concluded');
    this.events.emit('concluded', { error: this.#error });
    if (this.#error) this.#settle.reject(this.#error);
    else this.#settle.resolve();
    if (this.#init.autoDismiss !== false) this.#go('null');
  }

  #park(): Promise<void> {
    if (!this.#parked) {
      this.#go(this.#state === 'ready' ? 'standby' : 'paused');
      let wake = (): void => undefined;
      const promise = new Promise<void>((resolve) => {
        wake = resolve;
      });
      this.#parked = { promise, wake };
    }
    return this.#parked.promise;
  }

  #endPause(): void {
    this.#pauses--;
    if (this.#pauses === 0) this.#unpark();
  }

  #unpark(): void {
    const parked = this.#parked;
    if (!parked) return;
    this.#parked = undefined;
    this.#go(this.#state === 'standby' ? 'ready' : 'running');
    parked.wake();
  }
}
