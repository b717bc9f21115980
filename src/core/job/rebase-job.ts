/**
 * Rebase: an image gets another backing file and shows the same disk. Where it has no data of its own and the two
 * backing files differ, what the old one shows is written to it. Its header names the new one last, when all of that
 * is stable, so that it is right at every moment.
 */
import type { Backend } from '../block/backend/backend.ts';
import { Flag } from '../block/driver.ts';
import { infoOf } from '../block/graph/image-info.ts';
import type { Node } from '../block/graph/node.ts';
import { alignDown, alignUp } from '../bytes/ranges.ts';
import { isZero, nextRun } from '../bytes/zero.ts';
import { BlockError, withContext } from '../errors/block-error.ts';
import { copy, TRANSFER } from './copy-engine/copy.ts';
import type { DiskPart, Segment } from './copy-engine/types.ts';
import type { Job, JobBody, JobInit } from './job.ts';
import { copyControl } from './job-copy.ts';
import type { JobList } from './job-list.ts';
import { beginPasses } from './page-cache.ts';

export interface RebaseRequest {
  /** The image with its old chain; the job closes it. */
  readonly image: Backend;
  /** The new backing file; undefined: none. The job closes it. */
  readonly next: Backend | undefined;
  /** A layer of the old chain that is the new backing file: what is only there needs no looking at. */
  readonly common: Node | undefined;
  /** As the header is to have them; no name: none. */
  readonly name: string | undefined;
  readonly format: string | undefined;
  /** Store what is written compressed. */
  readonly compressed: boolean;
}

class RebaseBody implements JobBody {
  readonly #request: RebaseRequest;
  /** Bytes in which the image can be written without anything else of it being copied, a power of two. */
  #unit = 1;

  constructor(request: RebaseRequest) {
    this.#request = request;
  }

