/**
 * The log as it is written. An entry has its place as soon as it is added, so that the order of entries is the
 * order of what they record; writing them out goes on side by side. The superblock counts only entries that have
 * been written: it is brought up to date after each flush, and now and then between.
 */
import { after, all, type Maybe } from '../../core/async/maybe.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { alignUp } from '../../core/bytes/ranges.ts';
import { asBlockError, BlockError } from '../../core/errors/block-error.ts';
import {
  dataSectors,
  ENTRY,
  ENTRY_BYTES,
  EntryFlag,
  isSectorSize,
  LOG_MAGIC,
  LOG_VERSION,
  SUPERBLOCK,
  SUPERBLOCK_BYTES,
} from './format.ts';

export interface LogPosition {
  readonly sectorSize: number;
  /** Entries so far, and the first sector behind them. */
  readonly entries: number;
  readonly nextSector: number;
}

/** What an entry records; lengths in bytes. */
export interface Entry {
  readonly offset: number;
  readonly length: number;
  readonly flags: bigint;
  /** The data, or how many zeroes it is; none for discards and flushes. */
  readonly data?: readonly Uint8Array[] | { readonly zeroes: number };
}

export class Log {
  readonly sectorSize: number;
  readonly #file: Edge;
  readonly #interval: number;
  #entries: number;
  #next: number;
  /** Entries that the superblock on disk counts. */
  #counted: number;
  readonly #writing = new Set<Promise<void>>();
  #superblock: Promise<void> = Promise.resolve();

  constructor(file: Edge, position: LogPosition, interval: number) {
    this.#file = file;
    this.sectorSize = position.sectorSize;
    this.#entries = position.entries;
    this.#next = position.nextSector;
    this.#counted = position.entries;
    this.#interval = interval;
  }

  /** Record what has completed. */
  add(entry: Entry): Maybe<void> {
    const at = this.#place(lengthOf(entry.data));
    const written = this.#writeOut(at, this.#head(entry), entry.data);
    return after(written instanceof Promise ? this.#track(written) : undefined, () => this.#maybeCount());
  }

  /** Carry out a flush, whose place is before all that completes from now on; one that fails leaves an empty entry. */
  async addFlush(flush: () => Maybe<void>): Promise<void> {
    const at = this.#place(0);
    const run = async (): Promise<void> => {
      let flags: bigint = EntryFlag.FLUSH;
      try {
        await flush();
      } catch (error) {
        flags = 0n;
        throw error;
      } finally {
        await this.#writeOut(at, this.#head({ offset: 0, length: 0, flags }), undefined);
      }
    };
    await this.#track(run());
    await this.flush();
  }

  /** The place in the log of an entry with so many bytes of data. */
  #place(length: number): number {
    const at = this.#next * this.sectorSize;
    this.#entries++;
    this.#next += 1 + alignUp(length, this.sectorSize) / this.sectorSize;
    return at;
  }

  #head({ offset, length, flags }: Entry): Uint8Array {
    const { sectorSize } = this;
    const values = { sector: offset / sectorSize, sectors: length / sectorSize, flags, dataLength: 0n };
    return ENTRY.encode(values, Buffer.alloc(sectorSize));
  }

  #track(written: Promise<void>): Promise<void> {
    const tracked = written.finally(() => this.#writing.delete(tracked));
    // Whoever waits for the entry hears of its failure; whoever waits for all of them need not.
    tracked.catch(() => undefined);
    this.#writing.add(tracked);
    return tracked;
  }

  #writeOut(at: number, head: Uint8Array, data: Entry['data']): Maybe<void> {
    if (data === undefined) return this.#file.write(at, head);
    if (!('zeroes' in data)) return this.#file.writev(at, [head, ...data]);
    return all([this.#file.write(at, head), this.#file.zero(at + head.length, data.zeroes)]);
  }

  #maybeCount(): Maybe<void> {
    if (this.#entries - this.#counted >= this.#interval) return this.writeSuperblock();
  }

  /** Count all entries added so far, once they are written. */
  writeSuperblock(): Promise<void> {
    const entries = this.#entries;
    const earlier = [...this.#writing];
    const before = this.#superblock;
    this.#counted = entries;
    const written = (async () => {
      await before.catch(() => undefined);
      await Promise.allSettled(earlier);
      const sector = Buffer.alloc(this.sectorSize);
      SUPERBLOCK.encode({ magic: LOG_MAGIC, version: LOG_VERSION, entries, sectorSize: this.sectorSize }, sector);
      await this.#file.write(0, sector);
    })();
    this.#superblock = written;
    return written;
  }

  async flush(): Promise<void> {
    await this.writeSuperblock();
    await this.#file.flush();
  }
}

function lengthOf(data: Entry['data']): number {
  if (data === undefined) return 0;
  if ('zeroes' in data) return data.zeroes;
  return data.reduce((sum, buf) => sum + buf.length, 0);
}

/** Where to go on in a log that exists; throws for anything that is none. An empty file is an empty log. */
export async function findEnd(file: Edge): Promise<LogPosition> {
  const { size } = file.node.image;
  if (size === 0) return { sectorSize: 512, entries: 0, nextSector: 1 };
  const name = file.node.fileName;
  if (size < SUPERBLOCK_BYTES) throw new BlockError(`'${name}' of ${size} bytes is too short for a log`);
  const bytes = Buffer.alloc(SUPERBLOCK_BYTES);
  await file.read(0, bytes);
  const { magic, version, entries, sectorSize } = naming(name, () => SUPERBLOCK.decode(bytes));
  if (magic !== LOG_MAGIC) throw new BlockError(`'${name}' is not a log: its magic is 0x${magic.toString(16)}`);
  if (version !== LOG_VERSION)
    throw new BlockError(`log '${name}' has version ${version}, only ${LOG_VERSION} is known`);
  if (!isSectorSize(sectorSize)) {
    throw new BlockError(
      `log '${name}' has a sector size of ${sectorSize} bytes, which is no power of two between 512 and 8 MiB`,
    );
  }
  let nextSector = 1;
  const head = Buffer.alloc(ENTRY_BYTES);
  const lastSector = alignUp(size, sectorSize) / sectorSize;
  for (let index = 0; index < entries; index++) {
    if (nextSector >= lastSector) {
      throw new BlockError(`log '${name}' of ${size} bytes ends before entry ${index} of ${entries}`);
    }
    await file.read(nextSector * sectorSize, head);
    nextSector += 1 + naming(name, () => dataSectors(ENTRY.decode(head), index));
    if (nextSector > lastSector) {
      throw new BlockError(`log '${name}' of ${size} bytes ends within the data of entry ${index} of ${entries}`);
    }
  }
  return { sectorSize, entries, nextSector };
}

/** What is wrong with the bytes of a log, by its name. */
function naming<T>(name: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    const { message, code } = asBlockError(error);
    throw new BlockError(`log '${name}': ${message}`, { code, cause: error });
  }
}
