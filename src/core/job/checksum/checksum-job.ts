/**
 * The checksum of a disk, as a job: a hash tree over its content (`merkle-tree.ts`), the same for whatever format and
 * wherever the disk lies. What is known to be zeroes is not read. One thread reads in order, others hash.
 */
import crypto from 'node:crypto';
import type { Backend } from '../../block/backend/backend.ts';
import { alignDown } from '../../bytes/ranges.ts';
import { Usage, withContext } from '../../errors/block-error.ts';
import type { Job, JobBody, JobInit } from '../job.ts';
import type { JobList } from '../job-list.ts';
import { beginPasses } from '../page-cache.ts';
import { PIECE } from './hash-piece.ts';
import { HashPool } from './hash-pool.ts';
import { BLOCK, MerkleTree, type Subtree } from './merkle-tree.ts';

export const checksumAlgorithms = ['sha256', 'sha512', 'sha1', 'blake2b512', 'blake2s256', 'sha3-256'] as const;
export type ChecksumAlgorithm = (typeof checksumAlgorithms)[number];

export interface ChecksumOptions {
  /** The job closes it. */
  readonly disk: Backend;
  readonly algorithm?: ChecksumAlgorithm;
  /** Threads that hash; default one for each processor. */
  readonly threads?: number;
  /** Leave the page cache of the disk as it was; default true. */
  readonly cacheManners?: boolean;
}

/** Progress is in bytes of the disk. */
export class ChecksumBody implements JobBody {
  readonly #options: ChecksumOptions;
  readonly #tree: MerkleTree;
  #digest: Uint8Array | undefined;

  constructor(options: ChecksumOptions) {
    const { algorithm = 'sha256' } = options;
    if (!crypto.getHashes().includes(algorithm)) {
      throw new Usage(`the algorithm '${algorithm}' is not to be had on this system`);
    }
    this.#options = options;
    this.#tree = new MerkleTree(algorithm);
  }

  /** The checksum in hexadecimal digits, once the job is done. */
  get digest(): string {
    if (!this.#digest) throw new Error('the checksum is not known before the job is done');
    return Buffer.from(this.#digest).toString('hex');
  }

  async run(job: Job): Promise<void> {
    const { disk, algorithm = 'sha256', cacheManners } = this.#options;
    job.setTotal(disk.size);
    const passes = await beginPasses(cacheManners === false ? [] : [disk.image]);
    try {
      await using pool = new HashPool(algorithm, this.#options.threads);
      await this.#hash(job, pool);
    } finally {
      await passes.end();
    }
    this.#digest = this.#tree.root();
  }

  /** Read pieces in order into one buffer after the other; the hash of the oldest is taken before its buffer is. */
  async #hash(job: Job, pool: HashPool): Promise<void> {
    const { disk } = this.#options;
    const pending: (() => Promise<void>)[] = [];
    let slot = 0;
    for (let at = 0; at < disk.size; ) {
      await job.checkpoint();
      const data = await this.#nextData(at);
      const zeroes = alignDown(data - at, PIECE);
      // Whole pieces of zeroes before the piece that has data; behind the last data all whole blocks, and the last part.
      if (zeroes > 0) {
        pending.push(async () => this.#tree.addZeroes(zeroes / BLOCK));
        at += zeroes;
        job.advance(zeroes);
        continue;
      }
      if (pending.length >= pool.slots) await pending.shift()?.();
      const length = Math.min(PIECE, disk.size - at);
      const buffer = pool.buffer(slot, length);
      await job.throttle(length);
      await this.#read(at, buffer);
      const hashed = pool.hash(slot, length);
      hashed.catch(() => undefined); // it is waited for in its turn
      pending.push(async () => this.#add(await hashed));
      slot = (slot + 1) % pool.slots;
      at += length;
      job.advance(length);
    }
    for (const finish of pending) await finish();
  }

  async #read(at: number, buffer: Uint8Array): Promise<void> {
    try {
      await this.#options.disk.read(at, buffer);
    } catch (error) {
      throw withContext(`error while reading at byte ${at}`, error);
    }
  }

  #add(subtrees: readonly Subtree[]): void {
    for (const subtree of subtrees) this.#tree.add(subtree);
  }

  /** Where data begins at or behind `from`, or the end of the disk. */
  async #nextData(from: number): Promise<number> {
    const { disk } = this.#options;
    let at = from;
    while (at < disk.size) {
      const status = disk.chainStatus(at, disk.size - at, { precise: true });
      const { length, zero } = status instanceof Promise ? await status : status;
      if (!zero || length === 0) return at;
      at += length;
    }
    return at;
  }
}

/** Make the job; it owns the disk from now on, also if it is never started. */
export function checksumJob(
  jobs: JobList,
  options: ChecksumOptions,
  init: Partial<JobInit> = {},
): { readonly job: Job; readonly body: ChecksumBody } {
  const body = new ChecksumBody(options);
  const job = jobs.add({ type: 'checksum', ...init, body });
  job.own(options.disk);
  return { job, body };
}
