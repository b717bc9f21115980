/** The bitmaps of one node: named ones by their name, trackers of jobs, and those of both that record. */
import { assertGranularity, type DirtyBitmap } from '../../bitmap/index.ts';
import { BlockError, NotSupported } from '../../errors/block-error.ts';
import type { BitmapStore, KeptBitmap } from '../driver.ts';
import { type BitmapState, NamedBitmap } from './named-bitmap.ts';
import type { DirtyTracker, TrackerHome } from './tracker.ts';

/** Bytes of the longest name, in UTF-8. */
export const MAX_BITMAP_NAME = 1023;

/** What there is to know of the disk: its length in bytes, and whether the image may be changed. */
export interface BitmapDisk {
  readonly size: number;
  readonly readOnly: boolean;
}

export class NodeBitmaps implements TrackerHome {
  readonly #name: string;
  readonly #disk: BitmapDisk;
  readonly #store: BitmapStore | undefined;
  readonly #named = new Map<string, NamedBitmap>();
  readonly #trackers = new Set<DirtyTracker>();
  /** Where changes are marked; undefined for the many nodes that have none. */
  #recording: readonly DirtyBitmap[] | undefined;
  /** Changes that were marked so far. */
  marked = 0;

  constructor(name: string, disk: BitmapDisk, store?: BitmapStore) {
    this.#name = name;
    this.#disk = disk;
    this.#store = store;
    for (const found of store?.found ?? []) this.insert({ ...found, persistent: true, readOnly: disk.readOnly });
  }

  get size(): number {
    return this.#disk.size;
  }

  /** Somebody wants to know of changes. */
  get recording(): boolean {
    return this.#recording !== undefined;
  }

  /** A change of that range has ended. */
  mark(offset: number, length: number): void {
    if (!this.#recording) return;
    this.marked++;
    for (const bits of this.#recording) bits.set(offset, length);
  }

  /** The disk has another length. */
  resize(size: number): void {
    for (const bitmap of this.#named.values()) bitmap.resize(size);
    for (const tracker of this.#trackers) tracker.bitmap.resize(size);
  }

  /** In the order in which they were added. */
  get named(): readonly NamedBitmap[] {
    return [...this.#named.values()];
  }

  get count(): number {
    return this.#named.size;
  }

  find(name: string): NamedBitmap | undefined {
    return this.#named.get(name);
  }

  /** Throws ENOENT for an unknown name. */
  get(name: string): NamedBitmap {
    const bitmap = this.#named.get(name);
    if (bitmap) return bitmap;
    throw new BlockError(`node '${this.#name}' has no dirty bitmap '${name}'`, { code: 'ENOENT' });
  }

  /** Throws where a new bitmap of that name and granularity cannot be made. */
  assertRoom(name: string, granularity: number, persistent: boolean): void {
    this.assertNewName(name);
    assertGranularity(granularity);
    if (persistent) this.#keeper().assertRoom(name, granularity, this.#kept());
  }

  #keeper(): BitmapStore {
    if (!this.#store) throw new NotSupported(`node '${this.#name}' cannot keep bitmaps in its image`);
    if (this.#disk.readOnly) throw new BlockError(`node '${this.#name}' is read-only`, { code: 'EACCES' });
    return this.#store;
  }

  assertNewName(name: string): void {
    const bytes = Buffer.byteLength(name);
    if (bytes === 0) throw new BlockError('the name of a bitmap cannot be empty');
    if (bytes > MAX_BITMAP_NAME) {
      throw new BlockError(`the name of a bitmap has ${bytes} bytes, the limit is ${MAX_BITMAP_NAME}`);
    }
    if (!this.#named.has(name)) return;
    throw new BlockError(`node '${this.#name}' already has a dirty bitmap '${name}'`, { code: 'EEXIST' });
  }

  /** Take in a bitmap that exists already: one found in the image, or one that was removed. */
  insert(state: BitmapState): NamedBitmap {
    const bitmap = new NamedBitmap(state, this);
    this.#named.set(bitmap.name, bitmap);
    this.recordingChanged();
    return bitmap;
  }

  /** Say in the image that these are going to differ from what it holds. */
  async beginChange(bitmaps: readonly NamedBitmap[]): Promise<void> {
    const names = bitmaps.filter((bitmap) => bitmap.persistent).map((bitmap) => bitmap.name);
    if (names.length > 0) await this.#keeper().beginChange(names);
  }

  /** Take one out of the image. */
  async removeStored(bitmap: NamedBitmap): Promise<void> {
    if (bitmap.persistent) await this.#keeper().remove(bitmap.name);
  }

  /** Before the disk is given another length, which they have to follow in the image too: throws where one cannot. */
  async beginResize(): Promise<void> {
    const all = [...this.#named.values()];
    for (const bitmap of all) if (bitmap.persistent || bitmap.busy) bitmap.assertUsable();
    await this.beginChange(all);
  }

  /** Put the persistent ones into the image: before it is closed, or is not written to any more. */
  async save(): Promise<void> {
    const list = this.#kept();
    if (this.#store && !this.#disk.readOnly) await this.#store.save(list);
  }

  #kept(): KeptBitmap[] {
    return [...this.#named.values()].filter((bitmap) => bitmap.persistent && !bitmap.inconsistent);
  }

  drop(bitmap: NamedBitmap): void {
    this.#named.delete(bitmap.name);
    this.recordingChanged();
  }

  attach(tracker: DirtyTracker): void {
    this.#trackers.add(tracker);
    this.recordingChanged();
  }

  detach(tracker: DirtyTracker): void {
    this.#trackers.delete(tracker);
    this.recordingChanged();
  }

  recordingChanged(): void {
    const list: DirtyBitmap[] = [];
    for (const bitmap of this.#named.values()) if (bitmap.target) list.push(bitmap.target);
    for (const tracker of this.#trackers) if (tracker.recording) list.push(tracker.bitmap);
    this.#recording = list.length > 0 ? list : undefined;
  }
}
