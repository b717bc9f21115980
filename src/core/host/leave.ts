import { libc, usesLibc } from './libc.ts';

/**
 * End the process here and now, where the C library is at hand: nothing that was registered for the end is called any
 * more. Node takes four milliseconds to take itself apart, which the kernel does anyway, and koffi has the files behind
 * the standard output and error written to the disk. Returns where that cannot be done.
 */
export function leave(status: number): void {
  if (usesLibc()) libc('_exit')?.(status);
}
