/** Passwords to keys: PBKDF2, and how many iterations of it take a given time on this machine. */

import { promisify } from 'node:util';
import { nodeCrypto } from '../../bytes/node-crypto.ts';
import { Usage } from '../../errors/block-error.ts';

/** Fewer are not made (LUKS1 on-disk format, section 4.1). */
export const MIN_ITERATIONS = 1000;
/** More are refused, in a header as well as of our own: each one is work that whoever opens the image has to do. */
export const MAX_ITERATIONS = 200_000_000;

export interface Derivation {
  readonly hash: string;
  readonly salt: Uint8Array;
  readonly iterations: number;
  /** Bytes of the key. */
  readonly length: number;
}

/** On the thread pool: it takes its time by design. */
export function deriveKey(password: Uint8Array, { hash, salt, iterations, length }: Derivation): Promise<Uint8Array> {
  return promisify(nodeCrypto().pbkdf2)(password, salt, iterations, length, hash);
}

const FIRST = 1 << 14;
const ENOUGH_US = 40_000;

/** Iterations that take a second of processor time, for a key of `length` bytes. */
export function iterationsPerSecond(hash: string, length: number): number {
  const password = Buffer.from('password');
  const salt = Buffer.from('salt');
  for (let iterations = FIRST; ; iterations *= 2) {
    const before = process.cpuUsage();
    nodeCrypto().pbkdf2Sync(password, salt, iterations, length, hash);
    const { user, system } = process.cpuUsage(before);
    const used = user + system;
    if (used >= ENOUGH_US || iterations >= MAX_ITERATIONS) return Math.round((iterations / Math.max(used, 1)) * 1e6);
  }
}

/** @throws Usage for a time that asks for more than {@link MAX_ITERATIONS}. */
export function iterationsFor(perSecond: number, milliseconds: number, parts = 1): number {
  const iterations = Math.floor((perSecond * milliseconds) / 1000 / parts);
  if (iterations <= MAX_ITERATIONS) return Math.max(MIN_ITERATIONS, iterations);
  throw new Usage(
    `a time of ${milliseconds} ms would take ${iterations} iterations of PBKDF2, the limit is ${MAX_ITERATIONS}`,
  );
}
