/**
 * Permissions held as locks on the file, so that programs that use it at once respect each other.
 *
 * Open-file-description read locks on single bytes, the same bytes as QEMU's: 100 + bit for a permission that is taken,
 * 200 + bit for one that is NOT shared. Since all lock for reading, taking never fails; a conflict is found by asking
 * whether a write lock on the opposite byte would be possible. All that is old or new is locked first and then tested:
 * of two programs that come at once, at least one sees the other.
 *
 *     prepare: lock old ∪ new, test new      commit: drop what is not new      abort: drop what is not old
 */
import { constants } from 'node:os';
import { BlockError, NotSupported } from '../errors/block-error.ts';
import { addressOf } from './address.ts';
import { hostError } from './errno.ts';
import { libc, negativeErrno } from './libc.ts';

/** Bit of each permission in a mask, with the name it has in messages. */
const NAMES: readonly string[] = ['consistent read', 'write', 'write unchanged', 'resize'];
const ALL = 0b1111;
const TAKEN_BYTE = 100;
const UNSHARED_BYTE = 200;

const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const TYPE = { read: 0, write: 1, none: 2 } as const;
/** Layout of `struct flock` with 64-bit words. */
const FLOCK = { type: 0, whence: 2, start: 8, length: 16, pid: 24, bytes: 32 } as const;
/** As a length. */
const TO_THE_END = 0n;
const { EACCES, EAGAIN, EINTR, EINVAL, ENOLCK, ENOSYS, EOPNOTSUPP } = constants.errno;
const REFUSALS: readonly number[] = [EINVAL, ENOLCK, ENOSYS, EOPNOTSUPP];

/** `locking=`: "auto" goes without where the file cannot be locked, "on" makes that an error. */
export type LockingMode = 'auto' | 'on' | 'off';

/** Permission masks: bit 0 consistent-read, 1 write, 2 write-unchanged, 3 resize. */
export interface LockState {
  readonly permissions: number;
  readonly shared: number;
}

/** An open file; the path is for messages. */
export interface LockableFile {
  readonly fd: number;
  readonly path: string;
}

/** Takes nothing and shares everything: no byte is locked. */
const NOTHING: LockState = { permissions: 0, shared: ALL };

export class FileLocks {
  #file: LockableFile;
  /** False where locks are off or not to be had: then all methods succeed and do nothing. */
  readonly active: boolean;
  #held: LockState = NOTHING;
  #next: LockState | undefined;
  /** Bytes locked now, as masks over the permissions. */
  #takenBytes = 0;
  #unsharedBytes = 0;

  private constructor(file: LockableFile, active: boolean) {
    this.#file = file;
    this.active = active;
  }

  /** Locks for an open file, none taken yet. Throws where mode is "on" and the file cannot be locked. */
  static open(file: LockableFile, mode: LockingMode): FileLocks {
    if (mode === 'off') return new FileLocks(file, false);
    const result = query(file, TAKEN_BYTE);
    const active = result >= 0;
    if (!active && !REFUSALS.includes(-result)) throw hostError('lock', file.path, result);
    if (!active && mode === 'on') {
      throw new NotSupported(`Could not lock '${file.path}': its filesystem or this system has no file locks`, {
        hint: 'Use locking=auto to go on without them',
      });
    }
    return new FileLocks(file, active);
  }

  /** What is held since the last commit. */
  get held(): LockState {
    return this.#held;
  }

