/**
 * Bitmaps kept in the image.
 *
 * On disk:  header extension → directory → an entry for each bitmap → its table → clusters of bits
 *
 * An entry says whether the bitmap is `in use`: what is stored may then be older than the disk, and whoever finds it so
 * cannot use it. It is said, in place and stable, before the first change of the disk for those that record, and before
 * any other change of a bitmap. Storing goes to new places: bits, tables and a new directory are written and their
 * clusters counted; all of that is stable before the header names the new directory; and that is stable before the old
 * places are given up. A crash at any moment leaves the old bitmaps, in use, or the new ones.
 *
 * Entries that this driver cannot use (an unknown type, reserved flags, extra data it must know, a broken table) stay in
 * the directory as they are; broken ones that record are said to be in use before the disk changes, like the others.
 */

import { after, type Maybe } from '../../../core/async/maybe.ts';
import type { BitmapStore, FoundBitmap, KeptBitmap } from '../../../core/block/driver.ts';
import { alignUp } from '../../../core/bytes/ranges.ts';
import { BlockError, NotSupported } from '../../../core/errors/block-error.ts';
import type { Disk } from '../disk.ts';
import { rewriteHeader } from '../header-update.ts';
import {
  type BitmapEntry,
  BitmapFlag,
  bitmapEntryBytes,
  DIRTY_TRACKING_BITMAP,
  decodeBitmapDirectory,
  encodeBitmapDirectory,
  type StoredBitmap,
} from '../meta/bitmap-directory.ts';
import { type BitmapsExtension, ExtensionType, encodeBitmapsExtension, withExtension } from '../meta/extensions.ts';
import { Autoclear } from '../meta/features.ts';
import { Limit } from '../meta/limits.ts';
import { viewOf } from '../meta/struct.ts';
import { Mutex } from '../mutex.ts';
import { inOrder } from '../sequence.ts';
import { bitmapClusters, encodeTable, readTable, writeBits } from './table.ts';

const TABLE_ENTRY_BYTES = 8;

/** Clusters, as a stretch of the file in bytes. */
interface Place {
  readonly offset: number;
  readonly length: number;
}

export class StoredBitmaps implements BitmapStore {
  readonly found: readonly FoundBitmap[];
  readonly #disk: Disk;
  readonly #mutex = new Mutex();
  /** The directory as it is on disk. */
  #entries: readonly StoredBitmap[];
  #place: Place | undefined;
  /** Those that this open has said to be in use. */
  readonly #begun = new Set<string>();
  /** There are bitmaps in the image that the block layer does not know of. */
  readonly hasForeign: boolean;

  constructor(
    disk: Disk,
    directory: { entries: readonly StoredBitmap[]; place: Place | undefined },
    found: readonly FoundBitmap[],
  ) {
    this.#disk = disk;
    this.#entries = directory.entries;
    this.#place = directory.place;
    this.found = found;
    this.hasForeign = found.length < directory.entries.length;
  }

