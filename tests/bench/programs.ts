/** The programs that are measured. */
import { join } from 'node:path';
import { findPeer } from '../support/peers.ts';

/** The benchmark runs in the project's folder. */
export const ourImg: readonly string[] = [process.execPath, join(process.cwd(), 'bin', 'img')];

export const qemuImg = findPeer('qemu-img');
export const nbdcopy = findPeer('nbdcopy');
