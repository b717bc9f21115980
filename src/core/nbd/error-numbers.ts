/** Our error codes and the error numbers of the wire ("Error values"), both ways. */
import type { ErrorCode } from '../errors/block-error.ts';
import { NbdError, type NbdErrorNumber } from './constants.ts';

/** Total: a new error code does not compile until it is given a number here. */
const NUMBERS: Readonly<Record<ErrorCode, NbdErrorNumber>> = {
  EACCES: NbdError.EPERM,
  EAGAIN: NbdError.EIO,
  EBUSY: NbdError.EIO,
  ECANCELED: NbdError.EIO,
  ECONNREFUSED: NbdError.EIO,
  ECONNRESET: NbdError.EIO,
  EDQUOT: NbdError.ENOSPC,
  EEXIST: NbdError.EINVAL,
  EFBIG: NbdError.ENOSPC,
  EINVAL: NbdError.EINVAL,
  EIO: NbdError.EIO,
  EISDIR: NbdError.EINVAL,
  ELOOP: NbdError.EINVAL,
  EMFILE: NbdError.EIO,
  ENAMETOOLONG: NbdError.EINVAL,
  ENODEV: NbdError.EIO,
  ENOENT: NbdError.EINVAL,
  ENOMEDIUM: NbdError.EIO,
  ENOMEM: NbdError.ENOMEM,
  ENOSPC: NbdError.ENOSPC,
  ENOTDIR: NbdError.EINVAL,
  ENOTSUP: NbdError.ENOTSUP,
  ENXIO: NbdError.EIO,
  EPERM: NbdError.EPERM,
  EPROTO: NbdError.EINVAL,
  EROFS: NbdError.EPERM,
  ESHUTDOWN: NbdError.ESHUTDOWN,
  ETIMEDOUT: NbdError.EIO,
};

/** The number a server answers with for an error of the block layer. */
export function errorNumber(code: ErrorCode): NbdErrorNumber {
  return NUMBERS[code];
}

const CODES: ReadonlyMap<number, ErrorCode> = new Map([
  [NbdError.EPERM, 'EPERM'],
  [NbdError.EIO, 'EIO'],
  [NbdError.ENOMEM, 'ENOMEM'],
  [NbdError.EINVAL, 'EINVAL'],
  [NbdError.ENOSPC, 'ENOSPC'],
  [NbdError.EOVERFLOW, 'EINVAL'],
  [NbdError.ENOTSUP, 'ENOTSUP'],
  [NbdError.ESHUTDOWN, 'ESHUTDOWN'],
]);

/** What a number from a server means to a client; "a client SHOULD treat an unexpected error value as EINVAL". */
export function codeOfErrorNumber(number: number): ErrorCode {
  return CODES.get(number) ?? 'EINVAL';
}
