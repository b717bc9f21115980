/** The bitmaps of one node: named ones by their name, trackers of jobs, and those of both that record. */
import { assertGranularity, DirtyBitmap } from '../../bitmap/index.ts';
import { BlockError } from '../../errors/block-error.ts';
import { type BitmapState, NamedBitmap } from './named-bitmap.ts';
import type { DirtyTracker, TrackerHome } from './tracker.ts';

/** Bytes of the longest name, in UTF-8. */
export const MAX_BITMAP_NAME = 1023;

export class NodeBitmaps implements TrackerHome {
  readonly #name: string;
  readonly #disk: { readonly size: number };
  readonly #named = new Map<string, NamedBitmap>();
  readonly #trackers = new Set<DirtyTracker>();
  /** Where changes are marked; undefined for the many nodes that have none. */
  #recording: readonly DirtyBitmap[] | undefined;

  /** Of the node with that name, whose length in bytes is `disk.size`. */
  constructor(name: string, disk: { readonly size: number }) {
    this.#name = name;
    this.#disk = disk;
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
    if (this.#recording) for (const bits of this.#recording) bits.set(offset, length);
  }

  /** The disk has another length. */
  resize(size: number): void {
    for (const bitmap of this.#named.values()) bitmap.resize(size);
    for (const tracker of this.#trackers) tracker.bitmap.resize(size);
  }

  /** In the order in which they were added. */
  get named(): IterableIterator<NamedBitmap> {
    return this.#named.values();
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

  /** A new bitmap, clean. Throws for a name that is taken or none, and for a granularity that is none. */
  create(name: string, options: { granularity: number; persistent: boolean; recording: boolean }): NamedBitmap {
    this.assertNewName(name);
    assertGranularity(options.granularity);
    return this.insert({
      name,
      bits: new DirtyBitmap(this.#disk.size, options.granularity),
      persistent: options.persistent,
      recording: options.recording,
    });
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
