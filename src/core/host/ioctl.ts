import { constants } from 'node:os';
import { addressOf } from './address.ts';
import { libc, negativeErrno } from './libc.ts';

/** Request numbers of Linux (generic encoding; libc.ts is bound only where it holds). */
export const REQUEST = {
  hdioGetGeo: 0x0301,
  blkRoGet: 0x125e,
  blkSszGet: 0x1268,
  blkFlushBuf: 0x1261,
  blkDiscard: 0x1277,
  blkPbszGet: 0x127b,
  blkZeroOut: 0x127f,
  blkGetSize64: 0x80081272,
  ficlone: 0x40049409,
  ficloneRange: 0x4020940d,
  fsGetFlags: 0x80086601,
  fsSetFlags: 0x40086602,
  fsGetXattr: 0x801c581f,
  fsSetXattr: 0x401c5820,
} as const;

/** Call `ioctl` with a record that it reads or fills. 0 or more, or a negated errno; -ENOTSUP without the C library. */
export function ioctl(fd: number, request: number, record: ArrayBufferView): number {
  const call = libc('ioctl');
  if (call === undefined) return -constants.errno.EOPNOTSUPP;
  const result = call(fd, request, addressOf(record));
  return result === -1 ? negativeErrno() : result;
}

/** The 32-bit value an `ioctl` stores, or `undefined` where the request is refused. */
export function ioctlInt(fd: number, request: number): number | undefined {
  const value = new Int32Array(1);
  return ioctl(fd, request, value) < 0 ? undefined : value[0];
}
