/** The filter: changes of the disk wait until what they change is saved. */
import { after, type Maybe } from '../../core/async/maybe.ts';
import type { Flags, TruncateOptions } from '../../core/block/driver.ts';
import { Flag } from '../../core/block/driver.ts';
import { FilterImage } from '../../core/block/filter.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { Perm, type PermPair, type UserPermissions } from '../../core/block/permissions-bits.ts';
import { totalLength } from '../../core/bytes/buffers.ts';
import { asBlockError, BlockError } from '../../core/errors/block-error.ts';
import type { Snapshot } from './snapshot.ts';

export interface FilterSettings {
  /** Milliseconds that saving for a write may take; 0 for no limit. */
  readonly timeout: number;
  /** When saving fails the write goes on, and the snapshot is lost. */
  readonly breaksSnapshot: boolean;
}

export class CopyBeforeWriteImage extends FilterImage {
  readonly pointInTime: Snapshot;
  readonly #settings: FilterSettings;

  constructor(file: Edge, snapshot: Snapshot, settings: FilterSettings) {
    super(file);
    this.pointInTime = snapshot;
    this.#settings = settings;
  }

  childPermissions(child: string, users: UserPermissions, usual: PermPair): PermPair {
    // Others may read the target, a snapshot of it being its purpose, and only this node writes what it saves there.
    if (child === 'target') return { perm: Perm.WRITE, shared: Perm.ALL & ~Perm.RESIZE };
    // Being put in: those who will use it still use the disk below.
    if (users.unused) return usual;
    const reads = (users.perm & Perm.WRITE) !== 0 ? Perm.CONSISTENT_READ : 0;
    const discards = this.pointInTime.discardsSource ? Perm.WRITE : 0;
    return { perm: usual.perm | reads | discards, shared: usual.shared & ~(Perm.WRITE | Perm.RESIZE) };
  }

  override write(offset: number, buf: Uint8Array, flags: Flags): Maybe<void> {
    return after(this.#before(offset, buf.length, flags), () => this.file.write(offset, buf, flags));
  }

  override writev(offset: number, bufs: readonly Uint8Array[], flags: Flags): Maybe<void> {
    return after(this.#before(offset, totalLength(bufs), flags), () => this.file.writev(offset, bufs, flags));
  }

  protected override passCompressed(offset: number, buf: Uint8Array): Maybe<void> {
    return after(this.#before(offset, buf.length, 0), () => this.file.writeCompressed(offset, buf));
  }

  override zero(offset: number, length: number, flags: Flags): Maybe<void> {
    return after(this.#before(offset, length, flags), () => this.file.zero(offset, length, flags));
  }

  override discard(offset: number, length: number): Maybe<void> {
    return after(this.#before(offset, length, 0), () => this.file.discard(offset, length));
  }

  /** The kernel would write before anything is saved. */
  override copyRangeTo(): Maybe<boolean> {
    return false;
  }

  override async truncate(size: number, options: TruncateOptions): Promise<void> {
    const { size: before } = this.file;
    if (size < before) await this.#before(size, before - size, 0);
    await this.file.truncate(size, options);
  }

  #before(offset: number, length: number, flags: Flags): Maybe<void> {
    if ((flags & Flag.UNCHANGED) !== 0 || !this.pointInTime.wants(offset, length)) return;
    return this.#save(offset, length);
  }

  async #save(offset: number, length: number): Promise<void> {
    try {
      await this.#inTime(this.pointInTime.save(offset, length));
    } catch (thrown) {
      const error = asBlockError(thrown);
      if (!this.#settings.breaksSnapshot) throw error;
      this.pointInTime.failure ??= error;
    }
  }

  async #inTime(work: Promise<void>): Promise<void> {
    const { timeout } = this.#settings;
    if (timeout === 0) return work;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const error = new BlockError(`saving what a write changes took more than ${timeout / 1000} s`, {
        code: 'ETIMEDOUT',
      });
      timer = setTimeout(() => reject(error), timeout);
    });
    work.catch(() => undefined);
    try {
      await Promise.race([work, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}
