/**
 * Metadata tables in memory: L2 tables (or slices of them) and refcount blocks.
 *
 * A table is found by its host offset. Changes are made in `table.bytes` and announced with `markDirty`; they
 * reach the disk through `takeDirty`, which copies what changed, so that changes made while the copy is being
 * written belong to the next round. The order between caches is the business of `write-out.ts`.
 *
 * A table must not be held across a wait: after one it may have been dropped and loaded again.
 * Dirty tables, and those whose copy is still being written, are never dropped.
 */
import { after, type Maybe } from '../../core/async/maybe.ts';
import { copyOf, viewOf } from './meta/struct.ts';

export class Table {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Changed bytes [from, to); none when from >= to. */
  dirtyFrom = Number.MAX_SAFE_INTEGER;
  dirtyTo = 0;
  /** Copies on their way to the disk. */
  writing = 0;
  used = 0;

  constructor(offset: number, bytes: Uint8Array) {
    this.offset = offset;
    this.bytes = bytes;
    this.view = viewOf(bytes);
  }

  get dirty(): boolean {
    return this.dirtyFrom < this.dirtyTo;
  }
}

/** A copy of changed bytes and where they go. */
export interface DirtyPiece {
  readonly table: Table;
  readonly from: number;
  readonly bytes: Uint8Array;
  /** Reported to `written` already. */
  settled: boolean;
}

/** What a cache reads from. */
export interface TableSource {
  read(offset: number, buf: Uint8Array): Maybe<void>;
}

export interface TableCacheInit {
  readonly source: () => TableSource;
  /** Bytes of one table. */
  readonly entrySize: number;
  readonly maxBytes: number;
  /** Unit in bytes to which writes are rounded out within a table. */
  readonly writeUnit: number;
  /** Called when the cache is full of dirty tables: must write them out. */
  readonly relieve: () => Maybe<void>;
}

export class TableCache {
  readonly entrySize: number;
  readonly #init: TableCacheInit;
  readonly #tables = new Map<number, Table>();
  readonly #loading = new Map<number, Promise<Table>>();
  #limit: number;
  #clock = 0;
  #last: Table | undefined;
  #dirty = new Set<Table>();

  constructor(init: TableCacheInit) {
    this.#init = init;
    this.entrySize = init.entrySize;
    this.#limit = Math.max(2, Math.floor(init.maxBytes / init.entrySize));
  }

  get dirtyCount(): number {
    return this.#dirty.size;
  }

  /** More dirty tables than a cache of this size should hold. */
  get crowded(): boolean {
    return this.#dirty.size > this.#limit;
  }

  /** The table at a host offset, when it is in memory. */
  peek(offset: number): Table | undefined {
    if (this.#last?.offset === offset) return this.#last;
    const table = this.#tables.get(offset);
    if (!table) return undefined;
    table.used = ++this.#clock;
    this.#last = table;
    return table;
  }

  /** The table at a host offset, read when it is not in memory. */
  get(offset: number): Maybe<Table> {
    return this.peek(offset) ?? this.#loading.get(offset) ?? this.#load(offset);
  }

  #load(offset: number): Maybe<Table> {
    const bytes = new Uint8Array(this.entrySize);
    const read = after(this.#makeRoom(), () => this.#init.source().read(offset, bytes));
    if (!(read instanceof Promise)) return this.#insert(new Table(offset, bytes));
    const loaded = read.then(() => this.#insert(new Table(offset, bytes)));
    this.#loading.set(offset, loaded);
    const done = () => this.#loading.delete(offset);
    loaded.then(done, done);
    return loaded;
  }

  /** A new table of zeroes (or `bytes`), all of it dirty; replaces what was known of that offset. */
  create(offset: number, bytes: Uint8Array = new Uint8Array(this.entrySize)): Table {
    this.forget(offset);
    const table = this.#insert(new Table(offset, bytes));
    this.markDirty(table, 0, this.entrySize);
    return table;
  }

  #insert(table: Table): Table {
    const newer = this.#tables.get(table.offset);
    if (newer) return newer;
    table.used = ++this.#clock;
    this.#tables.set(table.offset, table);
    this.#last = table;
    return table;
  }

  /** Bytes [from, to) of the table have changed. */
  markDirty(table: Table, from: number, to: number): void {
    if (from < table.dirtyFrom) table.dirtyFrom = from;
    if (to > table.dirtyTo) table.dirtyTo = to;
    this.#dirty.add(table);
  }

  /** The cluster at this offset holds no table any more. */
  forget(offset: number): void {
    const table = this.#tables.get(offset);
    this.#loading.delete(offset);
    if (!table) return;
    this.#tables.delete(offset);
    this.#dirty.delete(table);
    if (this.#last === table) this.#last = undefined;
  }

  /** Forget all that is clean; with `olderThan`, only what was not used since that mark. */
  dropClean(olderThan = Number.MAX_SAFE_INTEGER): void {
    for (const table of this.#tables.values()) {
      if (!table.dirty && table.writing === 0 && table.used <= olderThan) this.#tables.delete(table.offset);
    }
    this.#last = undefined;
  }

  /** A mark for {@link dropClean}. */
  get mark(): number {
    return this.#clock;
  }

  /** Copies of all changes; the tables count as clean from now on. Each piece must be given to {@link written}. */
  takeDirty(): DirtyPiece[] {
    const pieces: DirtyPiece[] = [];
    const unit = this.#init.writeUnit;
    for (const table of this.#dirty) {
      const from = table.dirtyFrom - (table.dirtyFrom % unit);
      const to = Math.min(this.entrySize, Math.ceil(table.dirtyTo / unit) * unit);
      table.dirtyFrom = Number.MAX_SAFE_INTEGER;
      table.dirtyTo = 0;
      table.writing++;
      pieces.push({ table, from, bytes: copyOf(table.bytes, from, to), settled: false });
    }
    this.#dirty.clear();
    return pieces.sort((a, b) => a.table.offset - b.table.offset);
  }

  /** A piece has reached the file, or (failed, also when it was written before) has to be written again. */
  written(piece: DirtyPiece, failed: boolean): void {
    if (!piece.settled) piece.table.writing--;
    piece.settled = true;
    if (failed && this.#tables.get(piece.table.offset) === piece.table) {
      this.markDirty(piece.table, piece.from, piece.from + piece.bytes.length);
    }
  }

  /** Drop the least recently used eighth when full; write out first when all is dirty. */
  #makeRoom(): Maybe<void> {
    if (this.#tables.size + this.#loading.size < this.#limit) return;
    if (this.#evict()) return;
    return after(this.#init.relieve(), () => {
      this.#evict();
    });
  }

  #evict(): boolean {
    const idle: Table[] = [];
    for (const table of this.#tables.values()) if (!table.dirty && table.writing === 0) idle.push(table);
    if (idle.length === 0) return false;
    idle.sort((a, b) => a.used - b.used);
    const count = Math.max(1, Math.ceil(this.#limit / 8), this.#tables.size - this.#limit + 1);
    for (const table of idle.slice(0, count)) this.#tables.delete(table.offset);
    this.#last = undefined;
    return true;
  }
}
