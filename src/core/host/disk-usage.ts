import type { BigIntStats } from 'node:fs';

/** st_blocks counts in these, whatever the filesystem's block size. */
const STAT_BLOCK = 512;

/** What a host file is and takes. */
export interface FileUsage {
  /** Bytes up to the end of the file. */
  readonly size: number;
  /** Bytes taken on the disk: holes and compression make it less than the size, preallocation more. */
  readonly allocated: number;
  /** The same for all names and descriptors of one file or device, and for no two files. */
  readonly identity: string;
  /** Preferred transfer size in bytes. */
  readonly blockSize: number;
  readonly modified: Date;
}

/** Read a file's usage and identity off its stat record. */
export function usageOf(stats: BigIntStats): FileUsage {
  return {
    size: Number(stats.size),
    allocated: Number(stats.blocks) * STAT_BLOCK,
    identity: identityOf(stats),
    blockSize: Number(stats.blksize),
    modified: stats.mtime,
  };
}

/** Two nodes of one device, wherever they stand, are one device: it is told by its number, a file by its inode. */
function identityOf(stats: BigIntStats): string {
  return stats.isBlockDevice() ? `block:${stats.rdev}` : `${stats.dev}:${stats.ino}`;
}
