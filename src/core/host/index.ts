/**
 * The host: the one room that talks to the operating system.
 *
 * Here belong files, block devices, locks, holes, space, kernel copies and the page cache, as Linux has them, with a
 * fallback on node:fs where it does not. Here does not belong anything that knows nodes, formats or commands: what
 * `cache=` or `locking=` mean for a node is said above, in terms of what is offered here. Everything is named by file
 * and offset in bytes; every failure is a BlockError of one line that names the file.
 */

export { alignedBuffer, isAligned } from './address.ts';
export { AIO_MODES, type AioMode, checkAio, REFUSED_AIO_MODES } from './aio.ts';
export { AlignedPool } from './aligned-pool.ts';
export { setExtentSizeHint, setNoCow } from './attributes.ts';
export type { BlockDeviceInfo, Geometry, QueueLimits } from './block-device.ts';
export { builtThread } from './built-thread.ts';
export { CacheManners, MANNERS_WINDOW, type MannersOptions } from './cache-manners.ts';
export { type CopyRange, cloneFile, cloneRange, copyRange } from './copy-range.ts';
export type { Alignment } from './direct.ts';
export type { FileUsage } from './disk-usage.ts';
export { hostError } from './errno.ts';
export { type HostExtent, HostExtents } from './holes.ts';
export {
  HostFile,
  type HostFileOptions,
  INLINE_READ_LIMIT,
  INLINE_WRITE_LIMIT,
  type ReadObserver,
} from './host-file.ts';
export { readKey } from './keyring.ts';
export { leave } from './leave.ts';
export { FileLocks, type LockingMode, type LockState, lockFile } from './locks.ts';
export { NbdDevice, type NbdDisk } from './nbd-device.ts';
export type { CreateMode, HostFileKind, OpenOptions } from './open-file.ts';
export {
  type Advice,
  advise,
  type CacheCounts,
  countCached,
  forgetCached,
  pageSize,
  residentPages,
} from './page-cache.ts';
export { randomBytes } from './random.ts';
export { readAll } from './read-all.ts';
export { withSocketLabel } from './socket-label.ts';
export { duplicateDescriptor, setUnixSendBuffer, socketPair } from './sockets.ts';
export { HostSpace, type ZeroOptions } from './space.ts';
