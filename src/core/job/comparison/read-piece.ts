/** Reading a piece of two disks, and where that fails, how far it can be read. */
import { after, all, type Maybe } from '../../async/maybe.ts';
import type { Backend } from '../../block/backend/backend.ts';
import { unreadable } from '../copy-engine/reader.ts';
import type { Piece } from './pieces.ts';

export interface ReadFailure {
  /** Of the first sector that cannot be read. */
  readonly offset: number;
  readonly side: 0 | 1;
  readonly error: unknown;
}

/**
 * Fill the buffers with what is to be read of `piece`. How disks are cut into pieces depends on what happens to be read
 * first, so of a failure the first sector is sought: that is the same whatever the piece. What lies before it is read.
 */
export function readPiece(
  disks: readonly [Backend, Backend],
  piece: Piece,
  buffers: readonly [Buffer, Buffer],
): Maybe<ReadFailure | undefined> {
  const failures: ReadFailure[] = [];
  const read = (side: 0 | 1): Maybe<void> => {
    const part = buffers[side].subarray(0, piece.length);
    const failed = async (error: unknown): Promise<void> => {
      failures.push(await firstOf(disks[side], { offset: piece.offset, buf: part }, { side, error }));
    };
    try {
      const done = disks[side].read(piece.offset, part);
      return done instanceof Promise ? done.catch(failed) : undefined;
    } catch (error) {
      return failed(error);
    }
  };
  const done = all([piece.readFirst ? read(0) : undefined, piece.readSecond ? read(1) : undefined]);
  return after(done, () => failures.sort((a, b) => a.offset - b.offset || a.side - b.side)[0]);
}

/** A failure that is gone when it is looked for is told of the whole. */
async function firstOf(
  disk: Backend,
  range: { readonly offset: number; readonly buf: Buffer },
  failure: Pick<ReadFailure, 'side' | 'error'>,
): Promise<ReadFailure> {
  for await (const { offset, error } of unreadable(disk, range)) return { offset, side: failure.side, error };
  return { offset: range.offset, ...failure };
}
