import { alignedBuffer } from './address.ts';

/** Largest buffer that is kept for reuse; a larger request gets memory of its own. */
const LARGEST_KEPT = 2 * 1024 * 1024;
/** How much memory a pool keeps for later unless told. */
const KEPT_BYTES = 8 * 1024 * 1024;
const SMALLEST = 4096;

/** Aligned buffers that are lent for one request and taken back: what unaligned memory is bounced through with O_DIRECT. */
export class AlignedPool {
  readonly #alignment: number;
  readonly #most: number;
  readonly #free = new Map<number, Uint8Array[]>();
  #kept = 0;

  /**
   * @param alignment power of two that the addresses must be a multiple of
   * @param most bytes that are kept for later
   */
  constructor(alignment: number, most = KEPT_BYTES) {
    this.#alignment = alignment;
    this.#most = most;
  }

  /** A buffer of exactly `length` bytes with whatever content it had; hand it back with {@link give}. */
  take(length: number): Uint8Array {
    const size = sizeClass(length);
    const kept = this.#free.get(size)?.pop();
    if (kept === undefined) return alignedBuffer(size, this.#alignment).subarray(0, length);
    this.#kept -= size;
    return kept.subarray(0, length);
  }

  /** Take back what {@link take} lent. */
  give(buffer: Uint8Array): void {
    const size = sizeClass(buffer.length);
    if (size > LARGEST_KEPT || this.#kept + size > this.#most) return;
    const whole = new Uint8Array(buffer.buffer, buffer.byteOffset, size);
    const list = this.#free.get(size);
    if (list === undefined) this.#free.set(size, [whole]);
    else list.push(whole);
    this.#kept += size;
  }

  /** Keep nothing of what is not lent. */
  trim(): void {
    this.#free.clear();
    this.#kept = 0;
  }
}

function sizeClass(length: number): number {
  let size = SMALLEST;
  while (size < length) size *= 2;
  return size > LARGEST_KEPT ? length : size;
}
