import { constants } from 'node:os';
import { BlockError, type BlockErrorOptions, type ErrorCode, errnoText } from '../errors/block-error.ts';

/** Codes of the system outside the block layer's union: what they count as, and the sentence users know. */
const FOREIGN: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  EBADF: ['EINVAL', 'Bad file descriptor'],
  ENFILE: ['EMFILE', 'Too many open files in system'],
  ENOLCK: ['ENOTSUP', 'No locks available'],
  ENOSYS: ['ENOTSUP', 'Function not implemented'],
  EOPNOTSUPP: ['ENOTSUP', 'Operation not supported'],
  ENOTTY: ['ENOTSUP', 'Inappropriate ioctl for device'],
  EOVERFLOW: ['EFBIG', 'Value too large for defined data type'],
  ESTALE: ['EIO', 'Stale file handle'],
  ETXTBSY: ['EBUSY', 'Text file busy'],
  EXDEV: ['ENOTSUP', 'Invalid cross-device link'],
  ESPIPE: ['EINVAL', 'Illegal seek'],
  EUCLEAN: ['EIO', 'Structure needs cleaning'],
  EREMOTEIO: ['EIO', 'Remote I/O error'],
  EILSEQ: ['EIO', 'Invalid or incomplete multibyte or wide character'],
};

/** Linux numbers that node's table does not list. */
const EXTRA_NUMBERS: Readonly<Record<number, string>> = { 117: 'EUCLEAN', 121: 'EREMOTEIO', 123: 'ENOMEDIUM' };

let names: Map<number, string> | undefined;

/** The name of an errno number: `errnoName(2) === 'ENOENT'`; of two names for one number, the one node uses. */
export function errnoName(errno: number): string {
  names ??= new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));
  if (errno === constants.errno.EAGAIN) return 'EAGAIN';
  if (errno === constants.errno.EOPNOTSUPP) return 'ENOTSUP';
  return names.get(errno) ?? EXTRA_NUMBERS[errno] ?? `errno ${errno}`;
}

/**
 * The error that `errno`, a number or a name, stands for: one that the host could give, as it counts then. Undefined
 * for any other word.
 */
export function errnoCode(errno: string): ErrorCode | undefined {
  const name = /^\d{1,6}$/.test(errno) ? errnoName(Number(errno)) : errno.toUpperCase();
  const foreign = FOREIGN[name];
  if (foreign) return foreign[0];
  return /^E[A-Z0-9]+$/.test(name) && errnoText(name) !== name ? (name as ErrorCode) : undefined;
}

/** The errno name of a thrown system error, of a negated errno or of a name; `undefined` for anything else. */
export function systemCode(error: unknown): string | undefined {
  if (typeof error === 'number') return errnoName(Math.abs(error));
  if (typeof error === 'string') return error;
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return undefined;
}

/**
 * What a failed call on a host file becomes: `Could not open 'x': No such file or directory`.
 * `action` is the verb ("open", "read from"), `error` a system error, an errno name or a negated errno.
 */
export function hostError(action: string, path: string, error: unknown, options?: BlockErrorOptions): BlockError {
  if (error instanceof BlockError) return error;
  const name = systemCode(error);
  const cause = error instanceof Error ? error : undefined;
  const context = `Could not ${action} '${path}'`;
  if (name === undefined) return new BlockError(`${context}: ${String(error)}`, { code: 'EIO', cause, ...options });
  const foreign = FOREIGN[name];
  if (foreign !== undefined)
    return new BlockError(`${context}: ${foreign[1]}`, { code: foreign[0], cause, ...options });
  const text = errnoText(name);
  // A name without a sentence is one this union does not have: it counts as an input/output error.
  const code = text === name ? 'EIO' : (name as ErrorCode);
  return new BlockError(`${context}: ${text}`, { code, cause, ...options });
}
