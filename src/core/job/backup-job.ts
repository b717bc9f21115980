/**
 * The backup job: a copy of the disk as it was when the job began, while the disk goes on changing.
 *
 * A copy-before-write filter is put over the source while it is quiet; at that moment the bitmap is frozen. What is to be
 * copied is the filter's `wanted`: the job saves it piece by piece, and the filter what is about to be changed, each
 * part once. `none` copies only the latter, until the job is cancelled.
 */
import type { DirtyBitmap } from '../bitmap/index.ts';
import type { FrozenBitmap, NamedBitmap } from '../block/bitmaps/index.ts';
import type { BlockGraph } from '../block/graph/block-graph.ts';
import type { Node } from '../block/graph/node.ts';
import { operations } from '../block/graph/operations.ts';
import { asking } from '../block/graph/refusal.ts';
import { insertFilter, takeOut } from '../block/graph/reshape.ts';
import { chainStatus } from '../block/graph/status.ts';
import type { PointInTimeCapability } from '../block/point-in-time.ts';
import { asBlockError, BlockError, NotSupported } from '../errors/block-error.ts';
import { type BackupPlan, type BackupSync, type BitmapMode, planBackup } from './backup-plan.ts';
import type { ErrorPolicy } from './error-policy.ts';
import { BEFORE_ALL, FirstFailure } from './first-failure.ts';
import type { Job, JobBody, JobInit } from './job.ts';
import { rest } from './job-copy.ts';
import type { JobList } from './job-list.ts';

export interface BackupOptions {
  readonly graph: BlockGraph;
  readonly source: Node;
  /** As long as the source; written to by the job alone. */
  readonly target: Node;
  readonly sync: BackupSync;
  /** Of the source: what is to be copied, or what is to be told of the copy. */
  readonly bitmap?: string | undefined;
  readonly bitmapMode?: BitmapMode | undefined;
  readonly compressed?: boolean;
  /** The source is a temporary one: what has been copied is discarded there. */
  readonly discardSource?: boolean;
  readonly onSourceError?: ErrorPolicy;
  readonly onTargetError?: ErrorPolicy;
  /** When saving fails that a write waits for: fail the write (default), or give up the backup. */
  readonly onCbwError?: 'break-guest-write' | 'break-snapshot';
  /** Seconds; 0 for no limit. */
  readonly cbwTimeout?: number;
  readonly filterNodeName?: string | undefined;
  /** Pieces in flight; default 8. */
  readonly maxWorkers?: number;
  /** Bytes of a piece; default 1 MiB. */
  readonly maxChunk?: number;
  /** Bytes, a power of two. */
  readonly minClusterSize?: number;
}

const DEFAULT_WORKERS = 8;
const DEFAULT_CHUNK = 1 << 20;

/** What the workers of one pass share. */
interface Queue {
  /** Offset of what nobody has taken yet, in bytes. */
  at: number;
  /** By the order of the disk, in which ranges are taken. */
  readonly failure: FirstFailure;
}

export class BackupBody implements JobBody {
  readonly #options: BackupOptions;
  readonly #plan: BackupPlan;
  readonly #bitmap: NamedBitmap | undefined;
  #frozen: FrozenBitmap | undefined;
  #filter: Node | undefined;
  #snapshot: PointInTimeCapability | undefined;
  #total = 0;
  #told = 0;

  /** Throws for options that do not go together, a bitmap that cannot be used, a target that does not fit. */
  constructor(options: BackupOptions) {
    this.#options = options;
    this.#plan = planBackup(options);
    const { source, target, bitmap, compressed } = options;
    if (source === target) throw new BlockError(`node '${source.name}' cannot be its own backup`);
    if (source.io.size !== target.io.size) {
      throw new BlockError(`the source has ${source.io.size} bytes, the target ${target.io.size}`);
    }
    if (compressed && !target.io.canCompress) {
      throw new NotSupported(`driver '${target.driver.name}' of the target cannot store compressed data`);
    }
    this.#bitmap = bitmap === undefined ? undefined : source.io.bitmaps.get(bitmap);
    this.#bitmap?.assertUsable({ readOnly: this.#plan.bitmapMode === 'never' });
  }

