/** Ciphers over whole requests, against OpenSSL sector by sector and against published vectors. */
import { createCipheriv, createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { ivGenerator, SectorCipher } from '../../../src/core/crypto/index.ts';

const bytes = (length: number, seed: number) =>
  Uint8Array.from({ length }, (_, at) => (at * 31 + seed * 7 + (at >> 8)) & 255);

function iv(sector: number): Buffer {
  const vector = Buffer.alloc(16);
  vector.writeBigUInt64LE(BigInt(sector));
  return vector;
}

/** What OpenSSL makes of each sector by itself. */
function bySectors(
  algorithm: string,
  key: Uint8Array,
  plain: Uint8Array,
  vector: (index: number) => Uint8Array,
): Buffer {
  const sectors: Buffer[] = [];
  for (let at = 0; at < plain.length; at += 512) {
    const cipher = createCipheriv(algorithm, key, vector(at / 512)).setAutoPadding(false);
    sectors.push(cipher.update(plain.subarray(at, at + 512)));
  }
  return Buffer.concat(sectors);
}

const FIRST = 2 ** 33 - 3;
const LENGTHS = [16, 512, 528, 4096, 32 * 1024 + 512, 100 * 1024];

describe('SectorCipher', () => {
  test.each(LENGTHS)('encrypts %i bytes by xts as OpenSSL does, and decrypts them', (length) => {
    for (const size of [32, 64]) {
      const key = bytes(size, size);
      const cipher = new SectorCipher({ mode: 'xts', key, iv: ivGenerator('plain64', { key, hash: undefined }) });
      const plain = bytes(length, 1);
      const encrypted = cipher.encrypt(FIRST, plain);
      expect(
        Buffer.compare(
          encrypted,
          bySectors(`aes-${size * 4}-xts`, key, plain, (at) => iv(FIRST + at)),
        ),
      ).toBe(0);
      // A view at an odd address is decrypted all the same.
      const odd = new Uint8Array(length + 1).subarray(1);
      odd.set(encrypted);
      cipher.decrypt(FIRST, odd);
      expect(Buffer.compare(odd, plain)).toBe(0);
    }
  });

  test.each(LENGTHS)('encrypts %i bytes by cbc with essiv as OpenSSL does, and decrypts them', (length) => {
    const key = bytes(32, 3);
    const cipher = new SectorCipher({ mode: 'cbc', key, iv: ivGenerator('essiv', { key, hash: 'sha256' }) });
    const salt = createHash('sha256').update(key).digest();
    const essiv = (at: number) =>
      createCipheriv('aes-256-ecb', salt, null)
        .setAutoPadding(false)
        .update(iv(FIRST + at));
    const plain = bytes(length, 2);
    const encrypted = cipher.encrypt(FIRST, plain);
    expect(Buffer.compare(encrypted, bySectors('aes-256-cbc', key, plain, essiv))).toBe(0);
    cipher.decrypt(FIRST, encrypted);
    expect(Buffer.compare(encrypted, plain)).toBe(0);
  });

  test('agrees with the second vector of IEEE 1619', () => {
    const key = Buffer.concat([Buffer.alloc(16, 0x11), Buffer.alloc(16, 0x22)]);
    const cipher = new SectorCipher({ mode: 'xts', key, iv: ivGenerator('plain64', { key, hash: undefined }) });
    const encrypted = cipher.encrypt(0x3333333333, Buffer.alloc(32, 0x44));
    expect(Buffer.from(encrypted).toString('hex')).toBe(
      'c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0',
    );
  });
});
