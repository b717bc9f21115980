/** Stored bitmaps: directory, tables and data clusters. */
import { BlockError } from '../../../core/errors/block-error.ts';
import { bitmapClusters } from '../bitmaps/table.ts';
import { BitmapFlag, decodeBitmapDirectory, type StoredBitmap, validateBitmapEntry } from '../meta/bitmap-directory.ts';
import { hostOffset } from '../meta/entries.ts';
import { decodeBitmapsExtension, ExtensionType, findExtension } from '../meta/extensions.ts';
import { Autoclear } from '../meta/features.ts';
import { viewOf } from '../meta/struct.ts';
import { hexEntry } from './l1.ts';
import { overlappingBytes } from './overlapping.ts';
import type { CheckState } from './state.ts';

/** Largest bitmap in bytes that is looked at. */
const MAX_BITMAP_BYTES = 512 * 1024 * 1024;
/** Bits 1–8 and 56–63 of a bitmap table entry are reserved; bit 0 means "all ones" where there is no cluster. */
const HI_RESERVED = 0xff000000;
const LO_RESERVED = 0x1fe;
const LO_ALL_ONES = 1;

/** Count their references. A broken directory or table ends the matter: it is an error, and the check incomplete. */
export async function checkBitmaps(state: CheckState): Promise<void> {
  const { header, extensions, fileName } = state.image;
  if ((header.autoclear & Autoclear.BITMAPS) === 0n) return;
  const data = findExtension(extensions, ExtensionType.BITMAPS);
  if (!data) return;
  try {
    const extension = decodeBitmapsExtension(data, state.geometry.clusterSize, fileName);
    const { directoryOffset: offset, directorySize: size } = extension;
    state.refer(offset, size);
    if (offset + size > state.fileSize) throw new BlockError('the bitmap directory reaches past the end of the file');
    const directory = new Uint8Array(size);
    await state.image.file.read(offset, directory);
    const bitmaps = decodeBitmapDirectory(directory, extension.count, fileName);
    assertApart(state, bitmaps);
    for (const bitmap of bitmaps) await checkBitmap(state, bitmap);
  } catch (error) {
    if (!(error instanceof BlockError) || error.code === 'ECANCELED') throw error;
    state.result.checkErrors++;
    state.corrupt(error.message);
  }
}

function assertApart({ fileSize }: CheckState, bitmaps: readonly StoredBitmap[]): void {
  const tables = bitmaps.map(({ tableOffset, tableSize }) => ({ offset: tableOffset, length: tableSize * 8 }));
  const bytes = overlappingBytes(fileSize, tables);
  if (bytes === undefined) return;
  throw new BlockError(
    `the tables of the bitmaps lie on one another: they have ${bytes} bytes in a file of ${fileSize}`,
  );
}

async function checkBitmap(state: CheckState, bitmap: StoredBitmap): Promise<void> {
  const { clusterSize } = state.geometry;
  validateBitmapEntry(bitmap, clusterSize, state.image.fileName);
  const { tableOffset, tableSize, name } = bitmap;
  if (tableSize * clusterSize > MAX_BITMAP_BYTES) {
    throw new BlockError(`bitmap '${name}' has ${tableSize} clusters, the limit is ${MAX_BITMAP_BYTES / clusterSize}`);
  }
  state.refer(tableOffset, tableSize * 8);
  const bytes = new Uint8Array(tableSize * 8);
  if (tableOffset < state.fileSize) await state.image.file.read(tableOffset, bytes);
  const view = viewOf(bytes);
  for (let at = 0; at < bytes.length; at += 8) {
    const hi = view.getUint32(at);
    const lo = view.getUint32(at + 4);
    const offset = hostOffset(hi, lo);
    const wrong =
      (hi & HI_RESERVED) !== 0 ||
      (lo & LO_RESERVED) !== 0 ||
      offset % clusterSize !== 0 ||
      (offset !== 0 && (lo & LO_ALL_ONES) !== 0);
    if (wrong) throw new BlockError(`bitmap '${name}': table entry ${at / 8} is invalid: ${hexEntry(hi, lo)}`);
    if (offset !== 0) state.refer(offset, clusterSize);
  }
  checkLength(state, bitmap);
  await state.breathe();
}

/** A bitmap that is in use may be of a disk of another length: it is not read. */
function checkLength(state: CheckState, { name, flags, granularityBits, tableSize }: StoredBitmap): void {
  const needed = bitmapClusters(state.image.header.size, 2 ** granularityBits, state.geometry.clusterSize);
  if (tableSize === needed || (tableSize > 0 && (flags & BitmapFlag.IN_USE) !== 0)) return;
  state.result.checkErrors++;
  state.corrupt(`bitmap '${name}': its table has ${tableSize} entries, the disk needs ${needed}`);
}
