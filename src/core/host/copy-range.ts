/**
 * Copies that the kernel makes without the data passing through this process: shared extents (reflink) and
 * copy_file_range(2). They may take long, so they run on the thread pool and go in pieces.
 */
import { constants } from 'node:os';
import { addressOf } from './address.ts';
import { hostError } from './errno.ts';
import type { HostFile } from './host-file.ts';
import { REQUEST } from './ioctl.ts';
import { inPool, libc } from './libc.ts';

const { EBADF, EINTR, EINVAL, ENOSYS, ENOTTY, EOPNOTSUPP, EPERM, ETXTBSY, EXDEV } = constants.errno;

/** Answers that mean "not between these two files": the caller copies through memory instead. */
const REFUSALS: readonly number[] = [EBADF, EINVAL, ENOSYS, ENOTTY, EOPNOTSUPP, EPERM, ETXTBSY, EXDEV];

/** Those that hold for any range of the two files. */
const FOR_GOOD: readonly number[] = [ENOSYS, ENOTTY, EOPNOTSUPP, EXDEV];

/** Targets that cannot share blocks with these sources: not to be asked for every range. */
const unshared = new WeakMap<HostFile, WeakSet<HostFile>>();

/** One call copies at most this much: it holds a thread of the pool, and close waits for it. */
const PIECE = 64 * 1024 * 1024;

/** A range in one file and where it goes in another, in bytes. */
export interface CopyRange {
  readonly source: HostFile;
  readonly sourceOffset: number;
  readonly target: HostFile;
  readonly targetOffset: number;
  readonly length: number;
}

/**
 * Copy a range in the kernel. Bytes copied, fewer than asked only at the source's end; `false` where the system cannot do
 * it between these files. Holes of the source may become data.
 */
export async function copyRange(range: CopyRange): Promise<number | false> {
  const { source, target, length } = range;
  const call = libc('copy_file_range');
  if (call === undefined || source.kind !== 'regular' || target.kind !== 'regular') return false;
  let done = 0;
  while (done < length) {
    const result = await copyPiece(call, range, done);
    if (result === -EINTR) continue;
    if (result < 0) {
      // What a refusal leaves undone is the caller's to copy: it is told how far this came.
      if (REFUSALS.includes(-result)) return done === 0 ? false : done;
      throw hostError(`copy a range of '${source.path}' to`, target.path, result);
    }
    if (result === 0) {
      // Some filesystems answer 0 for what they cannot do; at the true end of the source it is the end.
      return done === 0 && range.sourceOffset < source.size ? false : done;
    }
    done += result;
    target.extended(range.targetOffset + done);
  }
  return done;
}

type CopyCall = NonNullable<ReturnType<typeof libc<'copy_file_range'>>>;

function copyPiece(call: CopyCall, range: CopyRange, done: number): Promise<number> {
  const { source, target } = range;
  // The two offsets, passed by address.
  const offsets = new BigInt64Array([BigInt(range.sourceOffset + done), BigInt(range.targetOffset + done)]);
  const [from, to] = [addressOf(offsets), addressOf(offsets) + offsets.BYTES_PER_ELEMENT];
  const length = Math.min(range.length - done, PIECE);
  return onBoth(source, target, (sourceFd, targetFd) =>
    inPool(call, [sourceFd, from, targetFd, to, length, 0], offsets),
  );
}

/**
 * Let a range of the target share the source's blocks (FICLONERANGE). Offsets and length are multiples of the
 * filesystem's block size, except that the length may end at the source's end. `false` where that is not possible.
 */
export async function cloneRange(range: CopyRange): Promise<boolean> {
  const { source, target, sourceOffset, targetOffset, length } = range;
  const record = new BigInt64Array([BigInt(source.fd), BigInt(sourceOffset), BigInt(length), BigInt(targetOffset)]);
  const cloned = await clone(source, target, REQUEST.ficloneRange, record);
  if (cloned) target.extended(targetOffset + length);
  return cloned;
}

/** Let the target share all of the source's blocks (FICLONE); it becomes as long as the source at least. */
export async function cloneFile(source: HostFile, target: HostFile): Promise<boolean> {
  const cloned = await clone(source, target, REQUEST.ficlone, undefined);
  if (cloned) await target.refreshSize();
  return cloned;
}

async function clone(
  source: HostFile,
  target: HostFile,
  request: number,
  record: BigInt64Array | undefined,
): Promise<boolean> {
  const ioctl = libc('ioctl');
  if (ioctl === undefined || source.kind !== 'regular' || target.kind !== 'regular') return false;
  if (unshared.get(target)?.has(source)) return false;
  const call = (sourceFd: number, targetFd: number): Promise<number> =>
    inPool(ioctl, [targetFd, request, record === undefined ? sourceFd : addressOf(record)], record);
  let result = await onBoth(source, target, call);
  while (result === -EINTR) result = await onBoth(source, target, call);
  if (result >= 0) return true;
  if (FOR_GOOD.includes(-result)) {
    const sources = unshared.get(target) ?? new WeakSet();
    unshared.set(target, sources.add(source));
  }
  if (REFUSALS.includes(-result)) return false;
  throw hostError(`clone '${source.path}' to`, target.path, result);
}

/** Run a call that uses two descriptors: neither file is closed before it has ended. */
function onBoth(
  source: HostFile,
  target: HostFile,
  call: (sourceFd: number, targetFd: number) => Promise<number>,
): Promise<number> {
  const action = 'copy in the kernel';
  return source.run((sourceFd) => target.run((targetFd) => call(sourceFd, targetFd), action), action);
}
