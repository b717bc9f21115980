/**
 * The file that a trace is written to, opened once for all who record in it. It is told by what it is and not by its
 * name, since one file may go by several.
 */
import fs from 'node:fs';
import { asBlockError, BlockError } from '../errors/block-error.ts';
import { FileLocks } from '../host/index.ts';
import { FORMAT_NAME } from './encode.ts';

export interface TraceFile {
  readonly path: string;
  readonly fd: number;
  /** The same for the same file, as long as it is there. */
  readonly identity: string;
}

/** What a trace begins with, as it is, in gzip, in zstd. */
const BEGINNINGS = [
  Buffer.from(`{"format":"${FORMAT_NAME}"`),
  Buffer.of(0x1f, 0x8b),
  Buffer.of(0x28, 0xb5, 0x2f, 0xfd),
];

/** Open `path` for adding to its end; it is made where there is none. Throws BlockError. */
export function openTraceFile(path: string): TraceFile {
  try {
    const { O_RDWR, O_WRONLY, O_CREAT, O_APPEND, O_NONBLOCK = 0 } = fs.constants;
    // Claiming a file takes reading it. A pipe is not for reading, and is opened without waiting for a reader: a program
    // that hangs in the system cannot be ended.
    const isFile = fs.statSync(path, { throwIfNoEntry: false })?.isFile() ?? true;
    const fd = fs.openSync(path, (isFile ? O_RDWR : O_WRONLY) | O_CREAT | O_APPEND | O_NONBLOCK, 0o666);
    return { path, fd, identity: identityOf(fd) };
  } catch (error) {
    const { message, code } = asBlockError(error);
    // The only meaning it has here.
    throw new BlockError(code === 'ENXIO' ? 'nobody reads from it' : message, { code, cause: error });
  }
}

export function closeTraceFile({ fd }: TraceFile): void {
  fs.closeSync(fd);
}

/** As bits of {@link LockState}. */
const [CONSISTENT_READ, WRITE, RESIZE] = [1, 2, 8];

/**
 * Keep it from being the image of anybody who writes, and from being another program's trace, until it is closed. Throws
 * when it is so already.
 */
export function claimTraceFile(file: TraceFile): void {
  if (fs.fstatSync(file.fd).isFile()) FileLocks.open(file, 'auto').take(WRITE | RESIZE, CONSISTENT_READ);
}

/** Bytes that are in it. */
export function lengthOf({ fd }: TraceFile): number {
  return fs.fstatSync(fd).size;
}

/** Take out what was there before. Throws, with nothing changed, when that is no trace: it would be missed. */
export function emptyTraceFile({ path, fd }: TraceFile): void {
  const stat = fs.fstatSync(fd);
  if (!stat.isFile() || stat.size === 0) return;
  if (!beginsLikeTrace(path)) {
    throw new BlockError('it is not empty, and holds no trace', {
      code: 'EEXIST',
      hint: 'Name another file, or remove this one first',
    });
  }
  fs.ftruncateSync(fd, 0);
}

function beginsLikeTrace(path: string): boolean {
  const fd = fs.openSync(path, 'r');
  try {
    const head = Buffer.alloc(64);
    const length = fs.readSync(fd, head, 0, head.length, 0);
    return BEGINNINGS.some((begin) => length >= begin.length && head.subarray(0, begin.length).equals(begin));
  } finally {
    fs.closeSync(fd);
  }
}

function identityOf(fd: number): string {
  const { dev, ino } = fs.fstatSync(fd, { bigint: true });
  return `${dev}:${ino}`;
}
