/** Attributes of a file that some filesystems have; where they do not, asking changes nothing. */
import type { HostFile } from './host-file.ts';
import { ioctl, REQUEST } from './ioctl.ts';

/** FS_NOCOW_FL of `struct` inode flags. */
const NO_COW = 0x00800000;
/** `struct fsxattr`: flags, extent size, extent count, project, cow extent size, padding. */
const XATTR = { flags: 0, extentSize: 1, words: 7 } as const;
/** FS_XFLAG_EXTSIZE: the extent size is in force. */
const HAS_EXTENT_SIZE = 0x00000800;

/** Turn copy-on-write off for a file that is still empty (btrfs). */
export function setNoCow(file: HostFile): void {
  const flags = new Int32Array(2);
  if (ioctl(file.fd, REQUEST.fsGetFlags, flags) < 0) return;
  flags[0] = (flags[0] ?? 0) | NO_COW;
  ioctl(file.fd, REQUEST.fsSetFlags, flags);
}

/** Ask for space to be allocated in units of `bytes` (XFS), so that an image that grows stays in few pieces. */
export function setExtentSizeHint(file: HostFile, bytes: number): void {
  const record = new Uint32Array(XATTR.words);
  if (ioctl(file.fd, REQUEST.fsGetXattr, record) < 0) return;
  record[XATTR.flags] = (record[XATTR.flags] ?? 0) | HAS_EXTENT_SIZE;
  record[XATTR.extentSize] = bytes;
  ioctl(file.fd, REQUEST.fsSetXattr, record);
}
