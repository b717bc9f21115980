/**
 * All ranges in which two disks differ, in the order of their offsets.
 *
 * Pieces are read ahead, a few at a time, and compared in order, so that the ranges come out in order and nothing of
 * the disk's length is kept. Past its end a disk counts as zeroes.
 */
import type { Maybe } from '../../async/maybe.ts';
import type { Backend } from '../../block/backend/backend.ts';
import { alignDown, alignUp } from '../../bytes/ranges.ts';
import { isZero } from '../../bytes/zero.ts';
import { withContext } from '../../errors/block-error.ts';
import { type Piece, PieceWalker } from './pieces.ts';
import { type ReadFailure, readPiece } from './read-piece.ts';

const PIECE = 1024 * 1024;
const AHEAD = 4;

export interface DifferencesOptions {
  /** Ranges begin and end at multiples of this many bytes, a power of two from 1 to 1 MiB, or at the end. */
  readonly granularity: number;
  readonly signal?: AbortSignal;
  readonly progress?: (done: number, total: number) => void;
}

/** Bytes that differ. */
export interface Difference {
  readonly offset: number;
  readonly length: number;
}

interface Slot {
  readonly buffers: readonly [Buffer, Buffer];
  readonly piece: Piece;
  readonly read: Maybe<ReadFailure | undefined>;
}

/** Adjacent ranges come as one. Throws what made reading impossible. */
export async function* differences(
  disks: readonly [Backend, Backend],
  options: DifferencesOptions,
): AsyncGenerator<Difference> {
  const { granularity } = options;
  const walker = new PieceWalker(disks, false);
  const pair = (): Slot['buffers'] => [Buffer.allocUnsafeSlow(PIECE), Buffer.allocUnsafeSlow(PIECE)];
  const free = Array.from({ length: AHEAD }, pair);
  const queue: Slot[] = [];
  let current: Difference | undefined;
  try {
    for (;;) {
      options.signal?.throwIfAborted();
      for (let buffers = free.pop(); buffers; buffers = free.pop()) {
        const piece = await walker.next(PIECE);
        if (!piece) break;
        queue.push(begin(disks, buffers, piece));
      }
      const slot = queue.shift();
      if (!slot) break;
      const failure = await slot.read;
      free.push(slot.buffers);
      const readable = failure ? failure.offset - slot.piece.offset : slot.piece.length;
      for (const found of differencesWithin(slot, readable, granularity)) {
        // A piece may begin or end within a block of the granularity.
        const start = alignDown(found.offset, granularity);
        const end = Math.min(walker.size, alignUp(found.offset + found.length, granularity));
        if (current && start <= current.offset + current.length) {
          current = { offset: current.offset, length: end - current.offset };
          continue;
        }
        if (current) yield current;
        current = { offset: start, length: end - start };
      }
      if (failure) {
        if (current) yield current;
        const which = failure.side === 0 ? 'first' : 'second';
        throw withContext(`Could not read the ${which} image at offset ${failure.offset}`, failure.error);
      }
      options.progress?.(slot.piece.offset + slot.piece.length, walker.size);
    }
  } finally {
    await Promise.allSettled(queue.map((slot) => slot.read));
  }
  if (current) yield current;
  const failure = walker.finding?.failure;
  if (failure) throw withContext(`Could not find out what is allocated at offset ${walker.offset}`, failure.error);
}

/** Start to read what is to be read of a piece. */
function begin(disks: readonly [Backend, Backend], buffers: Slot['buffers'], piece: Piece): Slot {
  return { buffers, piece, read: readPiece(disks, piece, buffers) };
}

/** Halve down to the granularity, leaving out what is the same. */
function* differencesWithin({ piece, buffers }: Slot, length: number, granularity: number): Generator<Difference> {
  const [first, second] = buffers;
  const isSame = (from: number, to: number): boolean => {
    if (piece.readFirst && piece.readSecond) return first.compare(second, from, to, from, to) === 0;
    return isZero(piece.readFirst ? first : second, from, to);
  };
  const { offset } = piece;
  function* within(from: number, to: number): Generator<Difference> {
    if (isSame(from, to)) return;
    // The middle on the disk's own grid, so that ranges of neighbouring pieces meet.
    const centre = Math.round((offset + (from + to) / 2) / granularity) * granularity - offset;
    const middle = centre <= from ? centre + granularity : centre >= to ? centre - granularity : centre;
    if (middle <= from || middle >= to) {
      yield { offset: offset + from, length: to - from };
      return;
    }
    yield* within(from, middle);
    yield* within(middle, to);
  }
  yield* within(0, length);
}
