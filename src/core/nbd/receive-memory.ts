/**
 * Where the bytes of a stream are put as they arrive: blocks that are used again, so that what is sent to us costs
 * neither memory of its own nor a copy.
 *
 * A block is filled from its start. It is begun anew when nothing in it waits to be read and nobody holds a piece of
 * it; one that is full goes back to the lender as soon as that is so. Blocks are small at first, and large while much
 * arrives at a time.
 */

/** Whom the blocks are borrowed from. */
export interface Lender {
  /** Longest block that should be taken now, in bytes. */
  readonly longest: number;
  take(length: number): Uint8Array;
  give(block: Uint8Array): void;
}

interface Block {
  readonly bytes: Uint8Array;
  /** Bytes that have arrived in it. */
  filled: number;
  /** Pieces of it that somebody holds. */
  holds: number;
}

const SMALLEST = 16 * 1024;
const GROWTH = 4;
/** Short arrivals in a row after which blocks are small again. */
const CALM = 512;

export class ReceiveMemory {
  readonly #lender: Lender;
  #current: Block | undefined;
  /** Blocks that are full, and not free yet, oldest first. */
  #full: Block[] = [];
  #size = SMALLEST;
  #offered = 0;
  /** All that was offered has been filled. */
  #overflowed = false;
  #calm = 0;
  #bytes = 0;
  #closed = false;

  constructor(lender: Lender) {
    this.#lender = lender;
  }

  /** Bytes of all blocks in use. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Memory for what arrives next. `unread` bytes of what has arrived are still to be read; else pieces are forgotten. */
  space(unread: number): Uint8Array {
    // There was more to come of what is waited for: next time, more at a time.
    if (this.#overflowed && unread > 0) {
      this.#size = Math.max(SMALLEST, Math.min(this.#size * GROWTH, this.#lender.longest));
    }
    this.#overflowed = false;
    if (this.#full.length > 0) this.#sweep(unread);
    let block = this.#current;
    if (block && block.holds === 0 && unread === 0) {
      block.filled = 0;
      if (block.bytes.length !== this.#size) {
        this.#give(block);
        block = undefined;
      }
    } else if (block && block.bytes.length - block.filled < block.bytes.length / GROWTH) {
      this.#full.push(block);
      block = undefined;
    }
    block ??= this.#take();
    this.#current = block;
    const space = block.bytes.subarray(block.filled);
    this.#offered = space.length;
    return space;
  }

  /** The first `length` bytes of the last {@link space} have arrived. */
  filled(length: number): Uint8Array {
    const block = this.#current;
    if (!block) throw new Error('nothing was offered');
    const bytes = block.bytes.subarray(block.filled, block.filled + length);
    block.filled += length;
    if (length === this.#offered) {
      this.#overflowed = true;
      this.#calm = 0;
    } else if (length * GROWTH < this.#size && ++this.#calm > CALM) {
      this.#size = SMALLEST;
      this.#calm = 0;
    }
    return bytes;
  }

  /** Keep `pieces` as they are until the answer is called. To be called before anything else arrives. */
  hold(pieces: readonly Uint8Array[]): () => void {
    const held: Block[] = [];
    for (const { buffer } of pieces) {
      const block = this.#holding(buffer);
      if (!block) continue;
      block.holds++;
      held.push(block);
    }
    return () => {
      for (const block of held) block.holds--;
      if (this.#closed) this.close();
    };
  }

  /** Nothing will arrive any more; what is held stays until it is let go. */
  close(): void {
    this.#closed = true;
    if (this.#current) this.#full.push(this.#current);
    this.#current = undefined;
    this.#sweep(0);
  }

  #holding(buffer: ArrayBufferLike): Block | undefined {
    if (this.#current?.bytes.buffer === buffer) return this.#current;
    return this.#full.find(({ bytes }) => bytes.buffer === buffer);
  }

  /** Give back what is full and free: unread are the last bytes that arrived. */
  #sweep(unread: number): void {
    let later = this.#current?.filled ?? 0;
    const kept: Block[] = [];
    for (const block of this.#full.reverse()) {
      if (block.holds > 0 || later < unread) kept.push(block);
      else this.#give(block);
      later += block.filled;
    }
    this.#full = kept.reverse();
  }

  #take(): Block {
    const bytes = this.#lender.take(Math.min(this.#size, Math.max(SMALLEST, this.#lender.longest)));
    this.#bytes += bytes.length;
    return { bytes, filled: 0, holds: 0 };
  }

  #give({ bytes }: Block): void {
    this.#bytes -= bytes.length;
    this.#lender.give(bytes);
  }
}
