import crypto from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BLOCK, MerkleTree } from '../../../../src/core/job/checksum/merkle-tree.ts';

const sha256 = (...parts: readonly Uint8Array[]): Buffer =>
  crypto.createHash('sha256').update(Buffer.concat(parts)).digest();

/** The definition of RFC 6962, word for word. */
function treeHash(blocks: readonly Uint8Array[]): Buffer {
  const [first] = blocks;
  if (!first) return sha256();
  if (blocks.length === 1) return sha256(Buffer.of(0), first);
  let k = 1;
  while (k * 2 < blocks.length) k *= 2;
  return sha256(Buffer.of(1), treeHash(blocks.slice(0, k)), treeHash(blocks.slice(k)));
}

const hexRoot = (tree: MerkleTree): string => Buffer.from(tree.root()).toString('hex');

describe('MerkleTree', () => {
  test('is the tree of the RFC, zeroes in runs or one by one', () => {
    const zero = new Uint8Array(BLOCK);
    const step = fc.oneof(fc.nat(40), fc.uint8Array({ minLength: 1, maxLength: 8 }));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const tree = new MerkleTree('sha256');
        const blocks: Uint8Array[] = [];
        for (const next of steps) {
          if (typeof next === 'number') {
            tree.addZeroes(next);
            for (let i = 0; i < next; i++) blocks.push(zero);
          } else {
            tree.addBlock(next);
            blocks.push(next);
          }
        }
        expect(hexRoot(tree)).toBe(treeHash(blocks).toString('hex'));
      }),
      { numRuns: 60 },
    );
  });

  test('of an exbibyte of zeroes is done at once', () => {
    const tree = new MerkleTree('sha256');
    tree.addZeroes(2 ** 44);
    let hash = sha256(Buffer.of(0), new Uint8Array(BLOCK));
    for (let level = 0; level < 44; level++) hash = sha256(Buffer.of(1), hash, hash);
    expect(hexRoot(tree)).toBe(hash.toString('hex'));
  });

  test('takes a subtree only where one can begin', () => {
    const tree = new MerkleTree('sha256');
    tree.addZeroes(1);
    expect(() => tree.add({ level: 1, hash: Buffer.alloc(32) })).toThrow('level 1 after 1 leaves');
  });
});
