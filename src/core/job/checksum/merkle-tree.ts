/**
 * The hash tree of a disk: the Merkle Tree Hash of RFC 6962, section 2.1, over blocks of 65,536 bytes.
 *
 *     leaf = H(0x00 ‖ block)      node = H(0x01 ‖ left ‖ right)      left: the largest power of two of leaves below n
 *
 * It is built from left to right: complete subtrees wait on a stack, largest first, until a neighbour of their size
 * comes. All subtrees of zeroes of one height are alike, so a run of zeroes of any length costs a few dozen hashes.
 */
import crypto from 'node:crypto';

/** Bytes of a block, of which the last may be shorter. */
export const BLOCK = 64 * 1024;

const LEAF = Buffer.of(0);
const NODE = Buffer.of(1);

/** A complete subtree of `2 ** level` leaves. */
export interface Subtree {
  readonly level: number;
  readonly hash: Uint8Array;
}

/** H(0x00 ‖ block). */
export function leafHash(algorithm: string, block: Uint8Array): Buffer {
  return crypto.createHash(algorithm).update(LEAF).update(block).digest();
}

function nodeHash(algorithm: string, left: Uint8Array, right: Uint8Array): Buffer {
  return crypto.createHash(algorithm).update(NODE).update(left).update(right).digest();
}

export class MerkleTree {
  readonly #algorithm: string;
  readonly #stack: Subtree[] = [];
  /** By level. */
  readonly #zeroes: Uint8Array[] = [];
  #leaves = 0;

  constructor(algorithm: string) {
    this.#algorithm = algorithm;
  }

  /** Subtrees that cannot be joined any further now, from the left. */
  get subtrees(): readonly Subtree[] {
    return this.#stack;
  }

  /** Append a subtree; what is there already must be a multiple of its leaves. */
  add({ level, hash }: Subtree): void {
    if (this.#leaves % 2 ** level !== 0) throw new Error(`a subtree of level ${level} after ${this.#leaves} leaves`);
    this.#leaves += 2 ** level;
    let joined: Subtree = { level, hash };
    for (let left = this.#stack.at(-1); left?.level === joined.level; left = this.#stack.at(-1)) {
      this.#stack.pop();
      joined = { level: joined.level + 1, hash: nodeHash(this.#algorithm, left.hash, joined.hash) };
    }
    this.#stack.push(joined);
  }

  /** Append the hash of one block. */
  addBlock(block: Uint8Array): void {
    this.add({ level: 0, hash: leafHash(this.#algorithm, block) });
  }

  /** Append `count` whole blocks of zeroes. */
  addZeroes(count: number): void {
    for (let left = count; left > 0; ) {
      let level = 0;
      while (2 ** (level + 1) <= left && this.#leaves % 2 ** (level + 1) === 0) level++;
      this.add({ level, hash: this.#zeroTree(level) });
      left -= 2 ** level;
    }
  }

  /** The hash of all that was appended; of an empty disk that of nothing. */
  root(): Uint8Array {
    let hash: Uint8Array | undefined;
    for (const left of [...this.#stack].reverse()) {
      hash = hash ? nodeHash(this.#algorithm, left.hash, hash) : left.hash;
    }
    return hash ?? crypto.createHash(this.#algorithm).digest();
  }

  #zeroTree(level: number): Uint8Array {
    const known = this.#zeroes[level];
    if (known) return known;
    const half = level === 0 ? undefined : this.#zeroTree(level - 1);
    const hash = half ? nodeHash(this.#algorithm, half, half) : leafHash(this.#algorithm, new Uint8Array(BLOCK));
    this.#zeroes[level] = hash;
    return hash;
  }
}
