import { type BigIntStats, closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';
import { BlockError } from '../errors/block-error.ts';
import { directRefused } from './direct.ts';
import { hostError, systemCode } from './errno.ts';
import { libc } from './libc.ts';

/** What to do about a file that is not there yet, or is. */
export type CreateMode = 'never' | 'exclusive' | 'truncate' | 'if-missing';

export type HostFileKind = 'regular' | 'block' | 'character';

export interface OpenOptions {
  readonly readOnly?: boolean;
  /** O_DIRECT: transfers go past the page cache. */
  readonly direct?: boolean;
  /**
   * "never" (default) wants an existing file. "truncate" empties it before any lock can be taken: who shares files with
   * other programs opens with "if-missing", takes the locks, then truncates.
   */
  readonly create?: CreateMode;
  /** Permission bits of a file that is created; 0o644 by default. */
  readonly mode?: number;
  /** O_DSYNC: a write returns when it is on the medium. */
  readonly sync?: boolean;
  /** Refuse a symbolic link as the last part of the path. */
  readonly noFollow?: boolean;
}

export interface OpenedFile {
  readonly fd: number;
  readonly kind: HostFileKind;
  readonly stats: BigIntStats;
}

const CREATE_FLAGS: Readonly<Record<CreateMode, number>> = {
  never: 0,
  exclusive: constants.O_CREAT | constants.O_EXCL,
  truncate: constants.O_CREAT | constants.O_TRUNC,
  'if-missing': constants.O_CREAT,
};

const DEFAULT_MODE = 0o644;
const F_SETFL = 4;

/** Flags that a system lacks are 0 in node's table or missing from it. */
function flag(name: 'O_DIRECT' | 'O_DSYNC' | 'O_NOFOLLOW' | 'O_NONBLOCK', wanted: boolean | undefined): number {
  return wanted === true ? (constants[name] ?? 0) : 0;
}

function openFlags(options: OpenOptions): number {
  return (
    (options.readOnly === true ? constants.O_RDONLY : constants.O_RDWR) |
    CREATE_FLAGS[options.create ?? 'never'] |
    flag('O_DIRECT', options.direct) |
    flag('O_DSYNC', options.sync) |
    flag('O_NOFOLLOW', options.noFollow)
  );
}

function verb(options: OpenOptions): string {
  return options.create === 'exclusive' || options.create === 'truncate' ? 'create' : 'open';
}

/**
 * Open a file or device and learn what it is. Directories, FIFOs and sockets are refused before they are opened, since
 * opening a FIFO would wait for, or wake, whoever is at its other end; and once more after, in case the name has changed
 * hands meanwhile. Synchronous: what an open waits for is in memory nearly always, and the first trip to the thread pool
 * costs as much as all of this.
 */
export function openHostFile(path: string, options: OpenOptions): OpenedFile {
  const action = verb(options);
  if (path.includes('\0')) throw new BlockError(`Could not ${action} a file: its name contains a NUL byte`);
  if (options.direct === true && (libc('pread') === undefined || !(constants.O_DIRECT > 0))) {
    throw directRefused(path);
  }
  const known = bigStat(path);
  if (known !== undefined) kindOf(known, path, action);
  const flags = openFlags(options);
  const fd = openFd(path, options, flags | flag('O_NONBLOCK', true));
  try {
    const stats = fstatSync(fd, { bigint: true });
    const kind = kindOf(stats, path, action);
    // Non-blocking was for the open alone: a device that is not ready must be waited for, not answer EAGAIN.
    if (kind !== 'regular') libc('fcntl')?.(fd, F_SETFL, flags & flag('O_DIRECT', options.direct));
    return { fd, kind, stats };
  } catch (error) {
    closeSync(fd);
    throw hostError(action, path, error);
  }
}

function openFd(path: string, options: OpenOptions, flags: number): number {
  try {
    return openSync(path, flags, options.mode ?? DEFAULT_MODE);
  } catch (error) {
    throw openError(path, options, error);
  }
}

function openError(path: string, options: OpenOptions, error: unknown): Error {
  // EINVAL is what a filesystem without O_DIRECT answers; no other flag of ours can cause it.
  if (options.direct === true && systemCode(error) === 'EINVAL') return directRefused(path, error);
  return hostError(verb(options), path, error);
}

/** The kind of file, or the one-line refusal of what cannot hold an image. */
export function kindOf(stats: BigIntStats, path: string, action: string): HostFileKind {
  if (stats.isFile()) return 'regular';
  if (stats.isBlockDevice()) return 'block';
  if (stats.isCharacterDevice()) return 'character';
  if (stats.isDirectory()) throw hostError(action, path, 'EISDIR');
  const what = stats.isFIFO() ? 'a FIFO' : stats.isSocket() ? 'a socket' : 'of a kind that holds no data';
  throw new BlockError(`Could not ${action} '${path}': it is ${what}, not a file or a device`);
}

/** stat(2) by name; undefined where that fails: a missing file is the open's error to report. */
function bigStat(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}
