/**
 * The extents of one reply to a question about block status, walked mostly from front to back.
 *
 * A server answers with as many extents as it likes, from the start of the question on; the last may reach beyond its
 * end. Those that follow the first are kept for the questions to come, for a moment: other clients may write.
 */
import { BlockError } from '../../core/errors/block-error.ts';
import type { ExtentsReply } from '../../core/nbd/index.ts';

export interface FlaggedExtent {
  /** Bytes from the offset asked about to the end of the extent. */
  readonly length: number;
  readonly flags: number;
}

const TWO_32 = 2 ** 32;

export class ExtentRun {
  readonly #start: number;
  /** Offset at which the disk, or what is known of it, ends. */
  readonly #end: number;
  readonly #unit: number;
  readonly #view: DataView;
  readonly #each: number;
  /** The current extent, its number and place. */
  #index = 0;
  #from: number;
  #to: number;

  /**
   * @param start offset in bytes that the reply begins at
   * @param size length of the disk in bytes
   * @param unit smallest block of the export in bytes
   */
  constructor(payload: ExtentsReply, start: number, size: number, unit: number) {
    const { descriptors, extended } = payload;
    this.#view = new DataView(descriptors.buffer, descriptors.byteOffset, descriptors.length);
    this.#each = extended ? 16 : 8;
    this.#start = start;
    this.#end = size;
    this.#unit = unit;
    this.#from = start;
    this.#to = this.#endOf(0, start);
  }

  /** The extent at `offset`, joined with those behind it that are alike; undefined where nothing is known. */
  at(offset: number): FlaggedExtent | undefined {
    if (offset < this.#start) return undefined;
    if (offset < this.#from) {
      this.#index = 0;
      this.#from = this.#start;
      this.#to = this.#endOf(0, this.#start);
    }
    while (offset >= this.#to) if (!this.#next()) return undefined;
    const flags = this.#flagsOf(this.#index);
    let end = this.#to;
    for (let index = this.#index + 1; index < this.#count && end < this.#end; index++) {
      if (this.#flagsOf(index) !== flags) break;
      end = this.#endOf(index, end);
    }
    const rounded = end === this.#end ? end : end - (end % this.#unit);
    // Less than a block of the server's own making: it can only be asked about, and read, as a whole.
    if (rounded <= offset) return { length: Math.min(this.#unit, this.#end - offset), flags: 0 };
    return { length: rounded - offset, flags };
  }

  get #count(): number {
    return this.#view.byteLength / this.#each;
  }

  #next(): boolean {
    if (this.#index + 1 >= this.#count || this.#to >= this.#end) return false;
    this.#index++;
    this.#from = this.#to;
    this.#to = this.#endOf(this.#index, this.#from);
    return true;
  }

  #endOf(index: number, from: number): number {
    const at = index * this.#each;
    const wide = this.#each === 16;
    const length = wide ? this.#view.getUint32(at) * TWO_32 + this.#view.getUint32(at + 4) : this.#view.getUint32(at);
    if (length === 0) throw new BlockError('the server told of an extent of 0 bytes', { code: 'EIO' });
    return Math.min(this.#end, from + length);
  }

  #flagsOf(index: number): number {
    const at = index * this.#each;
    return this.#view.getUint32(this.#each === 16 ? at + 12 : at + 4);
  }
}