  async run(job: Job): Promise<void> {
    const snapshot = this.#snapshot ?? (await this.begin(job));
    this.#total = snapshot.wanted.count;
    job.setTotal(this.#total);
    if (this.#plan.sync === 'none') return this.#waitForEnd(job);
    if (this.#plan.sync === 'top') await this.#forgetLowerLayers(job, snapshot);
    await this.#pass(job, snapshot);
    // What was ignored is tried again.
    while (snapshot.wanted.count > 0) {
      await rest(job);
      await this.#pass(job, snapshot);
    }
  }

  async #pass(job: Job, snapshot: PointInTimeCapability): Promise<void> {
    const queue: Queue = { at: 0, failure: new FirstFailure() };
    const workers: Promise<void>[] = [];
    for (let i = 0; i < (this.#options.maxWorkers ?? DEFAULT_WORKERS); i++) {
      workers.push(this.#work(job, snapshot, queue));
    }
    await Promise.all(workers);
    queue.failure.throwIfThere();
    this.#assertSound(snapshot);
  }

  /** Put the filter in and freeze the bitmap, in one quiet moment: what is copied is what the disk shows then. */
  async begin(job: Job): Promise<PointInTimeCapability> {
    const { graph, source } = this.#options;
    const { bitmapMode } = this.#plan;
    // Said in the image before anything is quiet: it is going to differ from what is kept.
    if (this.#bitmap && bitmapMode !== 'never') await source.io.bitmaps.beginChange([this.#bitmap]);
    const filter = await asking(`${job.describe()} of node '${source.name}'`, () =>
      insertFilter(graph, source, this.#filterSpec(), (made) => this.#own(job, made)),
    );
    return snapshotOf(filter);
  }

  /** In the moment in which the filter comes between the disk and its users. */
  #own(job: Job, filter: Node): void {
    const snapshot = snapshotOf(filter);
    snapshot.discardsSource = this.#options.discardSource ?? false;
    filter.owner = job;
    this.#filter = filter;
    // Nobody else may use the disk now, but who does later must not write to it past the filter.
    const link = { node: filter, name: 'main node', permissions: operations.backup.main };
    job.hold(this.#options.graph, link);
    this.#snapshot = snapshot;
    this.#frozen = this.#bitmap?.freeze(job.describe());
    if (this.#frozen && this.#plan.sync === 'bitmap') restrict(snapshot, this.#frozen.bits);
  }

  #filterSpec(): Record<string, unknown> {
    const { target, filterNodeName, onCbwError, cbwTimeout, minClusterSize } = this.#options;
    return {
      driver: 'copy-before-write',
      target: target.name,
      ...(filterNodeName === undefined ? {} : { 'node-name': filterNodeName }),
      ...(onCbwError === undefined ? {} : { 'on-cbw-error': onCbwError }),
      ...(cbwTimeout === undefined ? {} : { 'cbw-timeout': cbwTimeout }),
      ...(minClusterSize === undefined ? {} : { 'min-cluster-size': minClusterSize }),
    };
  }

  /** Until the user cancels the job, which is its one end. */
  async #waitForEnd(job: Job): Promise<void> {
    await new Promise<void>((resolve) => {
      if (job.signal.aborted) resolve();
      else job.signal.addEventListener('abort', () => resolve(), { once: true });
    });
    await job.checkpoint();
  }

  /** With `top`, what the source shows of its backing file is not copied. */
  async #forgetLowerLayers(job: Job, snapshot: PointInTimeCapability): Promise<void> {
    const { source } = this.#options;
    const { size, granularity } = snapshot.wanted;
    const base = source.layer.backing?.node;
    if (!base) return;
    for (let at = 0; at < size; at += granularity) {
      await job.checkpoint();
      let held = false;
      for (let part = at; part < Math.min(size, at + granularity) && !held; ) {
        const request = { offset: part, length: Math.min(size, at + granularity) - part, precise: true };
        const { allocated, length } = await chainStatus(source, base, request);
        held = allocated || length === 0;
        part += length;
      }
      if (!held) {
        const before = snapshot.wanted.count;
        snapshot.wanted.clear(at, granularity);
        this.#total -= before - snapshot.wanted.count;
        job.setTotal(this.#total);
      }
      this.#tell(job, snapshot);
    }
  }

  /** Save ranges until there are none left, or one of all workers has failed; never rejects. */
  async #work(job: Job, snapshot: PointInTimeCapability, queue: Queue): Promise<void> {
    const { wanted } = snapshot;
    let at = BEFORE_ALL;
    try {
      for (;;) {
        at = BEFORE_ALL;
        await job.checkpoint();
        this.#assertSound(snapshot);
        if (queue.failure.isThere) return;
        const chunk = Math.max(wanted.granularity, Math.min(this.#options.maxChunk ?? DEFAULT_CHUNK, job.evenLength));
        const range = wanted.nextDirtyRange(queue.at, wanted.size, chunk);
        if (!range) return;
        at = range.offset;
        queue.at = range.offset + range.length;
        await job.throttle(range.length);
        await this.#save(job, snapshot, range.offset, range.length);
        this.#tell(job, snapshot);
      }
    } catch (error) {
      queue.failure.note(at, error);
    }
  }

  async #save(job: Job, snapshot: PointInTimeCapability, offset: number, length: number): Promise<void> {
    const { onSourceError = 'report', onTargetError = 'report', compressed = false } = this.#options;
    for (;;) {
      try {
        return await snapshot.save(offset, length, { compressed, discard: true });
      } catch (thrown) {
        const error = asBlockError(thrown);
        const side = error.data?.side === 'read' ? 'read' : 'write';
        const action = await job.onError(side, side === 'read' ? onSourceError : onTargetError, error);
        if (action === 'ignore') return;
      }
    }
  }

  #assertSound(snapshot: PointInTimeCapability): void {
    if (snapshot.failure) throw snapshot.failure;
  }

  /** Also what the filter has saved for writes is done. */
  #tell(job: Job, snapshot: PointInTimeCapability): void {
    const done = this.#total - snapshot.wanted.count;
    if (done > this.#told) job.advance(done - this.#told);
    this.#told = Math.max(done, this.#told);
  }

  async prepare(): Promise<void> {
    await this.#options.target.entry.flush();
    if (this.#snapshot) this.#assertSound(this.#snapshot);
  }

  async commit(): Promise<void> {
    this.#releaseBitmap(this.#plan.bitmapMode !== 'never');
    await this.#removeFilter();
  }

  async abort(): Promise<void> {
    this.#releaseBitmap(this.#plan.bitmapMode === 'always');
    await this.#removeFilter();
  }

  /** With `advance`, what was copied is done with; what was not (after ignored errors too) stays dirty. */
  #releaseBitmap(advance: boolean): void {
    if (!this.#frozen || !this.#snapshot || !this.#bitmap) return;
    if (!advance) {
      this.#frozen.restore();
      return;
    }
    const before = this.#frozen.bits;
    this.#frozen.advance();
    const left = this.#snapshot.wanted;
    for (let range = left.nextDirtyRange(0); range; range = left.nextDirtyRange(range.offset + range.length)) {
      addDirty(this.#bitmap.bits, before, range.offset, range.length);
    }
  }

  async #removeFilter(): Promise<void> {
    const filter = this.#filter;
    this.#filter = undefined;
    if (filter) await takeOut(this.#options.graph, filter);
  }
}

function snapshotOf(filter: Node): PointInTimeCapability {
  const { pointInTime } = filter.image;
  if (!pointInTime) throw new Error('the copy-before-write filter has no snapshot');
  return pointInTime;
}

/** Mark in `bits` what of a range is dirty in `before`. */
function addDirty(bits: DirtyBitmap, before: DirtyBitmap, offset: number, length: number): void {
  for (const extent of before.extents(offset, length)) if (extent.dirty) bits.set(extent.offset, extent.length);
}

/** Have the snapshot be about what is dirty in `bits` alone. */
function restrict({ wanted, readable }: PointInTimeCapability, bits: DirtyBitmap): void {
  for (const bitmap of [wanted, readable]) {
    bitmap.clearAll();
    bitmap.merge(bits);
  }
}

export interface PreparedBackup {
  readonly job: Job;
  /** Have it be of this moment rather than of that in which the job starts. Once, and before that. */
  fix(): Promise<void>;
  /** Take back a job that was not started: nothing of it is left. */
  undo(): Promise<void>;
}

/** Make the job; it holds both nodes until it ends. Throws where it cannot be done, with nothing changed. */
export async function backupJob(
  jobs: JobList,
  options: BackupOptions,
  init: Partial<JobInit> = {},
): Promise<PreparedBackup> {
  const body = new BackupBody(options);
  const job = jobs.add({ type: 'backup', ...init, body });
  const undo = async (): Promise<void> => {
    job.giveUp();
    await job.finished.catch(() => undefined);
    if (!job.autoDismiss) job.dismiss();
  };
  const { graph, source, target } = options;
  try {
    job.hold(graph, { node: source, name: 'source', permissions: operations.backup.source });
    job.hold(graph, { node: target, name: 'target', permissions: operations.backup.target });
  } catch (error) {
    await undo();
    throw error;
  }
  return { job, fix: async () => void (await body.begin(job)), undo };
}
