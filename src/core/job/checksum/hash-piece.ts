/** Hashing a piece of a disk: on a thread, or at once where there is none. */
import { isZero } from '../../bytes/zero.ts';
import { BLOCK, MerkleTree, type Subtree } from './merkle-tree.ts';

/** Bytes of a piece: a power of two of blocks, so that whole pieces are subtrees. */
export const PIECE = 16 * BLOCK;

/** What a thread is asked: the subtrees of the first `length` bytes of a buffer, which moves there and comes back. */
export interface HashRequest {
  readonly slot: number;
  readonly buffer: ArrayBuffer;
  readonly length: number;
}

export interface HashReply {
  readonly slot: number;
  readonly buffer: ArrayBuffer;
  readonly subtrees: readonly Subtree[];
}

export interface HashThreadSettings {
  readonly algorithm: string;
}

/** The subtrees of a piece that begins at a multiple of {@link PIECE}, from the left. */
export function hashPiece(algorithm: string, piece: Uint8Array): readonly Subtree[] {
  const tree = new MerkleTree(algorithm);
  for (let at = 0; at < piece.length; at += BLOCK) {
    const block = piece.subarray(at, at + BLOCK);
    if (block.length === BLOCK && isZero(block)) tree.addZeroes(1);
    else tree.addBlock(block);
  }
  return tree.subtrees;
}
