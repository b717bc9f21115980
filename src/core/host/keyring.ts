/** Keys that the kernel keeps for a user (keyrings(7)), by serial number. */
import { BlockError, NotSupported } from '../errors/block-error.ts';
import { addressOf } from './address.ts';
import { hostError } from './errno.ts';
import { libc, negativeErrno } from './libc.ts';

/** Number of the system call `keyctl`, by architecture; all but x64 share the generic table. */
const SYS_KEYCTL = process.arch === 'x64' ? 250 : 219;
/** Its operation that copies what a key holds. */
const KEYCTL_READ = 11;

/** What a key can be besides readable (Linux numbers, which Node does not name). */
const KEY_STATES: Readonly<Record<number, string>> = {
  126: 'there is no such key',
  127: 'the key has expired',
  128: 'the key has been revoked',
  129: 'the key was rejected by its service',
};

/** The payload of the key `serial`. @throws NotSupported where the system has no keyrings. */
export function readKey(serial: number): Uint8Array {
  const call = libc('syscall');
  if (call === undefined) throw new NotSupported('this system has no kernel keyring that can be read');
  for (let capacity = 256; ; ) {
    const buf = new Uint8Array(capacity);
    const length = call(SYS_KEYCTL, KEYCTL_READ, serial, addressOf(buf), capacity, 0, 0);
    if (length < 0) throw keyError(serial, negativeErrno());
    if (length <= capacity) return buf.subarray(0, length);
    capacity = length; // it is longer, or has grown in between
  }
}

function keyError(serial: number, errno: number): BlockError {
  const state = KEY_STATES[-errno];
  if (state === undefined) return hostError('read key', String(serial), errno);
  return new BlockError(`Could not read key '${serial}': ${state}`, { code: 'ENOENT' });
}
