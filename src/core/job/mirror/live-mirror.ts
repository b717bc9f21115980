/**
 * The work of a mirror under use: a pass over the disk, then over what has changed meanwhile, until nothing is left;
 * then it keeps up until it is told to end. The end, with or without the switch of users to the target, happens while
 * nobody sends requests.
 *
 *     round(all) ─▶ round(changed) … ─▶ ready ⇄ round(changed) ─▶ drained { round(changed) ─▶ flush ─▶ switch }
 */
import type { Maybe } from '../../async/maybe.ts';
import { sleep } from '../../async/sleep.ts';
import { DirtyBitmap } from '../../bitmap/index.ts';
import type { Backend } from '../../block/backend/backend.ts';
import type { DirtyTracker } from '../../block/bitmaps/index.ts';
import { trackWrites } from '../../block/bitmaps/index.ts';
import { Flag } from '../../block/driver.ts';
import type { Node } from '../../block/graph/node.ts';
import { RequestTracker } from '../../block/request/tracker.ts';
import { BlockError, Usage } from '../../errors/block-error.ts';
import type { Options } from '../../options/schema.ts';
import { copy, TRANSFER } from '../copy-engine/copy.ts';
import type { CopyControl, DiskPart, Segment } from '../copy-engine/types.ts';
import type { ErrorPolicy } from '../error-policy.ts';
import type { Job, JobBody } from '../job.ts';
import { copyControl, copyTarget } from '../job-copy.ts';
import type { SyncMode } from '../mirror-job.ts';
import type { MirrorObserver } from './mirror-filter.ts';

export const copyModes = ['background', 'write-blocking'] as const;
export type CopyMode = (typeof copyModes)[number];

export interface LiveMirrorOptions {
  /** Below the filter; sends requests also while the graph is drained, and so does `target`. */
  readonly source: Backend;
  readonly target: Backend;
  readonly sync: SyncMode;
  /** With `top`: what lies there or below is not copied. */
  readonly base?: Node | undefined;
  /** Bytes of the unit in which changes are noted, a power of two. */
  readonly granularity: number;
  /** Bytes in flight at most. */
  readonly bufSize: number;
  /** Zeroing may deallocate. */
  readonly unmap: boolean;
  readonly copyMode: CopyMode;
  readonly targetReadsZero: boolean;
  readonly onSourceError: ErrorPolicy;
  readonly onTargetError: ErrorPolicy;
  /** End as soon as all is copied, without a switch: nobody else uses the disk. */
  readonly endWhenReady: boolean;
  /** Have the kernel copy where it can. */
  readonly offload: boolean;
  /** Have a target that is too short grow, rather than refuse it. */
  readonly growTarget: boolean;
  /** The end, while nobody sends requests: first `catchUp`, then the users are moved (`complete`) or left. */
  finish(how: 'complete' | 'settle', catchUp: () => Promise<void>): Promise<void>;
  /** Undo what was done to the graph. */
  abandon(): Promise<void>;
}

/** Stretches that one round deals with. */
const ROUND = 1024;
const MAX_PARALLEL = 16;
/** Milliseconds between looks at whether a job that has nothing to do is to pause, and before a failed range is tried again. */
const IDLE_MS = 100;

const SECTOR = 512;

interface Failure {
  readonly operation: 'read' | 'write';
  readonly error: unknown;
}

/** Who is asked during a round. */
interface Pass extends Pick<CopyControl, 'checkpoint' | 'throttle' | 'evenLength' | 'advance'> {
  failed(failure: Failure): Promise<void>;
}

export class LiveMirror implements JobBody, MirrorObserver {
  readonly #options: LiveMirrorOptions;
  /** What has changed, recorded below the filter; in the write-blocking mode the filter says what is left. */
  readonly #dirty: DirtyTracker;
  /** Written through to the target since the round began. */
  readonly #touched: DirtyBitmap;
  readonly #locks = new RequestTracker();
  /** By the index of their segment in the round. */
  readonly #failures = new Map<number, Failure>();
  #copyMode: CopyMode;
  #ending: 'complete' | 'settle' | undefined;
  #ready = false;
  #activeFailure: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;

  constructor(options: LiveMirrorOptions) {
    const { source, granularity } = options;
    this.#options = options;
    this.#copyMode = options.copyMode;
    this.#dirty = trackWrites(source.image, granularity);
    this.#dirty.recording = !this.active;
    // Another job that ends below has the users of its source, and this one, go on elsewhere.
    source.onMoved = () => this.#dirty.follow(source.image.io.bitmaps);
    this.#touched = new DirtyBitmap(source.size, granularity);
  }

