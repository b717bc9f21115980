/** The programs that are measured. */
import { join } from 'node:path';
import { findPeer } from '../support/peers.ts';

export type ProgramName = 'img' | 'io';

/** Ours and its peer, as the words that begin a command line; the benchmark runs in the project's folder. */
export function programs(name: ProgramName): { readonly ours: readonly string[]; readonly theirs: string | undefined } {
  return { ours: [process.execPath, join(process.cwd(), 'bin', name)], theirs: findPeer(`qemu-${name}`) };
}

export const { ours: ourImg, theirs: qemuImg } = programs('img');
export const nbdcopy = findPeer('nbdcopy');
