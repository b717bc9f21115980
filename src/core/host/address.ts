import { libc, memoryAddress } from './libc.ts';

/** Bytes of an `iovec` on a 64-bit system: address, length. */
const IOVEC_WORDS = 4;
const TWO_32 = 2 ** 32;

/** The kernel's limit of buffers in one vectored call (`IOV_MAX`). */
export const MAX_VECTORS = 1024;

/** Base addresses, so that the engine is asked once per allocation and not once per request. */
const bases = new WeakMap<ArrayBufferLike, number>();

/**
 * Address of the first byte of a view.
 *
 * Taking `.buffer` first is what makes it stable: views under 64 bytes may live on the JS heap and be moved by the
 * collector, until their buffer is asked for and put outside. The memory stays put for as long as the view's buffer is
 * referenced, so whoever hands an address to another thread keeps the view alive until that is done.
 */
export function addressOf(view: ArrayBufferView): number {
  const memory = view.buffer;
  let base = bases.get(memory);
  if (base === undefined) {
    base = memoryAddress(memory);
    bases.set(memory, base);
  }
  return base + view.byteOffset;
}

/** A block of `iovec` records, filled anew for each synchronous call. */
export class Vectors {
  readonly #words: Uint32Array;
  readonly address: number;

  constructor(capacity: number) {
    this.#words = new Uint32Array(capacity * IOVEC_WORDS);
    this.address = addressOf(this.#words);
  }

  /** Describe `length` bytes of `view` from `start` in record `index`. */
  set(index: number, view: Uint8Array, start: number, length: number): void {
    const address = addressOf(view) + start;
    const words = this.#words;
    const at = index * IOVEC_WORDS;
    words[at] = address;
    words[at + 1] = address / TWO_32;
    words[at + 2] = length;
    words[at + 3] = length / TWO_32;
  }
}

/** True when the address of the view's first byte is a multiple of `alignment`. */
export function isAligned(view: Uint8Array, alignment: number): boolean {
  return alignment <= 1 || addressOf(view) % alignment === 0;
}

/** A new zeroed buffer of `length` bytes whose address is a multiple of `alignment` (a power of two), for O_DIRECT. */
export function alignedBuffer(length: number, alignment: number): Uint8Array {
  if (alignment <= 8 || libc('pread') === undefined) return new Uint8Array(length);
  const memory = new Uint8Array(length + alignment);
  const over = addressOf(memory) % alignment;
  const start = over === 0 ? 0 : alignment - over;
  return memory.subarray(start, start + length);
}
