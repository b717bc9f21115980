/** Bitmap tables and the data they lead to (specification, "Bitmap table"). */

import { DirtyBitmap } from '../../../core/bitmap/index.ts';
import type { Edge } from '../../../core/block/graph/edge.ts';
import { CorruptImage } from '../../../core/errors/block-error.ts';
import type { Disk } from '../disk.ts';
import type { BitmapEntry } from '../meta/bitmap-directory.ts';
import { hostOffset } from '../meta/entries.ts';
import { Limit } from '../meta/limits.ts';
import { setU64, viewOf } from '../meta/struct.ts';

/** Bits 1–8 and 56–63 of an entry are reserved; bit 0 means "all ones" where there is no cluster. */
const HI_RESERVED = 0xff000000;
const LO_RESERVED = 0x1fe;
export const ALL_ONES = 1;

const ENTRY_BYTES = 8;

/** An entry as what it says: where the cluster lies, or what all of its bits are. */
export type TableEntry = number | 'zeroes' | 'ones';

/** Clusters that the bits of a disk of `size` bytes take. A table has at least one entry. */
export function bitmapClusters(size: number, granularity: number, clusterSize: number): number {
  return Math.max(1, Math.ceil(Math.ceil(size / granularity) / 8 / clusterSize));
}

/** The entries of a table; throws CorruptImage for one that lies outside the file, or an entry that cannot be one. */
export async function readTable(
  image: { readonly file: Edge; readonly fileName: string; readonly clusterSize: number },
  bitmap: BitmapEntry,
): Promise<TableEntry[]> {
  const { file, fileName, clusterSize } = image;
  const fail = (what: string): never => {
    throw new CorruptImage(`'${fileName}': bitmap '${bitmap.name}': ${what}`);
  };
  const { tableOffset, tableSize } = bitmap;
  if (tableSize === 0) fail('its table is empty');
  if (tableSize * clusterSize > Limit.MAX_BITMAP_BYTES) {
    fail(`its table has ${tableSize} entries, the limit is ${Limit.MAX_BITMAP_BYTES / clusterSize}`);
  }
  if (tableOffset + tableSize * ENTRY_BYTES > file.size) {
    fail(`its table at ${tableOffset} ends past the end of the file at ${file.size}`);
  }
  const bytes = new Uint8Array(tableSize * ENTRY_BYTES);
  await file.read(tableOffset, bytes);
  const view = viewOf(bytes);
  const entries: TableEntry[] = [];
  for (let index = 0; index < tableSize; index++) {
    const hi = view.getUint32(index * ENTRY_BYTES);
    const lo = view.getUint32(index * ENTRY_BYTES + 4);
    const offset = hostOffset(hi, lo);
    const ones = (lo & ALL_ONES) !== 0;
    const wrong = (hi & HI_RESERVED) !== 0 || (lo & LO_RESERVED) !== 0 || offset % clusterSize !== 0;
    if (wrong || (offset !== 0 && ones)) fail(`table entry ${index} is invalid: ${getHex(view, index)}`);
    if (offset >= file.size) {
      fail(`table entry ${index} leads to ${offset}, past the end of the file at ${file.size}`);
    }
    entries.push(offset !== 0 ? offset : ones ? 'ones' : 'zeroes');
  }
  return entries;
}

function getHex(view: DataView, index: number): string {
  return `0x${view.getBigUint64(index * ENTRY_BYTES).toString(16)}`;
}

export function encodeTable(entries: readonly TableEntry[]): Uint8Array {
  const bytes = new Uint8Array(entries.length * ENTRY_BYTES);
  const view = viewOf(bytes);
  entries.forEach((entry, index) => {
    if (typeof entry === 'number') setU64(view, index * ENTRY_BYTES, entry);
    else if (entry === 'ones') setU64(view, index * ENTRY_BYTES, ALL_ONES);
  });
  return bytes;
}

/** The bits of a stored bitmap for a disk of `size` bytes. Throws CorruptImage when they do not fit it. */
export async function readBits(disk: Disk, bitmap: BitmapEntry, size: number): Promise<DirtyBitmap> {
  const { file, fileName, geometry } = disk;
  const { clusterSize } = geometry;
  const granularity = 2 ** bitmap.granularityBits;
  const wanted = bitmapClusters(size, granularity, clusterSize);
  const entries = await readTable({ file, fileName, clusterSize }, bitmap);
  if (entries.length !== wanted) {
    throw new CorruptImage(
      `'${fileName}': bitmap '${bitmap.name}': its table has ${entries.length} entries, the disk needs ${wanted}`,
    );
  }
  const bits = new DirtyBitmap(size, granularity);
  const bytes = new Uint8Array(clusterSize);
  for (const [index, entry] of entries.entries()) {
    if (entry === 'ones') bits.putStored(index * clusterSize, clusterSize, true);
    else if (entry !== 'zeroes') {
      await file.read(entry, bytes);
      bits.writeStored(index * clusterSize, bytes);
    }
  }
  return bits;
}

/** Write the bits of a bitmap into new clusters; returns its table's entries. `allocated` is told of each cluster. */
export async function writeBits(
  disk: Disk,
  bits: DirtyBitmap,
  allocate: (clusters: number) => Promise<number>,
): Promise<TableEntry[]> {
  const { clusterSize } = disk.geometry;
  const entries: TableEntry[] = [];
  const clusters = bitmapClusters(bits.size, bits.granularity, clusterSize);
  for (let index = 0; index < clusters; index++) {
    const first = index * clusterSize;
    if (bits.isUniform(first, clusterSize, false)) entries.push('zeroes');
    else if (bits.isUniform(first, clusterSize, true)) entries.push('ones');
    else {
      const offset = await allocate(1);
      const bytes = new Uint8Array(clusterSize);
      bits.readStored(first, bytes);
      await disk.file.write(offset, bytes);
      entries.push(offset);
    }
  }
  return entries;
}
