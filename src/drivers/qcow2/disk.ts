/**
 * An open qcow2 image: all that the operations in this folder share. It holds state and hands it out; what is
 * done with it stands in the file named after the operation.
 *
 * Write order, the one rule of the whole driver (see write-out.ts):
 *   counts of new clusters, data → L2 entries → L1 entries → counts of clusters given back.
 */
import { after, type Maybe } from '../../core/async/maybe.ts';
import type { Damage } from '../../core/block/damage.ts';
import type { OpenModes } from '../../core/block/driver.ts';
import type { BlockEvent } from '../../core/block/events.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { BlockError, CorruptImage } from '../../core/errors/block-error.ts';
import type { Allocated, Allocator, FreeReason } from './allocator.ts';
import type { StoredBitmaps } from './bitmaps/store.ts';
import { DecompressedClusters } from './compressed-read.ts';
import type { CompressedSpace } from './compressed-space.ts';
import { type DataPath, EncryptedData } from './encryption/data-path.ts';
import type { Encryption } from './encryption/open.ts';
import { Grace } from './grace.ts';
import { InFlight } from './in-flight.ts';
import type { L1Table } from './l1-table.ts';
import type { Extension } from './meta/extensions.ts';
import { Autoclear, Incompatible } from './meta/features.ts';
import type { Geometry } from './meta/geometry.ts';
import { encodeHeader, type Header } from './meta/header.ts';
import type { Snapshot } from './meta/snapshot-table.ts';
import type { OverlapCheck } from './overlap-check.ts';
import type { Refcounts } from './refcounts.ts';
import type { TableCache } from './table-cache.ts';
import { Turns } from './turns.ts';
import type { WriteOut } from './write-out.ts';

/** Runtime options, resolved against the image and the node's modes. */
export interface Settings {
  readonly lazyRefcounts: boolean;
  readonly discardNoUnref: boolean;
  /** Which reasons for freeing a cluster give the space back to the host. */
  readonly passDiscard: Readonly<Record<FreeReason, boolean>>;
  /** Milliseconds after which unused tables are dropped from memory; 0 for never. */
  readonly cacheCleanInterval: number;
}

/** Where the header's variable parts came from, kept for rewriting it. */
export interface HeaderParts {
  extensions: readonly Extension[];
  backingFileName: string | undefined;
  /** Bytes of the first cluster in use: a rewrite clears up to here. */
  usedBytes: number;
}

export interface DiskInit {
  readonly fileName: string;
  readonly modes: OpenModes;
  readonly settings: Settings;
  readonly header: Header;
  readonly parts: HeaderParts;
  readonly geometry: Geometry;
  readonly file: Edge;
  readonly dataFile: Edge | undefined;
  readonly snapshots: readonly Snapshot[];
  readonly l1: L1Table;
  readonly encryption?: Encryption | undefined;
  readonly warn: (message: string) => void;
  readonly damaged: (damage: Damage) => void;
}

export class Disk {
  readonly fileName: string;
  /** These two change when the node is reopened (`reopen.ts`). */
  modes: OpenModes;
  settings: Settings;
  readonly header: Header;
  readonly parts: HeaderParts;
  readonly geometry: Geometry;
  readonly file: Edge;
  readonly dataFile: Edge | undefined;
  readonly encryption: Encryption | undefined;
  readonly #content: DataPath;
  /** Opened last, so that a bad header never opens anything else. */
  backing: Edge | undefined;
  snapshots: readonly Snapshot[];
  /** Bitmaps in the image; none when only its header is looked at, or when their directory is damaged. */
  bitmaps: StoredBitmaps | undefined;
  readonly l1: L1Table;
  readonly grace = new Grace();
  readonly inFlight = new InFlight();
  readonly decompressed = new DecompressedClusters();
  readonly warn: (message: string) => void;
  readonly #damaged: (damage: Damage) => void;
  /** Damage of an image that cannot be written to is told once. */
  #toldDamage = false;
  /** Data was written that an L2 entry in memory points at, and no flush has been made since. */
  unsettled = false;
  /** L2 tables that are being made, by L1 index. */
  readonly l2InMaking = new Map<number, Promise<void>>();
  /** What must be done before the image is first changed (`first-write.ts`): nothing left once `ready`. */
  writeState: { ready: boolean; preparing: Promise<void> | undefined } = { ready: false, preparing: undefined };
  /** Whether clusters were allocated without being written, once known (`preallocated.ts`). */
  preallocated: Maybe<boolean> | undefined;
  /** Set when metadata proved wrong: the image is not written to any more. */
  #corruption: string | undefined;
  #retired: string | undefined;
  #corruptMark: Promise<void> | undefined;
  #parts: DiskParts | undefined;
  /** Entries of an L2 slice, the unit in which L2 tables are cached: a power of two. */
  sliceEntries = 1;

  constructor(init: DiskInit) {
    this.fileName = init.fileName;
    this.modes = init.modes;
    this.settings = init.settings;
    this.header = init.header;
    this.parts = init.parts;
    this.geometry = init.geometry;
    this.file = init.file;
    this.dataFile = init.dataFile;
    this.snapshots = init.snapshots;
    this.l1 = init.l1;
    this.warn = init.warn;
    this.#damaged = init.damaged;
    this.encryption = init.encryption;
    const cipher = init.encryption?.cipher;
    this.#content = cipher ? new EncryptedData(this.data, cipher, init.encryption?.format === 'aes') : this.data;
  }

  /** The order in which requests take space, of those that keep to one. */
  readonly turns = new Turns();

  /** The parts that need the disk themselves; called by open.ts, and again when they are to be other ones. */
  assemble(parts: DiskParts): void {
    this.#parts = parts;
    this.sliceEntries = parts.l2.entrySize / this.geometry.l2EntrySize;
  }