  assertRoom(name: string, granularity: number, others: readonly KeptBitmap[]): void {
    const { fileName, header, geometry } = this.#disk;
    if (header.version < 3) {
      throw new NotSupported(`'${fileName}' is of version 2, which cannot hold bitmaps`, {
        hint: 'Make it version 3 with img amend -o compat=1.1',
      });
    }
    if (this.#entries.some((entry) => entry.name === name)) {
      throw new BlockError(`'${fileName}' already has a bitmap '${name}'`, { code: 'EEXIST' });
    }
    const fresh = others.filter((other) => this.#entries.every((entry) => entry.name !== other.name));
    const count = this.#entries.length + fresh.length + 1;
    if (count > Limit.MAX_BITMAPS) {
      throw new BlockError(`'${fileName}' has ${count - 1} bitmaps, no more than ${Limit.MAX_BITMAPS} can be kept`);
    }
    const names = [name, ...fresh.map((other) => other.name)];
    const bytes = names.reduce(
      (sum, each) => sum + bitmapEntryBytes(each),
      encodeBitmapDirectory(this.#entries).length,
    );
    if (bytes > Limit.MAX_BITMAP_DIRECTORY_BYTES) {
      throw new BlockError(
        `the bitmap directory of '${fileName}' would have ${bytes} bytes, the limit is ${Limit.MAX_BITMAP_DIRECTORY_BYTES}`,
      );
    }
    this.#assertFits(name, granularity, geometry.clusterSize);
  }

  #assertFits(name: string, granularity: number, clusterSize: number): void {
    const { fileName, size } = this.#disk;
    const clusters = bitmapClusters(size, granularity, clusterSize);
    if (clusters <= Limit.MAX_BITMAP_TABLE_ENTRIES && clusters * clusterSize <= Limit.MAX_BITMAP_BYTES) return;
    throw new BlockError(
      `bitmap '${name}' would take ${clusters * clusterSize} bytes in '${fileName}', the limit is ${Limit.MAX_BITMAP_BYTES}`,
      { hint: 'Use a larger granularity' },
    );
  }

  /** Before the disk changes: those that record do not agree with it any more. */
  beginWriting(): Maybe<void> {
    return this.#setInUse((entry) => (entry.flags & BitmapFlag.AUTO) !== 0);
  }

  beginChange(names: readonly string[]): Maybe<void> {
    return this.#setInUse((entry) => names.includes(entry.name));
  }

  #setInUse(concerns: (entry: StoredBitmap) => boolean): Maybe<void> {
    const wanted = (entry: StoredBitmap) => (entry.flags & BitmapFlag.IN_USE) === 0 && concerns(entry);
    if (!this.#entries.some(wanted)) return;
    return this.#mutex.run(() => {
      const disk = this.#disk;
      const place = this.#place;
      const list = this.#entries.filter(wanted);
      if (list.length === 0 || !place) return;
      disk.assertUsable();
      const flags = (entry: StoredBitmap) => () => {
        const bytes = new Uint8Array(4);
        viewOf(bytes).setUint32(0, entry.flags | BitmapFlag.IN_USE);
        return disk.file.write(place.offset + entry.flagsAt, bytes);
      };
      return after(inOrder([...list.map(flags), () => disk.file.flush()]), () => {
        for (const entry of list) {
          entry.flags |= BitmapFlag.IN_USE;
          this.#begun.add(entry.name);
        }
      });
    });
  }

  async remove(name: string): Promise<void> {
    if (!this.#entries.some((entry) => entry.name === name)) return;
    await this.#mutex.run(async () => {
      const gone = this.#entries.find((entry) => entry.name === name);
      if (!gone) return;
      const rest = this.#entries.filter((entry) => entry !== gone);
      await this.#replace(rest, [gone], []);
      this.#begun.delete(name);
    });
  }

  async save(bitmaps: readonly KeptBitmap[]): Promise<void> {
    const stored = new Set(this.#entries.map((entry) => entry.name));
    const list = bitmaps.filter(({ name }) => this.#begun.has(name) || !stored.has(name));
    if (list.length === 0 || this.#disk.isCorrupt) return;
    await this.#mutex.run(() => this.#save(list));
  }

  async #save(list: readonly KeptBitmap[]): Promise<void> {
    const { clusterSize } = this.#disk.geometry;
    const taken: Place[] = [];
    const allocate = async (clusters: number): Promise<number> => {
      const offset = await this.#allocate(clusters);
      taken.push({ offset, length: clusters * clusterSize });
      return offset;
    };
    const names = new Set(list.map((bitmap) => bitmap.name));
    const replaced = this.#entries.filter((entry) => names.has(entry.name));
    const fresh = new Map<string, BitmapEntry>();
    try {
      for (const bitmap of list) fresh.set(bitmap.name, await this.#write(bitmap, allocate));
    } catch (error) {
      this.#giveUp(taken);
      throw error;
    }
    const kept = this.#entries.map((entry) => fresh.get(entry.name) ?? entry);
    const added = [...fresh.values()].filter((entry) => this.#entries.every((old) => old.name !== entry.name));
    await this.#replace([...kept, ...added], replaced, taken);
    for (const name of names) this.#begun.delete(name);
    // The next change of the disk has to say again that they are in use.
    this.#disk.writeState.ready = false;
  }

  async #write({ name, bits, recording }: KeptBitmap, allocate: (n: number) => Promise<number>): Promise<BitmapEntry> {
    const disk = this.#disk;
    const { clusterSize } = disk.geometry;
    this.#assertFits(name, bits.granularity, clusterSize);
    const entries = await writeBits(disk, bits, allocate);
    const clusters = Math.ceil((entries.length * TABLE_ENTRY_BYTES) / clusterSize);
    const tableOffset = await allocate(clusters);
    await disk.file.write(tableOffset, encodeTable(entries));
    const old = this.#entries.find((entry) => entry.name === name);
    return {
      tableOffset,
      tableSize: entries.length,
      flags: (recording ? BitmapFlag.AUTO : 0) | ((old?.flags ?? 0) & BitmapFlag.EXTRA_DATA_COMPATIBLE),
      type: DIRTY_TRACKING_BITMAP,
      granularityBits: Math.log2(bits.granularity),
      name,
      extra: old?.extra ?? new Uint8Array(0),
    };
  }

  /**
   * Make `entries` the directory, then give up the old one and what `gone` took. When it fails, `taken` is given up,
   * and the old directory is the one that counts.
   */
  async #replace(entries: readonly BitmapEntry[], gone: readonly BitmapEntry[], taken: Place[]): Promise<void> {
    const disk = this.#disk;
    const { clusterSize } = disk.geometry;
    const bytes = encodeBitmapDirectory(entries);
    let place: Place | undefined;
    try {
      disk.assertUsable();
      if (entries.length > 0) {
        const length = alignUp(bytes.length, clusterSize);
        place = { offset: await this.#allocate(length / clusterSize), length };
        taken.push(place);
        await disk.file.write(place.offset, bytes);
      }
      await disk.writer.settle();
      await this.#writeHeader(place && { ...place, length: bytes.length }, entries.length);
    } catch (error) {
      this.#giveUp(taken);
      throw error;
    }
    const old = this.#place;
    this.#place = place && { offset: place.offset, length: bytes.length };
    this.#entries = entries.length > 0 ? decodeBitmapDirectory(bytes, entries.length, disk.fileName) : [];
    disk.overlap.setRange('bitmap-directory', this.#place?.offset ?? 0, this.#place?.length ?? 0);
    const freed = old ? [{ offset: old.offset, length: alignUp(old.length, clusterSize) }] : [];
    for (const entry of gone) freed.push(...(await this.#placesOf(entry)));
    await this.#free(freed);
  }

  async #writeHeader(place: Place | undefined, count: number): Promise<void> {
    const disk = this.#disk;
    const before = { extensions: disk.parts.extensions, autoclear: disk.header.autoclear };
    const extension: BitmapsExtension | undefined = place && {
      count,
      directorySize: place.length,
      directoryOffset: place.offset,
    };
    const data = extension && encodeBitmapsExtension(extension);
    disk.parts.extensions = withExtension(disk.parts.extensions, ExtensionType.BITMAPS, data);
    disk.header.autoclear = data ? before.autoclear | Autoclear.BITMAPS : before.autoclear & ~Autoclear.BITMAPS;
    try {
      await rewriteHeader(disk);
      await disk.file.flush();
    } catch (error) {
      disk.parts.extensions = before.extensions;
      disk.header.autoclear = before.autoclear;
      throw error;
    }
  }

  async #allocate(clusters: number): Promise<number> {
    const { allocator, geometry } = this.#disk;
    const first = await allocator.allocate(clusters, 'bitmap');
    const offset = first * geometry.clusterSize;
    allocator.touch(first + clusters);
    return offset;
  }

  /** Where the table and the bits of a bitmap lie; nothing of one whose table cannot be believed. */
  async #placesOf(entry: BitmapEntry): Promise<Place[]> {
    const { file, fileName, geometry } = this.#disk;
    const { clusterSize } = geometry;
    if (entry.type !== DIRTY_TRACKING_BITMAP || entry.tableOffset % clusterSize !== 0) return [];
    try {
      const table = await readTable({ file, fileName, clusterSize }, entry);
      const length = alignUp(entry.tableSize * TABLE_ENTRY_BYTES, clusterSize);
      const places: Place[] = [{ offset: entry.tableOffset, length }];
      for (const offset of table) if (typeof offset === 'number') places.push({ offset, length: clusterSize });
      return places;
    } catch (error) {
      if (error instanceof BlockError) return [];
      throw error;
    }
  }

  /** Nothing on disk leads to these any more. */
  async #free(places: readonly Place[]): Promise<void> {
    const { overlap, refcounts, geometry, writer } = this.#disk;
    const believable: Place[] = [];
    for (const place of places) {
      // A damaged image may name clusters of others, or free ones.
      const first = place.offset / geometry.clusterSize;
      if (overlap.hit(place.offset, place.length) === undefined && (await refcounts.get(first)) > 0) {
        believable.push(place);
      }
    }
    this.#giveUp(believable);
    await writer.settle();
  }

  #giveUp(places: readonly Place[]): void {
    const { allocator, geometry } = this.#disk;
    for (const { offset, length } of places) {
      allocator.free(offset / geometry.clusterSize, length / geometry.clusterSize, 'other');
    }
  }
}
