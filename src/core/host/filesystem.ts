import { addressOf } from './address.ts';
import { libc } from './libc.ts';

/** `f_type` of filesystems whose pages are the storage itself (linux/magic.h). */
const MEMORY_FILESYSTEMS: readonly number[] = [
  0x01021994, // tmpfs
  0x858458f6, // ramfs
];
const STATFS_BYTES = 120;

/** True when the file lives in memory only: all of it is cached at all times, and dropping a page would lose it. */
export function isInMemory(fd: number): boolean {
  const fstatfs = libc('fstatfs');
  if (fstatfs === undefined) return false;
  const record = new DataView(new ArrayBuffer(STATFS_BYTES));
  if (fstatfs(fd, addressOf(record)) !== 0) return false;
  return MEMORY_FILESYSTEMS.includes(record.getUint32(0, true));
}