  async run(job: Job): Promise<void> {
    const { image, next, common, compressed } = this.#request;
    const info = await infoOf(image.image);
    const { clusterSize = 1, subclusterSize = clusterSize } = info ?? {};
    this.#unit = compressed ? clusterSize : subclusterSize;
    job.setTotal(image.size);
    const passes = await beginPasses(next ? [image.image, next.image] : [image.image]);
    try {
      await copy({
        sources: [{ backend: image, targetOffset: 0, below: image.image.layer, ...(common ? { base: common } : {}) }],
        target: { backend: image, readsZero: false, clusterSize, unit: this.#unit },
        control: copyControl(job),
        sparse: this.#unit,
        unordered: true,
        transfer: Math.max(TRANSFER, this.#unit),
        move: (segment) => this.#adopt(segment),
      });
    } finally {
      await passes.end();
    }
    await image.flush();
  }

  /** Nothing is lost whenever this breaks off: the header is written as a whole, and both chains are right. */
  async prepare(): Promise<void> {
    const { image, name, format } = this.#request;
    await image.flush();
    await image.image.layer.image.backing?.change?.(name, format);
  }

  /** Write what the old chain shows in a range, as far as the new one shows something else. */
  async #adopt(segment: Segment): Promise<void> {
    const { image } = this.#request;
    const start = alignDown(segment.offset, this.#unit);
    const end = Math.min(image.size, alignUp(segment.offset + segment.length, this.#unit));
    for (let at = start; at < end; ) {
      const length = Math.min(end - at, alignDown(at, PIECE) + PIECE - at);
      // Short ones are stored as they are; what is long would take space for nothing.
      if (segment.kind === 'zero' && segment.length >= PIECE) at += await this.#adoptZeroes(at, end);
      else {
        await this.#adoptData({ offset: at, length });
        at += length;
      }
    }
  }

  /** What the old chain shows as zeroes; returns the bytes dealt with. */
  async #adoptZeroes(offset: number, end: number): Promise<number> {
    const { image, next } = this.#request;
    const room = Math.max(0, Math.min(end, next?.size ?? 0) - offset);
    if (!next || room === 0) return end - offset;
    const status = await next.chainStatus(offset, room);
    if (status.zero) return status.length;
    const stop = Math.min(end, alignUp(offset + status.length, this.#unit));
    const length = Math.min(stop - offset, PIECE);
    const there = await this.#readNext({ offset, length });
    if (!isZero(there)) {
      for (const run of this.#differing(Buffer.alloc(length), there)) {
        await image.zero(offset + run.offset, run.length, Flag.UNCHANGED);
      }
    }
    return length;
  }

  async #adoptData({ offset, length }: DiskPart): Promise<void> {
    const { image, compressed } = this.#request;
    const old = Buffer.allocUnsafe(length);
    const [there] = await Promise.all([this.#readNext({ offset, length }), image.read(offset, old)]);
    for (const run of this.#differing(old, there)) {
      const data = old.subarray(run.offset, run.offset + run.length);
      if (compressed) await this.#writeClusters(offset + run.offset, data);
      else await this.#writeRuns(offset + run.offset, data);
    }
  }

  async #writeRuns(offset: number, data: Uint8Array): Promise<void> {
    const { image } = this.#request;
    const granularity = this.#unit === 1 ? LEAST_ZEROES : this.#unit;
    for (let at = 0; at < data.length; ) {
      const run = nextRun(data, at, { offset, granularity });
      if (run > 0) await image.write(offset + at, data.subarray(at, at + run), Flag.UNCHANGED);
      else await image.zero(offset + at, -run, Flag.UNCHANGED);
      at += Math.abs(run);
    }
  }

  async #writeClusters(offset: number, data: Uint8Array): Promise<void> {
    const { image } = this.#request;
    for (let at = 0; at < data.length; at += this.#unit) {
      const cluster = data.subarray(at, at + this.#unit);
      if (isZero(cluster)) await image.zero(offset + at, cluster.length, Flag.UNCHANGED);
      else await image.writeCompressed(offset + at, cluster);
    }
  }

  /** Past its end a shorter backing file shows zeroes. */
  async #readNext({ offset, length }: DiskPart): Promise<Uint8Array> {
    const { next } = this.#request;
    const buf = Buffer.allocUnsafe(length);
    const inside = Math.max(0, Math.min(length, (next?.size ?? 0) - offset));
    buf.fill(0, inside);
    if (next && inside > 0) await next.read(offset, buf.subarray(0, inside));
    return buf;
  }

  /** The stretches, in whole units, in which two pieces of a disk differ. */
  *#differing(old: Buffer, there: Uint8Array): Generator<DiskPart> {
    if (old.equals(there)) return;
    let from = -1;
    for (let at = 0; at < old.length; at += this.#unit) {
      const end = Math.min(old.length, at + this.#unit);
      const same = old.subarray(at, end).equals(there.subarray(at, end));
      if (!same && from < 0) from = at;
      if (same && from >= 0) {
        yield { offset: from, length: at - from };
        from = -1;
      }
    }
    if (from >= 0) yield { offset: from, length: old.length - from };
  }
}

/** Shortest run of zeroes that is stored as such where there are no units, in bytes. */
const LEAST_ZEROES = 4096;

/** Bytes compared at a time. */
const PIECE = 2 * 1024 * 1024;

/** Make the job; it owns the backends from now on, also if it is never started. */
export function rebaseJob(jobs: JobList, request: RebaseRequest, init: Partial<JobInit> = {}): Job {
  const { image, next, compressed, name } = request;
  const layer = image.image.layer;
  if (!layer.image.backing?.change) {
    throw new BlockError(`driver '${layer.driver.name}' has no backing files`, { code: 'ENOTSUP' });
  }
  if (compressed && !image.image.io.canCompress) {
    throw new BlockError(`format '${layer.driver.name}' cannot store compressed data`, { code: 'ENOTSUP' });
  }
  if (next === undefined && name !== undefined) throw withContext(name, new Error('a name without its image'));
  const job = jobs.add({ ...init, type: 'rebase', body: new RebaseBody(request) });
  job.own(image);
  if (next) job.own(next);
  return job;
}