  /**
   * Lock for `permissions` and against what is not in `shared`, on top of what is held, and see whether other users
   * agree. Throws when they do not, with everything as before. Must be followed by {@link commit} or {@link abort}.
   */
  prepare(permissions: number, shared: number): void {
    const next: LockState = { permissions: permissions & ALL, shared: shared & ALL };
    if (this.#next !== undefined) this.abort();
    this.#next = next;
    if (!this.active) return;
    try {
      this.#lock(this.#held.permissions | next.permissions, ~(this.#held.shared & next.shared) & ALL);
      this.#test(next);
    } catch (error) {
      this.abort();
      throw error;
    }
  }

  /** Make the prepared state the held one. */
  commit(): void {
    if (this.#next === undefined) return;
    this.#held = this.#next;
    this.#next = undefined;
    this.#drop();
  }

  /** Back to what was held before {@link prepare}. */
  abort(): void {
    this.#next = undefined;
    this.#drop();
  }

  /** Prepare and commit in one: for who changes one file only. */
  take(permissions: number, shared: number): void {
    this.prepare(permissions, shared);
    this.commit();
  }

  /**
   * Hold on `file`, the same one opened once more, what is held on the one so far, which is to be closed now. Nothing is
   * asked of others: what is held was granted already, and the two would only find each other.
   */
  moveTo(file: LockableFile): void {
    this.#file = file;
    const taken = this.#takenBytes;
    const unshared = this.#unsharedBytes;
    this.#takenBytes = 0;
    this.#unsharedBytes = 0;
    if (this.active) this.#lock(taken, unshared);
  }

  /** Give all locks back; closing the file does the same. */
  release(): void {
    this.#held = NOTHING;
    this.abort();
  }

  #lock(taken: number, unshared: number): void {
    for (const bit of bitsOf(taken & ~this.#takenBytes)) {
      this.#set(TAKEN_BYTE + bit, TYPE.read);
      this.#takenBytes |= 1 << bit;
    }
    for (const bit of bitsOf(unshared & ~this.#unsharedBytes)) {
      this.#set(UNSHARED_BYTE + bit, TYPE.read);
      this.#unsharedBytes |= 1 << bit;
    }
  }

  /** Unlock every byte that the held state does not need. */
  #drop(): void {
    if (!this.active) return;
    const { permissions, shared } = this.#held;
    for (const bit of bitsOf(this.#takenBytes & ~permissions)) {
      this.#set(TAKEN_BYTE + bit, TYPE.none);
      this.#takenBytes &= ~(1 << bit);
    }
    for (const bit of bitsOf(this.#unsharedBytes & shared)) {
      this.#set(UNSHARED_BYTE + bit, TYPE.none);
      this.#unsharedBytes &= ~(1 << bit);
    }
  }

  #test(next: LockState): void {
    for (const bit of bitsOf(next.permissions)) {
      if (this.#isLocked(UNSHARED_BYTE + bit)) throw this.#conflict(`"${NAMES[bit]}"`);
    }
    for (const bit of bitsOf(~next.shared & ALL)) {
      if (this.#isLocked(TAKEN_BYTE + bit)) throw this.#conflict(`shared "${NAMES[bit]}"`);
    }
  }

  #isLocked(byte: number): boolean {
    const type = query(this.#file, byte);
    if (type < 0) throw hostError('query the locks of', this.#file.path, type);
    return type !== TYPE.none;
  }

  #conflict(which: string): BlockError {
    return new BlockError(`Failed to get ${which} lock`, {
      code: 'EAGAIN',
      followUp: `Is another process using the image [${this.#file.path}]?`,
      data: { path: this.#file.path },
    });
  }

  #set(byte: number, type: number): void {
    let result = control(this.#file.fd, F_OFD_SETLK, flock(byte, type));
    while (result === -EINTR) result = control(this.#file.fd, F_OFD_SETLK, flock(byte, type));
    if (result < 0) throw hostError(type === TYPE.none ? 'unlock' : 'lock', this.#file.path, result);
  }
}

/**
 * Have an open file for oneself, until it is closed: false where another program does. Where there are no such locks it
 * is true.
 */
export function lockFile(fd: number): boolean {
  let result = control(fd, F_OFD_SETLK, flock(0, TYPE.write, TO_THE_END));
  while (result === -EINTR) result = control(fd, F_OFD_SETLK, flock(0, TYPE.write, TO_THE_END));
  return result !== -EAGAIN && result !== -EACCES;
}

function bitsOf(mask: number): number[] {
  return NAMES.map((_, bit) => bit).filter((bit) => (mask & (1 << bit)) !== 0);
}

function flock(byte: number, type: number, length = 1n): DataView {
  const record = new DataView(new ArrayBuffer(FLOCK.bytes));
  record.setInt16(FLOCK.type, type, true);
  record.setBigInt64(FLOCK.start, BigInt(byte), true);
  record.setBigInt64(FLOCK.length, length, true);
  return record;
}

function control(fd: number, command: number, record: DataView): number {
  const fcntl = libc('fcntl');
  if (fcntl === undefined) return -EOPNOTSUPP;
  const result = fcntl(fd, command, addressOf(record));
  return result === -1 ? negativeErrno() : result;
}

/** The kind of lock that others hold against a write lock on this byte (`TYPE.none`: none), or a negated errno. */
function query(file: LockableFile, byte: number): number {
  const record = flock(byte, TYPE.write);
  const result = control(file.fd, F_OFD_GETLK, record);
  return result < 0 ? result : record.getInt16(FLOCK.type, true);
}
