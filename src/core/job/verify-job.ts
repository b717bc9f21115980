/**
 * Reading a copy again: while the copy runs, a hash of each piece that is read from the source is kept; afterwards the
 * target is read once, from its medium where the system lets us, and must have the same hashes, and zeroes elsewhere.
 */
import type { Maybe } from '../async/maybe.ts';
import type { Backend } from '../block/backend/backend.ts';
import { subtree } from '../block/graph/drain.ts';
import { nodeCrypto } from '../bytes/node-crypto.ts';
import { isZero } from '../bytes/zero.ts';
import { BlockError, withContext } from '../errors/block-error.ts';
import { alignedBuffer } from '../host/index.ts';
import type { DiskPart, Segment } from './copy-engine/types.ts';
import { BEFORE_ALL, FirstFailure } from './first-failure.ts';
import type { Job, JobBody } from './job.ts';
import type { JobList } from './job-list.ts';

const HASH = 'sha256';
const HASH_BYTES = 32;
/** Offset (8), length (4), hash. */
const RECORD = 12 + HASH_BYTES;
const FIRST_RECORDS = 1024;
/** Records checked at a time. */
const LANES = 4;
const ZERO_STEP = 1024 * 1024;
const PAGE = 4096;

function hashOf(bytes: Uint8Array): Buffer {
  return nodeCrypto().createHash(HASH).update(bytes).digest();
}

/** What the target must hold: 44 bytes for each piece of the copy. */
export class CopyRecord {
  #records = Buffer.alloc(FIRST_RECORDS * RECORD);
  #count = 0;
  readonly #zeroes: { offset: number; length: number }[] = [];
  /** Bytes noted. */
  total = 0;

  /** To be called with every segment of a copy that the target is given; without bytes it is zeroes. */
  note({ offset, length }: Pick<Segment, 'offset' | 'length'>, bytes: Uint8Array | undefined): void {
    this.total += length;
    if (bytes) this.#noteData(offset, bytes);
    else this.#noteZero(offset, length);
  }

  #noteData(offset: number, bytes: Uint8Array): void {
    const at = this.#count++ * RECORD;
    if (at + RECORD > this.#records.length) this.#records = Buffer.concat([this.#records], this.#records.length * 2);
    this.#records.writeBigUInt64LE(BigInt(offset), at);
    this.#records.writeUInt32LE(bytes.length, at + 8);
    this.#records.set(hashOf(bytes), at + 12);
  }

  #noteZero(offset: number, length: number): void {
    const last = this.#zeroes.at(-1);
    if (last && last.offset + last.length === offset) last.length += length;
    else this.#zeroes.push({ offset, length });
  }

  /** The offset of a piece, by its number. */
  #offsetOf(index: number): number {
    return Number(this.#records.readBigUInt64LE(index * RECORD));
  }

  /** Length in bytes of the longest piece of data. */
  get longest(): number {
    let longest = 0;
    for (let i = 0; i < this.#count; i++) longest = Math.max(longest, this.#records.readUInt32LE(i * RECORD + 8));
    return longest;
  }

  /** In the order of the disk, in which they need not have come. */
  *pieces(): Generator<{ readonly offset: number; readonly length: number; readonly hash: Uint8Array }> {
    const order = Uint32Array.from({ length: this.#count }, (_, index) => index);
    for (const index of order.sort((a, b) => this.#offsetOf(a) - this.#offsetOf(b))) {
      const at = index * RECORD;
      yield {
        offset: this.#offsetOf(index),
        length: this.#records.readUInt32LE(at + 8),
        hash: this.#records.subarray(at + 12, at + RECORD),
      };
    }
  }

  /** In the order of the disk; what is adjacent is one. */
  get zeroes(): readonly DiskPart[] {
    const joined: { offset: number; length: number }[] = [];
    for (const { offset, length } of [...this.#zeroes].sort((a, b) => a.offset - b.offset)) {
      const last = joined.at(-1);
      if (last && last.offset + last.length === offset) last.length += length;
      else joined.push({ offset, length });
    }
    return joined;
  }
}

export interface VerifyOptions {
  /** The job closes it. */
  readonly target: Backend;
  readonly record: CopyRecord;
  /** For messages. */
  readonly fileName: string;
}

/** Progress is in bytes of the copy. */
class VerifyBody implements JobBody {
  readonly #options: VerifyOptions;
  /** By the order of the disk, in which pieces are taken. */
  readonly #failure = new FirstFailure();

  constructor(options: VerifyOptions) {
    this.#options = options;
  }

  async run(job: Job): Promise<void> {
    const { target, record } = this.#options;
    job.setTotal(record.total);
    for (const node of subtree(target.image)) await node.image.pageCache?.forget?.();
    const pieces = record.pieces();
    await Promise.all(Array.from({ length: LANES }, () => this.#checkData(job, pieces)));
    this.#failure.throwIfThere();
    for (const { offset, length } of record.zeroes) await this.#checkZeroes(job, offset, length);
  }

  /** Check pieces until there are none left, or one of all lanes has failed; never rejects. */
  async #checkData(job: Job, pieces: ReturnType<CopyRecord['pieces']>): Promise<void> {
    const { target, record } = this.#options;
    const buffer = alignedBuffer(Math.max(record.longest, 1), Math.max(PAGE, target.limits.memoryAlignment ?? 1));
    let at = BEFORE_ALL;
    try {
      await job.checkpoint();
      for (const { offset, length, hash } of pieces) {
        at = offset;
        const bytes = buffer.subarray(0, length);
        await this.#read(offset, bytes);
        if (!hashOf(bytes).equals(hash)) throw this.#mismatch(offset, length);
        job.advance(length);
        at = BEFORE_ALL;
        await job.checkpoint();
        if (this.#failure.isThere) return;
      }
    } catch (error) {
      this.#failure.note(at, error);
    }
  }

  async #checkZeroes(job: Job, offset: number, length: number): Promise<void> {
    const { target } = this.#options;
    const buffer = Buffer.alloc(Math.min(ZERO_STEP, length));
    for (let at = offset; at < offset + length; ) {
      await job.checkpoint();
      const status = await target.chainStatus(at, offset + length - at);
      const step = status.zero ? status.length : Math.min(status.length, buffer.length);
      if (!status.zero) {
        const bytes = buffer.subarray(0, step);
        await this.#read(at, bytes);
        if (!isZero(bytes)) throw this.#mismatch(at, step);
      }
      at += step;
      job.advance(step);
    }
  }

  #read(offset: number, bytes: Uint8Array): Maybe<void> {
    const { target, fileName } = this.#options;
    const failed = (error: unknown): never => {
      throw withContext(`verification failed: '${fileName}' cannot be read at offset ${offset}`, error);
    };
    try {
      const done = target.read(offset, bytes);
      return done instanceof Promise ? done.catch(failed) : done;
    } catch (error) {
      return failed(error);
    }
  }

  #mismatch(offset: number, length: number): BlockError {
    const { fileName } = this.#options;
    return new BlockError(
      `verification failed: '${fileName}' differs from the source within ${length} bytes at offset ${offset}`,
      { code: 'EIO', data: { offset, length } },
    );
  }
}

/** Make the job; it owns the target from now on, also if it is never started. */
export function verifyJob(jobs: JobList, options: VerifyOptions): Job {
  const job = jobs.add({ type: 'verify', body: new VerifyBody(options) });
  job.own(options.target);
  return job;
}
