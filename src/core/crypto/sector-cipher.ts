/**
 * A block cipher over the sectors of a disk, whole requests at a time.
 *
 * Node offers a cipher object per initialization vector, and making one costs more than encrypting a sector. So all
 * modes are built here on ECB, one long-lived object each way, fed with up to {@link PIECE} bytes in one call:
 *
 *     xts   T0 = E2(iv), T(j+1) = T(j)·x in GF(2^128) (IEEE 1619);  C = E1(P ^ T) ^ T
 *     cbc   decrypting: P = D(C) ^ C of the block before; encrypting: block j of all sectors at once
 *     ecb   as it is
 *
 * The XORs go over 32-bit words of typed arrays, little-endian throughout. Measured (Node 20, aes-256-xts, requests of
 * 2 MiB): 0.5 GB a second of processor time, against 0.1 with a cipher object for each sector.
 */
import type { Cipher } from 'node:crypto';
import { nodeCrypto } from '../bytes/node-crypto.ts';
import type { IvGenerator } from './iv-generator.ts';

export const SECTOR = 512;
const BLOCK = 16;
const BLOCK_WORDS = BLOCK / 4;
const SECTOR_WORDS = SECTOR / 4;
/** Bytes handled in one go: tweaks, input and output of a piece stay in the processor's cache. */
const PIECE = 32 * 1024;

export type CipherMode = 'ecb' | 'cbc' | 'xts';

export interface SectorCipherInit {
  readonly mode: CipherMode;
  /** 16, 24 or 32 bytes; for xts twice that. */
  readonly key: Uint8Array;
  /** Not used by ecb. */
  readonly iv: IvGenerator;
}

type Ecb = Pick<Cipher, 'update'>;

export class SectorCipher {
  readonly #mode: CipherMode;
  readonly #iv: IvGenerator;
  readonly #encrypt: Ecb;
  readonly #decrypt: Ecb;
  /** The second key of xts. */
  readonly #tweak: Ecb | undefined;
  readonly #tweaks = new Uint32Array(PIECE / 4);

  constructor({ mode, key, iv }: SectorCipherInit) {
    const half = mode === 'xts' ? key.length / 2 : key.length;
    this.#mode = mode;
    this.#iv = iv;
    this.#encrypt = ecb(key.subarray(0, half), nodeCrypto().createCipheriv);
    this.#decrypt = ecb(key.subarray(0, half), nodeCrypto().createDecipheriv);
    this.#tweak = mode === 'xts' ? ecb(key.subarray(half), nodeCrypto().createCipheriv) : undefined;
  }

  /** A new buffer with `plain` encrypted. It begins with sector `sector`; its length is a multiple of 16 bytes. */
  encrypt(sector: number, plain: Uint8Array): Uint8Array {
    const out = Buffer.allocUnsafeSlow(plain.length);
    out.set(plain);
    this.#inPieces(sector, out, true);
    return out;
  }

  /** Decrypt in place. */
  decrypt(sector: number, data: Uint8Array): void {
    if (data.byteOffset % 4 === 0) {
      this.#inPieces(sector, data, false);
      return;
    }
    const aligned = Buffer.allocUnsafeSlow(data.length);
    aligned.set(data);
    this.#inPieces(sector, aligned, false);
    data.set(aligned);
  }

