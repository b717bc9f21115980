/** Which parts of a disk are still to be copied: a bit for each chunk. */
import type { DiskPart } from '../copy-engine/types.ts';

export class DirtyMap {
  /** Bytes of a chunk, a power of two. */
  readonly granularity: number;
  readonly #size: number;
  readonly #chunks: number;
  readonly #bits: Uint8Array;
  #count = 0;
  /** Chunk from which the next search goes on. */
  #cursor = 0;

  constructor(size: number, granularity: number) {
    this.granularity = granularity;
    this.#size = size;
    this.#chunks = Math.ceil(size / granularity);
    this.#bits = new Uint8Array(Math.ceil(this.#chunks / 8));
  }

  get any(): boolean {
    return this.#count > 0;
  }

  /** Bytes marked, in whole chunks. */
  get bytes(): number {
    return this.#count * this.granularity;
  }

  mark(offset: number, length: number): void {
    const end = Math.min(this.#chunks, Math.ceil((offset + length) / this.granularity));
    for (let chunk = Math.floor(offset / this.granularity); chunk < end; chunk++) {
      const bit = 1 << (chunk & 7);
      const byte = this.#bits[chunk >>> 3] ?? 0;
      if ((byte & bit) !== 0) continue;
      this.#bits[chunk >>> 3] = byte | bit;
      this.#count++;
    }
  }

  clear(): void {
    this.#bits.fill(0);
    this.#count = 0;
    this.#cursor = 0;
  }

  /** True when any of [offset, offset + length) is marked. */
  has(offset: number, length: number): boolean {
    if (this.#count === 0) return false;
    return this.#next(Math.floor(offset / this.granularity), this.#chunkEnd(offset + length)) !== undefined;
  }

  /** The marked chunks of a range joined to stretches, in order. */
  runsIn(offset: number, length: number): DiskPart[] {
    const runs: DiskPart[] = [];
    const end = this.#chunkEnd(offset + length);
    for (let from = this.#next(Math.floor(offset / this.granularity), end); from !== undefined; ) {
      const to = this.#runEnd(from, end);
      runs.push(this.#part(from, to));
      from = this.#next(to, end);
    }
    return runs;
  }

  /** Up to `max` stretches, which are not marked any more: from where the last call ended, around the end of the disk. */
  take(max: number): DiskPart[] {
    const runs: DiskPart[] = [];
    while (runs.length < max && this.#count > 0) {
      const from = this.#next(this.#cursor, this.#chunks);
      if (from === undefined) {
        this.#cursor = 0;
        if (runs.length > 0) break;
        continue;
      }
      const to = this.#runEnd(from, this.#chunks);
      for (let chunk = from; chunk < to; chunk++) {
        this.#bits[chunk >>> 3] = (this.#bits[chunk >>> 3] ?? 0) & ~(1 << (chunk & 7));
      }
      this.#count -= to - from;
      this.#cursor = to;
      runs.push(this.#part(from, to));
    }
    return runs;
  }

  #part(from: number, to: number): DiskPart {
    const offset = from * this.granularity;
    return { offset, length: Math.min(this.#size, to * this.granularity) - offset };
  }

  #chunkEnd(end: number): number {
    return Math.min(this.#chunks, Math.ceil(end / this.granularity));
  }

  #isMarked(chunk: number): boolean {
    return ((this.#bits[chunk >>> 3] ?? 0) & (1 << (chunk & 7))) !== 0;
  }

  #next(from: number, end: number): number | undefined {
    for (let chunk = from; chunk < end; ) {
      if ((chunk & 7) === 0 && this.#bits[chunk >>> 3] === 0) chunk += 8;
      else if (this.#isMarked(chunk)) return chunk;
      else chunk++;
    }
    return undefined;
  }

  #runEnd(from: number, end: number): number {
    let chunk = from;
    while (chunk < end && this.#isMarked(chunk)) chunk++;
    return chunk;
  }
}
