/**
 * The bitmap merge job: what is dirty in some bitmaps becomes dirty in another one. The target changes at the end, as a
 * whole; what is written to its disk meanwhile is not lost. Progress is in bytes of the disk, for each source.
 */

import type { DirtyBitmap } from '../bitmap/index.ts';
import { type BitmapPlace, mergeable, type NamedBitmap } from '../block/bitmaps/index.ts';
import type { Node } from '../block/graph/node.ts';
import type { Job, JobBody, JobInit } from './job.ts';
import type { JobList } from './job-list.ts';

/** Stretches that are merged between two looks at whether the job goes on. */
const BATCH = 16_384;

export interface MergeRequest {
  readonly node: Node;
  /** The bitmap of `node` that the others are added to. */
  readonly name: string;
  readonly sources: readonly BitmapPlace[];
}

export class BitmapMergeBody implements JobBody {
  readonly #request: MergeRequest;
  readonly #target: NamedBitmap;
  readonly #sources: readonly NamedBitmap[];
  #merged: DirtyBitmap | undefined;
  readonly #release: (() => void)[] = [];

  /** Throws where one of the bitmaps cannot be used, or when they are of disks of different sizes. */
  constructor(request: MergeRequest) {
    this.#request = request;
    this.#target = request.node.io.bitmaps.get(request.name);
    this.#sources = mergeable(this.#target, request.sources);
  }

  async run(job: Job): Promise<void> {
    const target = this.#target;
    for (const bitmap of new Set([target, ...this.#sources])) this.#release.push(bitmap.hold(job.describe()));
    job.setTotal(target.bits.size * this.#sources.length);
    const merged = target.bits.clone();
    for (const source of this.#sources) await this.#add(job, merged, source.bits);
    this.#merged = merged;
  }

  async #add(job: Job, merged: DirtyBitmap, bits: DirtyBitmap): Promise<void> {
    let at = 0;
    while (at < bits.size) {
      await job.checkpoint();
      const before = at;
      if (bits.granularity === merged.granularity) {
        merged.merge(bits);
        at = bits.size;
      }
      for (let count = 0; count < BATCH && at < bits.size; count++) {
        const range = bits.nextDirtyRange(at);
        if (range) merged.set(range.offset, range.length);
        at = range ? range.offset + range.length : bits.size;
      }
      job.advance(at - before);
    }
  }

  /** It is said in the image that the bitmap is going to differ from what is kept. */
  async prepare(): Promise<void> {
    await this.#request.node.io.bitmaps.beginChange([this.#target]);
  }

  commit(): void {
    this.#letGo();
    if (this.#merged) this.#target.bits.merge(this.#merged);
  }

  abort(): void {
    this.#letGo();
  }

  #letGo(): void {
    for (const release of this.#release.splice(0)) release();
  }
}

export function bitmapMergeJob(jobs: JobList, request: MergeRequest, init: Partial<JobInit> = {}): Job {
  return jobs.add({ type: 'bitmap-merge', ...init, body: new BitmapMergeBody(request) });
}
