/**
 * The log of dm-log-writes (Linux, Documentation/admin-guide/device-mapper/log-writes.rst): a superblock in sector
 * 0, then entries, each a sector of its own followed by the sectors of its data. All numbers are little endian and
 * count sectors of the size that the superblock states.
 */
import { size64, struct, u32, u64 } from '../../core/bytes/struct.ts';
import { BlockError } from '../../core/errors/block-error.ts';

export const LOG_MAGIC = 0x6a736677736872n;
export const LOG_VERSION = 1n;

/** Bits of an entry's flags. */
export const EntryFlag = {
  FLUSH: 1n,
  FUA: 2n,
  /** The range was discarded; there is no data. */
  DISCARD: 4n,
  /** A mark made by hand; the data is its name. */
  MARK: 8n,
} as const;

const KNOWN_FLAGS = 15n;

export const SUPERBLOCK = struct('log superblock', 'little', 28, {
  magic: u64(0),
  version: u64(8),
  entries: size64(16),
  sectorSize: u32(24),
});

export const ENTRY = struct('log entry', 'little', 32, {
  sector: size64(0),
  sectors: size64(8),
  flags: u64(16),
  /** Bytes of a mark's name; 0 for everything else. */
  dataLength: u64(24),
});

/** The part of an entry that says how far it is to the next. */
export const ENTRY_BYTES = ENTRY.size;
export const SUPERBLOCK_BYTES = SUPERBLOCK.size;

/** Largest sector of a log in bytes, less one. */
const SECTOR_LIMIT = 2 ** 24;

export function isSectorSize(size: number): boolean {
  return size >= 512 && size < SECTOR_LIMIT && Number.isInteger(Math.log2(size));
}

/** Sectors that the data of an entry takes in the log. */
export function dataSectors(entry: ReturnType<typeof ENTRY.decode>, index: number): number {
  if ((entry.flags & ~KNOWN_FLAGS) !== 0n) {
    throw new BlockError(`log entry ${index} has unknown flags 0x${entry.flags.toString(16)}`);
  }
  return (entry.flags & EntryFlag.DISCARD) !== 0n ? 0 : entry.sectors;
}
