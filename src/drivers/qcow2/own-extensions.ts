/**
 * Header extensions of our own, which other programs keep and do not look at (docs/base-fingerprint.md): what an
 * overlay knows of its backing file, and in an image that was committed to, a number drawn anew before it is changed.
 */

import { after, type Maybe } from '../../core/async/maybe.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import { randomBytes } from '../../core/host/index.ts';
import type { Disk } from './disk.ts';
import { rewriteHeader } from './header-update.ts';
import { ExtensionType, findExtension, withExtension } from './meta/extensions.ts';

export function fingerprint(disk: Disk): Uint8Array | undefined {
  return findExtension(disk.parts.extensions, ExtensionType.BASE_FINGERPRINT);
}

export function generation(disk: Disk): Uint8Array | undefined {
  return findExtension(disk.parts.extensions, ExtensionType.GENERATION);
}

/** Write an extension; left out where the first cluster has no room for it. */
export async function writeOwn(disk: Disk, type: number, data: Uint8Array | undefined): Promise<void> {
  const { parts } = disk;
  const before = parts.extensions;
  parts.extensions = withExtension(before, type, data);
  try {
    await rewriteHeader(disk);
  } catch (error) {
    parts.extensions = before;
    if (error instanceof BlockError && error.code === 'ENOSPC') return;
    throw error;
  }
  await disk.file.flush();
}

/** Draw another number, where there is one: called before the first change since the image was opened. */
export function renewGeneration(disk: Disk): Maybe<void> {
  if (!generation(disk)) return;
  disk.parts.extensions = withExtension(disk.parts.extensions, ExtensionType.GENERATION, randomBytes(8));
  return after(rewriteHeader(disk), () => disk.file.flush());
}
