/** Errno-like codes that callers branch on; the two maps to NBD errors and QMP classes are total over this union. */
export type ErrorCode =
  | 'EACCES'
  | 'EAGAIN'
  | 'EBUSY'
  | 'ECANCELED'
  | 'EEXIST'
  | 'EFBIG'
  | 'EINVAL'
  | 'EIO'
  | 'EISDIR'
  | 'ENOENT'
  | 'ENOMEM'
  | 'ENOMEDIUM'
  | 'ENOSPC'
  | 'ENOTDIR'
  | 'ENOTSUP'
  | 'ENXIO'
  | 'EPERM'
  | 'EROFS'
  | 'ESHUTDOWN'
  | 'ETIMEDOUT'
  | 'EMFILE'
  | 'ELOOP'
  | 'ENAMETOOLONG'
  | 'EDQUOT'
  | 'ENODEV'
  | 'ECONNREFUSED'
  | 'ECONNRESET'
  | 'EPROTO';

export interface BlockErrorOptions {
  readonly code?: ErrorCode;
  /** What to do about it, in a few words that follow the message on its line. */
  readonly hint?: string | undefined;
  /** What scripts and people look for on lines of its own below the message. */
  readonly followUp?: string | undefined;
  readonly cause?: unknown;
  /** Structured fields for a program: offsets, names, limits. */
  readonly data?: Readonly<Record<string, unknown>>;
}

/**
 * An error that a user caused or can act on. The message is one sentence fragment without final period
 * that names the thing and the value received; context is added by wrapping with {@link withContext}.
 */
export class BlockError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly followUp: string | undefined;
  readonly data: Readonly<Record<string, unknown>> | undefined;

  constructor(message: string, options: BlockErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = options.code ?? 'EINVAL';
    this.hint = options.hint;
    this.followUp = options.followUp;
    this.data = options.data;
  }

  /** It says what to do, one way or the other. */
  get hasAdvice(): boolean {
    return this.hint !== undefined || this.followUp !== undefined;
  }
}

/** The file is not of the format it was opened as. */
export class WrongFormat extends BlockError {}

/** The image's own structures are damaged; `data` names the structure and the offset in bytes. */
export class CorruptImage extends BlockError {
  constructor(message: string, options: BlockErrorOptions = {}) {
    super(message, { code: 'EIO', ...options });
  }
}

/** A feature, option or operation that this driver or host does not have. */
export class NotSupported extends BlockError {
  constructor(message: string, options: BlockErrorOptions = {}) {
    super(message, { code: 'ENOTSUP', ...options });
  }
}

/** Two users of a node want what the other does not share. */
export class PermissionConflict extends BlockError {
  constructor(message: string, options: BlockErrorOptions = {}) {
    super(message, { code: 'EPERM', ...options });
  }
}

/** Words on a command line, in an option string or in a control command are wrong. */
export class Usage extends BlockError {}

/** The user cancelled the work. */
export class Cancelled extends BlockError {
  constructor(message = 'cancelled', options: BlockErrorOptions = {}) {
    super(message, { code: 'ECANCELED', ...options });
  }
}

/** A new error of the same code that says where the cause happened: `${context}: ${cause.message}`. */
export function withContext(context: string, cause: unknown): BlockError {
  const inner = asBlockError(cause);
  return reworded(`${context}: ${inner.message}`, inner);
}

/** As {@link withContext}, but for an error that speaks of `name` already, or that says only that the user cancelled. */
export function naming(name: string, context: string, error: unknown): BlockError {
  const says = error instanceof Cancelled || (error instanceof BlockError && error.message.includes(name));
  return says ? error : withContext(context, error);
}

/** A new error that says `message` and otherwise what `cause` says: its code, its advice, its data and more of them. */
export function reworded(message: string, cause: BlockError, data?: Readonly<Record<string, unknown>>): BlockError {
  const { code, hint, followUp } = cause;
  return new BlockError(message, { code, hint, followUp, data: data ? { ...cause.data, ...data } : cause.data, cause });
}

const KNOWN: Readonly<Record<string, string>> = {
  EACCES: 'Permission denied',
  EAGAIN: 'Resource temporarily unavailable',
  EBUSY: 'Device or resource busy',
  EEXIST: 'File exists',
  EFBIG: 'File too large',
  EINVAL: 'Invalid argument',
  EIO: 'Input/output error',
  EISDIR: 'Is a directory',
  ENOENT: 'No such file or directory',
  ENOMEM: 'Cannot allocate memory',
  ENOSPC: 'No space left on device',
  ENOTDIR: 'Not a directory',
  ENOTSUP: 'Operation not supported',
  ENXIO: 'No such device or address',
  EPERM: 'Operation not permitted',
  EROFS: 'Read-only file system',
  EMFILE: 'Too many open files',
  ELOOP: 'Too many levels of symbolic links',
  ENAMETOOLONG: 'File name too long',
  EDQUOT: 'Disk quota exceeded',
  ENODEV: 'No such device',
  ETIMEDOUT: 'Connection timed out',
  ECONNREFUSED: 'Connection refused',
  ECONNRESET: 'Connection reset by peer',
  ENOMEDIUM: 'No medium found',
  ESHUTDOWN: 'Cannot send after transport endpoint shutdown',
  ECANCELED: 'Operation canceled',
  EPROTO: 'Protocol error',
};

/** The C library's sentence for an errno name; the name itself when unknown. */
export function errnoText(code: string): string {
  return KNOWN[code] ?? code;
}

/** What went wrong first, where at the end of a block with `using` something could not be closed either. */
export function firstError(thrown: unknown): unknown {
  let error = thrown;
  while (error instanceof Error && error.name === 'SuppressedError' && 'suppressed' in error) error = error.suppressed;
  return error;
}

/** Any thrown value as a BlockError: a system error keeps its errno, everything else is an EIO with its message. */
export function asBlockError(error: unknown): BlockError {
  if (error instanceof BlockError) return error;
  const first = firstError(error);
  if (first !== error) return asBlockError(first);
  if (error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code in KNOWN) {
    return new BlockError(errnoText(error.code), { code: error.code as ErrorCode, cause: error });
  }
  return new BlockError(error instanceof Error ? error.message : String(error), { code: 'EIO', cause: error });
}
