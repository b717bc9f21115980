/** Bitmaps as they are found in an image that is opened. */

import { DirtyBitmap } from '../../../core/bitmap/index.ts';
import type { FoundBitmap } from '../../../core/block/driver.ts';
import { asBlockError, BlockError, CorruptImage } from '../../../core/errors/block-error.ts';
import type { Disk } from '../disk.ts';
import { bitmapsOf } from '../first-write.ts';
import {
  BitmapFlag,
  DIRTY_TRACKING_BITMAP,
  decodeBitmapDirectory,
  type StoredBitmap,
  validateBitmapEntry,
} from '../meta/bitmap-directory.ts';
import { StoredBitmaps } from './store.ts';
import { readBits } from './table.ts';

/**
 * Read the directory, and the bits of every bitmap that can be used. One that is in use, or whose bits cannot be read, is
 * inconsistent. A directory that is none makes opening fail, unless the image is only read, or is to be repaired: then
 * it has no bitmaps, with a warning.
 */
export async function loadBitmaps(disk: Disk): Promise<StoredBitmaps | undefined> {
  if (disk.modes.noIo) return undefined;
  try {
    const extension = bitmapsOf(disk);
    if (!extension) return new StoredBitmaps(disk, { entries: [], place: undefined }, []);
    const { directoryOffset: offset, directorySize: length, count } = extension;
    if (offset + length > disk.file.size) {
      throw new CorruptImage(
        `'${disk.fileName}': the bitmap directory at ${offset} ends past the end of the file at ${disk.file.size}`,
      );
    }
    const bytes = new Uint8Array(length);
    await disk.file.read(offset, bytes);
    const entries = decodeBitmapDirectory(bytes, count, disk.fileName);
    return new StoredBitmaps(disk, { entries, place: { offset, length } }, await usable(disk, entries));
  } catch (error) {
    const damaged = error instanceof CorruptImage;
    if (!damaged || (disk.writable && !disk.modes.forRepair)) throw error;
    disk.warn(`${error.message}; its bitmaps are left alone`);
    return undefined;
  }
}

async function usable(disk: Disk, entries: readonly StoredBitmap[]): Promise<FoundBitmap[]> {
  const found: FoundBitmap[] = [];
  const names = new Set<string>();
  for (const entry of entries) {
    if (names.has(entry.name)) {
      throw new CorruptImage(`'${disk.fileName}': the bitmap directory has two bitmaps '${entry.name}'`);
    }
    names.add(entry.name);
    if (isForeign(entry)) continue;
    validateBitmapEntry(entry, disk.geometry.clusterSize, disk.fileName);
    found.push(await load(disk, entry));
  }
  return found;
}

/** Of a later version of the format: nothing can be said of it. */
function isForeign({ type, flags, extra }: StoredBitmap): boolean {
  const compatible = (flags & BitmapFlag.EXTRA_DATA_COMPATIBLE) !== 0;
  return type !== DIRTY_TRACKING_BITMAP || flags > 7 || (extra.length > 0 && !compatible);
}

async function load(disk: Disk, entry: StoredBitmap): Promise<FoundBitmap> {
  const { name, flags, granularityBits } = entry;
  const recording = (flags & BitmapFlag.AUTO) !== 0;
  const nothing = () => new DirtyBitmap(disk.size, 2 ** granularityBits);
  if ((flags & BitmapFlag.IN_USE) !== 0) return { name, bits: nothing(), recording, inconsistent: true };
  try {
    return { name, bits: await readBits(disk, entry, disk.size), recording, inconsistent: false };
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    disk.warn(`${asBlockError(error).message}; the bitmap cannot be used`);
    return { name, bits: nothing(), recording, inconsistent: true };
  }
}
