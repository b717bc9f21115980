/** Names of ciphers, modes, generators and hashes: as options have them, and as a LUKS header spells them. */
import { nodeCrypto } from '../../bytes/node-crypto.ts';
import { NotSupported } from '../../errors/block-error.ts';
import { type IvAlgorithm, ivGenerator } from '../iv-generator.ts';
import { type CipherMode, SectorCipher } from '../sector-cipher.ts';

export const cipherNames = ['aes-128', 'aes-192', 'aes-256'] as const;
export const modeNames = ['cbc', 'xts', 'ecb'] as const satisfies readonly CipherMode[];
export const ivNames = ['plain', 'plain64', 'essiv'] as const satisfies readonly IvAlgorithm[];
export const hashNames = ['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512', 'ripemd160'] as const;

/** Names that users of LUKS know, and that nothing here can compute. */
export const foreignCiphers = [
  'des',
  '3des',
  'cast5-128',
  'serpent-128',
  'serpent-192',
  'serpent-256',
  'twofish-128',
  'twofish-192',
  'twofish-256',
  'sm4',
] as const;
export const foreignModes = ['ctr'] as const;
export const foreignHashes = ['sm3'] as const;

export interface CipherSpec {
  readonly cipher: string;
  readonly mode: string;
  readonly iv: string;
  /** Of the generator essiv. */
  readonly ivHash: string | undefined;
}

/** Bytes of the key of a cipher; xts takes two. @throws NotSupported for a cipher or mode that is not among ours. */
export function keyLength({ cipher, mode }: CipherSpec): number {
  if (!cipherNames.some((name) => name === cipher)) throw new NotSupported(`cipher '${cipher}' is not supported`);
  if (!modeNames.some((name) => name === mode)) throw new NotSupported(`cipher mode '${mode}' is not supported`);
  const bits = Number(cipher.slice('aes-'.length));
  return (bits / 8) * (mode === 'xts' ? 2 : 1);
}

/** @throws NotSupported as {@link keyLength}, and for generators and hashes. */
export function makeCipher(spec: CipherSpec, key: Uint8Array): SectorCipher {
  const { mode, iv, ivHash } = spec;
  if (key.length !== keyLength(spec)) throw new Error(`a key of ${key.length} bytes for ${spec.cipher}-${mode}`);
  const algorithm = ivNames.find((name) => name === iv);
  if (algorithm === undefined) throw new NotSupported(`generator '${iv}' of initialization vectors is not supported`);
  if (algorithm === 'essiv') assertHash(ivHash ?? '');
  return new SectorCipher({ mode: mode as CipherMode, key, iv: ivGenerator(algorithm, { key, hash: ivHash }) });
}

/** @throws NotSupported for a hash that is unknown, or that this Node does not have. */
export function assertHash(hash: string): void {
  if (hashNames.some((name) => name === hash) && nodeCrypto().getHashes().includes(hash)) return;
  throw new NotSupported(`hash '${hash}' is not supported`);
}

/** `aes` and `xts-plain64` of a header with keys of `keyBytes` bytes. @throws NotSupported */
export function readSpec(name: string, mode: string, keyBytes: number): CipherSpec {
  const match = /^([a-z0-9]+)-([a-z0-9]+)(?::([a-z0-9]+))?$/.exec(mode === 'ecb' ? 'ecb-plain' : mode);
  const [, cipherMode = '', iv = '', ivHash] = match ?? [];
  if (!match) throw new NotSupported(`cipher mode '${mode}' is not supported`);
  if (name !== 'aes') throw new NotSupported(`cipher '${name}' is not supported, only aes`);
  const bits = (keyBytes / (cipherMode === 'xts' ? 2 : 1)) * 8;
  return { cipher: `aes-${bits}`, mode: cipherMode, iv, ivHash };
}

/** The inverse of {@link readSpec}. */
export function spellSpec({ mode, iv, ivHash }: CipherSpec): { cipherName: string; cipherMode: string } {
  return { cipherName: 'aes', cipherMode: `${mode}-${iv}${iv === 'essiv' ? `:${ivHash}` : ''}` };
}
