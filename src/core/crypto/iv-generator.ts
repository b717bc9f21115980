/** Initialization vectors of sectors: 16 bytes each, made from the sector's number. */
import { nodeCrypto } from '../bytes/node-crypto.ts';
import { NotSupported } from '../errors/block-error.ts';
import { ecb } from './sector-cipher.ts';

const IV = 16;
const TWO_32 = 2 ** 32;

/** The vectors of `count` sectors from `sector` on, one behind the other. */
export type IvGenerator = (sector: number, count: number) => Uint8Array;

export type IvAlgorithm = 'plain' | 'plain64' | 'essiv';

/** The low 32 bits of the number, little-endian; they begin anew beyond 2 TiB. */
const plain: IvGenerator = (sector, count) => {
  const words = new Uint32Array((count * IV) / 4);
  for (let index = 0; index < count; index++) words[index * 4] = sector + index;
  return new Uint8Array(words.buffer);
};

/** The number in 64 bits, little-endian. */
const plain64: IvGenerator = (sector, count) => {
  const words = new Uint32Array((count * IV) / 4);
  for (let index = 0; index < count; index++) {
    words[index * 4] = sector + index;
    words[index * 4 + 1] = (sector + index) / TWO_32;
  }
  return new Uint8Array(words.buffer);
};

/**
 * @param settings `hash` is for essiv: the number is encrypted by AES with the hash of the key as its key.
 * @throws NotSupported for a hash whose length is no key of AES.
 */
export function ivGenerator(
  algorithm: IvAlgorithm,
  settings: { readonly key: Uint8Array; readonly hash: string | undefined },
): IvGenerator {
  if (algorithm === 'plain') return plain;
  if (algorithm === 'plain64') return plain64;
  const salt = nodeCrypto().hash(settings.hash ?? 'sha256', settings.key, 'buffer');
  if (![16, 24, 32].includes(salt.length)) {
    throw new NotSupported(
      `hash '${settings.hash}' makes no key for essiv: ${salt.length} bytes instead of 16, 24 or 32`,
    );
  }
  const cipher = ecb(salt);
  return (sector, count) => cipher.update(plain64(sector, count));
}
