/** Labels that SELinux gives to sockets. */
import fs from 'node:fs';
import { BlockError, NotSupported } from '../errors/block-error.ts';
import { hostError } from './errno.ts';

/** What the thread that asks for a socket wants it to be labelled; a line without anything is the system's own choice. */
const WANTED = '/proc/thread-self/attr/sockcreate';
const NONE = '\n';

/**
 * Sockets that `make` asks the kernel for, on this thread and before it returns, bear `label`
 * (`user:role:type:level`); without one this is `make` alone. `wanted` is where the kernel is told.
 * @throws BlockError where SELinux does not take it, NotSupported where there is none.
 */
export function withSocketLabel<T>(label: string | undefined, make: () => T, wanted = WANTED): T {
  if (label === undefined) return make();
  // An empty one, or one that ends early, would be no label at all.
  if (/^[\s\0]*$|[\0\n]/.test(label)) throw new BlockError(`'${label}' is no SELinux label`);
  try {
    fs.writeFileSync(wanted, `${label}\0`);
  } catch (error) {
    if (!hasSelinux()) throw new NotSupported(`Could not label a socket '${label}': this system has no SELinux`);
    throw hostError('label a socket', label, error, { hint: 'SELinux does not take it' });
  }
  try {
    return make();
  } finally {
    fs.writeFileSync(wanted, NONE);
  }
}

/** Its file system is known wherever it is on, also in containers that do not see it. */
function hasSelinux(): boolean {
  try {
    return fs.readFileSync('/proc/filesystems', 'utf8').includes('\tselinuxfs\n');
  } catch {
    return false;
  }
}