  /** New caches and counts, where the refcount table on disk is this one and nothing in memory is to be kept. */
  reassemble(refcountTable: Uint8Array): void {
    this.writeState.ready = false;
    this.#assembled.again(refcountTable);
  }

  get #assembled(): DiskParts {
    if (!this.#parts) throw new Error('the qcow2 disk is not assembled');
    return this.#parts;
  }

  get l2(): TableCache {
    return this.#assembled.l2;
  }
  get refcounts(): Refcounts {
    return this.#assembled.refcounts;
  }
  get allocator(): Allocator {
    return this.#assembled.allocator;
  }
  get writer(): WriteOut {
    return this.#assembled.writer;
  }
  get overlap(): OverlapCheck {
    return this.#assembled.overlap;
  }
  get compressedSpace(): CompressedSpace {
    return this.#assembled.compressedSpace;
  }

  /** Length of the disk in bytes. */
  get size(): number {
    return this.header.size;
  }

  /** Where guest data lies. */
  get data(): Edge {
    return this.dataFile ?? this.file;
  }

  /** The way of guest data to where it lies. */
  get content(): DataPath {
    return this.#content;
  }

  /** A host cluster that was never written reads as zeroes to the guest, as it is. */
  isBlank(first: number): boolean {
    return this.encryption === undefined && this.allocator.isFresh(first);
  }

  get writable(): boolean {
    return !this.modes.readOnly;
  }

  /** The data file is at all times a raw image of the disk. */
  get dataFileRaw(): boolean {
    return this.dataFile !== undefined && (this.header.autoclear & Autoclear.DATA_FILE_RAW) !== 0n;
  }

  get dirtyBit(): boolean {
    return (this.header.incompatible & Incompatible.DIRTY) !== 0n;
  }

  /** Counts on disk may lag behind: the dirty bit says so. */
  get lazyRefcounts(): boolean {
    return this.settings.lazyRefcounts && this.dirtyBit;
  }

  /**
   * The error for damaged metadata, to be thrown. A writable image is marked corrupt, once, and takes no
   * more writes.
   */
  corrupt(what: string, data: Readonly<Record<string, unknown>> = {}): CorruptImage {
    const message = `'${this.fileName}': ${what}`;
    const fatal = this.writable;
    if (fatal ? this.#corruption === undefined : !this.#toldDamage) {
      this.#toldDamage = true;
      this.#damaged({ kind: 'corrupt-image', driver: 'qcow2', message, what, ...rangeOf(data), fatal });
    }
    if (fatal && this.#corruption === undefined) {
      this.#corruption = message;
      if (this.header.version >= 3) {
        this.header.incompatible |= Incompatible.CORRUPT;
        const mark = this.writeHeaderFields();
        if (mark instanceof Promise) this.#corruptMark = mark.catch(() => undefined);
      }
    }
    return new CorruptImage(message, { data });
  }

  /** What is in memory is not what is on disk any more: nothing is written until the image is opened anew. */
  retire(why: string): void {
    this.#retired = why;
  }

  get isRetired(): boolean {
    return this.#retired !== undefined;
  }

  get isCorrupt(): boolean {
    return this.#corruption !== undefined;
  }

  /** Resolves when the corrupt bit, if it had to be set, is written. */
  async corruptMarkWritten(): Promise<void> {
    await this.#corruptMark;
  }

  assertUsable(): void {
    if (this.#retired !== undefined) {
      throw new BlockError(`'${this.fileName}' has to be opened anew before it is written to: ${this.#retired}`, {
        code: 'EBUSY',
      });
    }
    if (this.#corruption === undefined) return;
    throw new BlockError(`'${this.fileName}' is marked corrupt and cannot be written to`, {
      code: 'EIO',
      hint: 'Look at it with img check, and repair it with img check -r all',
    });
  }

  /** Throws, and marks the image corrupt, when a write to these host bytes would hit metadata. */
  assertNoOverlap(offset: number, length: number): void {
    const hit = this.overlap.hit(offset, length);
    if (hit !== undefined) {
      throw this.corrupt(`a write of ${length} bytes at ${offset} would overwrite ${hit}`, { offset, length });
    }
  }

  /** The same for space that its reference counts say is free. The header is looked out for whatever the settings. */
  assertVacant({ offset, length, use }: Allocated): void {
    if (offset === 0) throw this.corrupt(`Preventing invalid allocation of ${use} at offset 0`, { offset, length });
    this.assertNoOverlap(offset, length);
  }

  /** A fault injector lies below, for the moment, and wants to hear of what is done. */
  get announces(): boolean {
    return this.file.node.image.event !== undefined;
  }

  /** Do `step` after announcing it. */
  announcing<T>(event: BlockEvent, step: () => Maybe<T>): Maybe<T> {
    return this.announces ? after(this.file.event(event), step) : step();
  }

  /** Write the fixed fields of the header as they are in memory (not the extensions). */
  writeHeaderFields(): Maybe<void> {
    return this.file.write(0, encodeHeader(this.header));
  }
}

/** The parts of a disk that work on the disk as a whole. */
export interface DiskParts {
  readonly l2: TableCache;
  readonly refcounts: Refcounts;
  readonly allocator: Allocator;
  readonly writer: WriteOut;
  readonly overlap: OverlapCheck;
  readonly compressedSpace: CompressedSpace;
  /** Make all of them anew for another refcount table. */
  again(refcountTable: Uint8Array): void;
}

/** The numbers of an error's data, where it has them. */
function rangeOf({ offset, length }: Readonly<Record<string, unknown>>): { offset?: number; length?: number } {
  return { ...(typeof offset === 'number' ? { offset } : {}), ...(typeof length === 'number' ? { length } : {}) };
}
