/**
 * The mirror job: makes the target show what the source shows.
 *
 * `full` copies the whole chain, `top` what the topmost layer holds, `none` nothing of what is there already. The
 * source holds still: nothing writes to it while the job runs, which its permissions see to.
 */
import type { Backend } from '../block/backend/backend.ts';
import { Flag } from '../block/driver.ts';
import { subtree } from '../block/graph/drain.ts';
import type { Node } from '../block/graph/node.ts';
import type { ChainExtent } from '../block/graph/status.ts';
import { BlockError } from '../errors/block-error.ts';
import { copy, dataToCopy } from './copy-engine/copy.ts';
import { KnownStatus } from './copy-engine/known-status.ts';
import type { CopyOptions, CopySource, DiskPart } from './copy-engine/types.ts';
import type { ErrorPolicy } from './error-policy.ts';
import type { Job, JobBody, JobInit } from './job.ts';
import { copyControl, copyTarget } from './job-copy.ts';
import type { JobList } from './job-list.ts';
import { beginPasses } from './page-cache.ts';

export const syncModes = ['full', 'top', 'none'] as const;
export type SyncMode = (typeof syncModes)[number];

export type CopySettings = Pick<
  CopyOptions,
  'parallel' | 'sparse' | 'compressed' | 'offload' | 'unordered' | 'salvage' | 'transfer'
>;

export interface MirrorOptions extends CopySettings {
  /** Disks that are copied one behind the other; the job closes them. */
  readonly sources: readonly Backend[];
  /** With one source: copy this much of it to the beginning of the target; default all of it. */
  readonly part?: DiskPart;
  /** The job closes it. */
  readonly target: Backend;
  readonly sync: SyncMode;
  /** See {@link CopyOptions.observe}. */
  readonly observe?: NonNullable<CopyOptions['observe']>;
  /** The target was just made, or is known to read as zeroes, and shows no backing file: zeroes need no writing. */
  readonly targetReadsZero: boolean;
  /** The target shows a backing file where nothing is written. */
  readonly targetHasBacking?: boolean;
  /** Progress is in bytes of data, which are counted first; default: in bytes of the disk. */
  readonly countsData?: boolean | undefined;
  /** Leave the page cache of the source as it was; default true. */
  readonly cacheManners?: boolean;
  readonly onSourceError?: ErrorPolicy;
  readonly onTargetError?: ErrorPolicy;
  warn(message: string): void;
}

/** The work of a mirror job. */
export class MirrorBody implements JobBody {
  readonly #options: MirrorOptions;

  constructor(options: MirrorOptions) {
    this.#options = options;
  }

  async run(job: Job): Promise<void> {
    const { sources, target, sync, cacheManners, part } = this.#options;
    const length = part?.length ?? sources.reduce((sum, source) => sum + source.size, 0);
    if (length > target.size) {
      throw new BlockError(`the target has ${target.size} bytes, too few for the ${length} of the source`);
    }
    job.setTotal(length);
    if (sync !== 'none') {
      const passes = await beginPasses(cacheManners === false ? [] : sources.map((source) => source.image));
      try {
        await this.#copy(job, length);
      } finally {
        await passes.end();
      }
    }
    await target.flush();
  }

  async #copy(job: Job, length: number): Promise<void> {
    const { target } = this.#options;
    const readsZero = this.#options.targetReadsZero || (await this.#zeroFirst(job, length));
    const plan = {
      ...this.#options,
      sources: this.#layOut(),
      target: await copyTarget(target, readsZero),
      control: copyControl(job, this.#options),
    };
    if (!this.#options.countsData) return copy(plan);
    const counted = { ...plan, known: new KnownStatus() };
    const data = await dataToCopy(counted, () => job.checkpoint());
    if (data === undefined)
      return copy({ ...counted, control: copyControl(job, { ...this.#options, countsData: false }) });
    job.setTotal(data);
    return copy(counted);
  }

  #layOut(): CopySource[] {
    const { sources, part, sync } = this.#options;
    let targetOffset = 0 - (part?.offset ?? 0);
    return sources.map((backend) => {
      const base = sync === 'top' ? belowTop(backend.image) : undefined;
      const source: CopySource = { backend, targetOffset, ...(base ? { base } : {}), ...(part ? { part } : {}) };
      targetOffset += backend.size;
      return source;
    });
  }

  /**
   * Empty an existing target where that takes no writing, so that zeroes need not be written one by one: its first
   * `end` bytes, for what lies behind the source's end stays as it is. Where it shows zeroes that it does not hold, they
   * become its own if its format can say so: the copy is not to depend on what is, or will be, below it. False when it
   * is not known to be empty now. Not on devices: what they call zeroing may be writing after all.
   */
  async #zeroFirst(job: Job, end: number): Promise<boolean> {
    const { target, targetHasBacking, sparse } = this.#options;
    const writesAll = sparse === 0;
    if (writesAll || targetHasBacking || !target.image.modes.unmap) return false;
    if ([...subtree(target.image)].some((node) => node.image.blockSizes !== undefined)) return false;
    for (let at = 0; at < end; ) {
      await job.checkpoint();
      const extent = await target.chainStatus(at, Math.min(end - at, ZERO_STEP));
      if (extent.length === 0) break;
      if (!(await emptied(target, at, extent))) return false;
      at += extent.length;
    }
    return true;
  }
}

/** Whether zeroes are now what `target` itself says of an extent of its disk; without writing them. */
async function emptied(target: Backend, at: number, extent: ChainExtent): Promise<boolean> {
  const { length, zero, allocated, depth } = extent;
  if (zero && allocated && depth === 0) return true;
  try {
    await target.zero(at, length, Flag.MAY_UNMAP | Flag.NO_FALLBACK);
    return true;
  } catch (error) {
    if (!(error instanceof BlockError && error.code === 'ENOTSUP')) throw error;
    // Nothing there, and no way to say more than that.
    return zero && !allocated && belowTop(target.image) === undefined;
  }
}

/** Make the job; it owns the backends from now on, also if it is never started. */
export function mirrorJob(jobs: JobList, options: MirrorOptions, init: Partial<JobInit> = {}): Job {
  const job = jobs.add({ type: 'mirror', ...init, body: new MirrorBody(options) });
  job.own(options.target);
  for (const backend of options.sources) job.own(backend);
  return job;
}

/** Bytes that are emptied between two looks at whether the job goes on. */
const ZERO_STEP = 1024 * 1024 * 1024;

/** The layer below the topmost one that is not a filter. */
export function belowTop(top: Node): Node | undefined {
  let node: Node | undefined = top;
  while (node && node.driver.kind === 'filter' && !node.backing) node = node.filtered?.node;
  return node?.backing?.node;
}