  // ---- what the filter asks ----

  get active(): boolean {
    return this.#copyMode === 'write-blocking';
  }

  changed(offset: number, length: number): void {
    if (this.active) this.#dirty.putBack({ offset, length });
    this.#wake?.();
  }

  async both(range: DiskPart, source: () => Maybe<void>, target: () => Maybe<void>): Promise<void> {
    const { offset, length } = range;
    await this.#alone(range, async () => {
      try {
        await source();
      } catch (error) {
        this.changed(offset, length);
        throw error;
      }
      this.#touched.set(offset, length);
      try {
        await target();
      } catch (error) {
        this.#activeFailure ??= { error };
        this.changed(offset, length);
      }
    });
  }

  // ---- what the user asks ----

  complete(): void {
    this.#end('complete');
  }

  settle(): void {
    this.#end('settle');
  }

  change(options: Options): void {
    const mode = options['copy-mode'];
    if (mode === this.#copyMode) return;
    if (mode !== 'write-blocking') throw new Usage(`a mirror cannot be changed to copy-mode ${String(mode)}`);
    this.#copyMode = mode;
    // Writes that began before are to be recorded still.
    void this.#options.source.image.io.tracker.settled().then(() => {
      this.#dirty.recording = false;
    });
  }

  details(): Readonly<Record<string, unknown>> {
    return { 'actively-synced': this.active && this.#ready && this.#dirty.count === 0 };
  }

  #end(how: 'complete' | 'settle'): void {
    this.#ending ??= how;
    this.#wake?.();
  }

  // ---- the work ----

  async run(job: Job): Promise<void> {
    const { source, target, sync, endWhenReady } = this.#options;
    const pass: Pass = {
      ...copyControl(job),
      // What is not to be copied is nothing that there was to do.
      advance: (bytes, kind) => (kind === 'skip' ? job.setTotal(job.progress.total - bytes) : job.advance(bytes)),
      failed: (failure) => this.#report(job, failure),
    };
    await this.#fitTarget();
    if (sync !== 'none') {
      job.setTotal(source.size);
      await this.#round([{ offset: 0, length: source.size }], pass, true);
    }
    while (!(await this.#keepUp(job, pass))) {
      if (endWhenReady) {
        this.#ending = 'settle';
        break;
      }
      if (!this.#ready) job.becomeReady();
      this.#ready = true;
      await this.#rest();
    }
    await target.flush();
  }

  /** Copy what has changed; true when it is time to end, false when there is nothing left to do. */
  async #keepUp(job: Job, pass: Pass): Promise<boolean> {
    for (;;) {
      if (this.#dirty.count > 0) {
        job.setTotal(job.progress.done + this.#dirty.count);
        await this.#round(this.#taken(), pass, false);
      }
      const { activeFailure } = this;
      if (activeFailure) await this.#report(job, activeFailure);
      const paused = job.checkpoint();
      if (paused) await paused;
      if (this.#ending) return true;
      if (!paused && this.#dirty.count === 0) return false;
    }
  }

  /** Failed to write through, since this was last asked. */
  get activeFailure(): Failure | undefined {
    const failure = this.#activeFailure;
    this.#activeFailure = undefined;
    return failure && { operation: 'write', error: failure.error };
  }

  /** The job fails, pauses, or goes on; in the last case after a moment, since the range is tried again. */
  async #report(job: Job, { operation, error }: Failure): Promise<void> {
    const { onSourceError, onTargetError } = this.#options;
    const next = await job.onError(operation, operation === 'read' ? onSourceError : onTargetError, error);
    if (next === 'ignore') await sleep(IDLE_MS);
    // What failed while it was paused is tried again with the rest, and no reason to pause once more.
    else this.#activeFailure = undefined;
  }

  /** Until something changes, or the user wants something; pauses are noticed after a while. */
  async #rest(): Promise<void> {
    const timer = new AbortController();
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    await Promise.race([woken, sleep(IDLE_MS, timer.signal)]);
    timer.abort();
    this.#wake = undefined;
  }

  /** All that is left, the flush, and the switch: as one, while nobody writes. */
  async prepare(): Promise<void> {
    const { target, finish } = this.#options;
    const nothing = (): void => undefined;
    const pass: Pass = {
      checkpoint: nothing,
      throttle: nothing,
      advance: nothing,
      failed: ({ error }) => Promise.reject(error),
    };
    await finish(this.#ending ?? 'settle', async () => {
      while (this.#dirty.count > 0) await this.#round(this.#taken(), pass, false);
      await target.flush();
    });
  }

  async abort(): Promise<void> {
    this.#stopRecording();
    await this.#options.abandon();
  }

  commit(): void {
    this.#stopRecording();
  }

  #stopRecording(): void {
    this.#options.source.onMoved = undefined;
    this.#dirty.dispose();
  }

  async #fitTarget(): Promise<void> {
    const { source, target, growTarget } = this.#options;
    if (target.size === source.size) return;
    if (growTarget && target.size < source.size) return target.truncate(source.size);
    if (growTarget) return;
    throw new BlockError(
      `the target '${target.image.name}' has ${target.size} bytes, the source '${source.image.name}' has ${source.size}: a mirror needs the same`,
    );
  }

  /** What one round is to deal with. */
  #taken(): DiskPart[] {
    const parts: DiskPart[] = [];
    while (parts.length < ROUND) {
      const range = this.#dirty.take(Number.MAX_SAFE_INTEGER);
      if (!range) break;
      parts.push(range);
    }
    return parts;
  }

  async #round(parts: readonly DiskPart[], pass: Pass, first: boolean): Promise<void> {
    const { source, target, base, targetReadsZero, offload } = this.#options;
    const readsZero = first && targetReadsZero;
    this.#touched.clearAll();
    await copy({
      sources: parts.map((part) => ({
        backend: source,
        targetOffset: 0,
        part,
        ...(first && base ? { base } : {}),
      })),
      target: await copyTarget(target, readsZero),
      control: {
        ...pass,
        onError: async (operation, error, segment) => {
          this.#failures.set(segment.index, { operation, error });
          return 'ignore';
        },
        warn: () => undefined,
      },
      ...this.#window(),
      offload,
      unordered: true,
      move: (segment, usual) => (segment.kind === 'zero' && readsZero ? undefined : this.#move(segment, usual, pass)),
    });
  }

  /** Requests at a time and their length, within the bytes that may be in flight. */
  #window(): { readonly transfer: number; readonly parallel: number } {
    const { bufSize } = this.#options;
    const transfer = Math.max(SECTOR, Math.min(TRANSFER, 2 ** Math.floor(Math.log2(bufSize))));
    return { transfer, parallel: Math.max(1, Math.min(MAX_PARALLEL, Math.floor(bufSize / transfer))) };
  }

  /** Copy a segment with its range to itself. What fails is noted, and the job told once the range is free again. */
  async #move(segment: Segment, usual: () => Maybe<void>, pass: Pass): Promise<void> {
    for (;;) {
      const pause: { until?: Maybe<void> } = {};
      await this.#alone(segment, async () => {
        // Who writes here must not wait for as long as the job is paused.
        pause.until = pass.checkpoint();
        if (pause.until) return;
        // Planned before somebody wrote through to the target.
        if (segment.kind === 'zero' && this.#isTouched(segment)) await this.#zeroAround(segment);
        else await usual();
      });
      if (!pause.until) break;
      await pause.until;
    }
    const failure = this.#failures.get(segment.index);
    if (!failure) return;
    this.#failures.delete(segment.index);
    this.#dirty.putBack(segment);
    await pass.failed(failure);
  }

  #isTouched({ offset, length }: DiskPart): boolean {
    return this.#touched.nextDirty(offset, offset + length) >= 0;
  }

  /** Zero what nobody has written to; the rest is looked at again. */
  async #zeroAround(segment: Segment): Promise<void> {
    const { target, unmap } = this.#options;
    const flags = unmap ? Flag.MAY_UNMAP : 0;
    try {
      for (const { offset, length, dirty } of this.#touched.extents(segment.offset, segment.length)) {
        if (dirty) this.#dirty.putBack({ offset, length });
        else await target.zero(offset, length, flags);
      }
    } catch (error) {
      this.#failures.set(segment.index, { operation: 'write', error });
    }
  }

  async #alone({ offset, length }: DiskPart, action: () => Promise<void>): Promise<void> {
    const lock = this.#locks.begin({ start: offset, length, serialising: true, marks: false });
    try {
      await this.#locks.waitForOverlaps(lock);
      await action();
    } finally {
      this.#locks.end(lock);
    }
  }
}