  #inPieces(sector: number, data: Uint8Array, encrypting: boolean): void {
    for (let at = 0; at < data.length; at += PIECE) {
      const piece = data.subarray(at, at + PIECE);
      const first = sector + at / SECTOR;
      if (this.#mode === 'xts') this.#xts(first, piece, encrypting);
      else if (this.#mode === 'ecb') piece.set((encrypting ? this.#encrypt : this.#decrypt).update(piece));
      else if (encrypting) this.#cbcEncrypt(first, piece);
      else this.#cbcDecrypt(first, piece);
    }
  }

  #xts(sector: number, piece: Uint8Array, encrypting: boolean): void {
    const words = wordsOf(piece);
    const tweaks = this.#tweaks;
    this.#makeTweaks(sector, words.length);
    for (let i = 0; i < words.length; i++) words[i] = (words[i] ?? 0) ^ (tweaks[i] ?? 0);
    const result = wordsOf(aligned((encrypting ? this.#encrypt : this.#decrypt).update(piece)));
    for (let i = 0; i < words.length; i++) words[i] = (result[i] ?? 0) ^ (tweaks[i] ?? 0);
  }

  /** The tweaks of all blocks of a piece of `length` words. */
  #makeTweaks(sector: number, length: number): void {
    const tweaks = this.#tweaks;
    const count = Math.ceil(length / SECTOR_WORDS);
    const first = this.#tweak?.update(this.#iv(sector, count)) ?? new Uint8Array(0);
    const starts = wordsOf(aligned(first));
    for (let index = 0; index < count; index++) {
      let a = starts[index * BLOCK_WORDS] ?? 0;
      let b = starts[index * BLOCK_WORDS + 1] ?? 0;
      let c = starts[index * BLOCK_WORDS + 2] ?? 0;
      let d = starts[index * BLOCK_WORDS + 3] ?? 0;
      const end = Math.min((index + 1) * SECTOR_WORDS, length);
      for (let at = index * SECTOR_WORDS; at < end; at += BLOCK_WORDS) {
        tweaks[at] = a;
        tweaks[at + 1] = b;
        tweaks[at + 2] = c;
        tweaks[at + 3] = d;
        // Times x: shift left over 128 bits; what falls out comes back as x^7 + x^2 + x + 1.
        const carry = d >> 31;
        d = (d << 1) | (c >>> 31);
        c = (c << 1) | (b >>> 31);
        b = (b << 1) | (a >>> 31);
        a = (a << 1) ^ (carry & 0x87);
      }
    }
  }

  #cbcDecrypt(sector: number, piece: Uint8Array): void {
    const words = wordsOf(piece);
    const plain = wordsOf(aligned(this.#decrypt.update(piece)));
    const ivs = wordsOf(aligned(this.#iv(sector, Math.ceil(piece.length / SECTOR))));
    for (let start = 0, index = 0; start < words.length; start += SECTOR_WORDS, index++) {
      const end = Math.min(start + SECTOR_WORDS, words.length);
      // From the end, since each block needs the ciphertext of the one before, which is overwritten in place.
      for (let at = end - 1; at >= start + BLOCK_WORDS; at--) {
        words[at] = (plain[at] ?? 0) ^ (words[at - BLOCK_WORDS] ?? 0);
      }
      for (let at = 0; at < BLOCK_WORDS; at++) {
        words[start + at] = (plain[start + at] ?? 0) ^ (ivs[index * BLOCK_WORDS + at] ?? 0);
      }
    }
  }

  /** Sectors do not depend on one another: block j of each goes through the cipher together. */
  #cbcEncrypt(sector: number, piece: Uint8Array): void {
    const words = wordsOf(piece);
    const count = Math.ceil(piece.length / SECTOR);
    let previous = wordsOf(aligned(this.#iv(sector, count)));
    const last = words.length - (count - 1) * SECTOR_WORDS;
    for (let block = 0; block < SECTOR_WORDS; block += BLOCK_WORDS) {
      const sectors = block < last ? count : count - 1;
      const column = new Uint32Array(sectors * BLOCK_WORDS);
      for (let index = 0; index < sectors; index++) {
        for (let at = 0; at < BLOCK_WORDS; at++) {
          const word = words[index * SECTOR_WORDS + block + at] ?? 0;
          column[index * BLOCK_WORDS + at] = word ^ (previous[index * BLOCK_WORDS + at] ?? 0);
        }
      }
      previous = wordsOf(aligned(this.#encrypt.update(Buffer.from(column.buffer))));
      for (let index = 0; index < sectors; index++) {
        for (let at = 0; at < BLOCK_WORDS; at++) {
          words[index * SECTOR_WORDS + block + at] = previous[index * BLOCK_WORDS + at] ?? 0;
        }
      }
    }
  }
}

type Make = (algorithm: string, key: Uint8Array, iv: null) => Cipher;

/** ECB without padding: whole blocks in, as many out, for as long as it lives. */
export function ecb(key: Uint8Array, make: Make = nodeCrypto().createCipheriv): Ecb {
  const cipher = make(`aes-${key.length * 8}-ecb`, key, null);
  cipher.setAutoPadding(false);
  return cipher;
}

function wordsOf(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

/** Small results of Node may lie at any byte of a shared block. */
function aligned(bytes: Uint8Array): Uint8Array {
  return bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
}
