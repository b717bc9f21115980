import { closeSync, openSync, readSync } from 'node:fs';
import { nodeCrypto } from '../bytes/node-crypto.ts';

/** A few random bytes: from the system itself where it has them as a file, since loading the cryptography takes longer. */
export function randomBytes(length: number): Uint8Array {
  return fromSystem(length) ?? nodeCrypto().randomBytes(length);
}

function fromSystem(length: number): Uint8Array | undefined {
  try {
    const fd = openSync('/dev/urandom', 'r');
    try {
      const bytes = new Uint8Array(length);
      return readSync(fd, bytes, 0, length, null) === length ? bytes : undefined;
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}
