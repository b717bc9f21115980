/**
 * `mirror_top`: the filter through which the users of a disk write while it is mirrored.
 *
 * In the background mode a write is noted once it has ended, and copied later. In the write-blocking mode it goes to
 * the target as well before it ends; what the target does not take is noted. Requests to one place then follow each
 * other, so that source and target see them in the same order, with the copies of the job among them.
 */
import { attempt, type Maybe } from '../../async/maybe.ts';
import type { Flags, TruncateOptions } from '../../block/driver.ts';
import { Flag } from '../../block/driver.ts';
import { FilterImage } from '../../block/filter.ts';
import type { Edge } from '../../block/graph/edge.ts';
import { Perm, type PermPair, type UserPermissions } from '../../block/permissions-bits.ts';
import { totalLength } from '../../bytes/buffers.ts';
import { NotSupported } from '../../errors/block-error.ts';

/** What the job has the filter do. */
export interface MirrorObserver {
  /** Writes go to the target before they end. */
  readonly active: boolean;
  /** The content changed, or may have. */
  changed(offset: number, length: number): void;
  /** Do both, the second on the target, with the range to itself; fails only where the first does. */
  both(range: { readonly offset: number; readonly length: number }, source: Change, target: Change): Promise<void>;
}

type Change = () => Maybe<void>;

export class MirrorFilter extends FilterImage {
  /** Undefined before the job is made and once it has ended: then requests just pass. */
  observer: MirrorObserver | undefined;
  /** Where writes go too. */
  target: Edge | undefined;
  readonly #hollowsOut: boolean;

  /** `hollowsOut`: layers below are written to, whose content therefore makes no sense by itself. */
  constructor(file: Edge, hollowsOut: boolean) {
    super(file);
    this.#hollowsOut = hollowsOut;
  }

  /** Who wrote to the disk below would do so past the filter, and stay there when the job ends. */
  childPermissions(_child: string, users: UserPermissions, usual: PermPair): PermPair {
    // Being put in: those who will use it still use the disk below.
    if (users.unused) return usual;
    const shared = usual.shared & ~Perm.WRITE;
    if (!this.#hollowsOut) return { perm: usual.perm, shared };
    // What the job writes to the layers below does not change what is seen from here.
    return { perm: usual.perm & ~Perm.CONSISTENT_READ, shared, sharedBelow: usual.shared | Perm.WRITE };
  }

  override write(offset: number, buf: Uint8Array, flags: Flags): Maybe<void> {
    return this.#change(offset, buf.length, flags, {
      source: () => this.file.write(offset, buf, flags),
      target: () => this.target?.write(offset, buf),
    });
  }

  override writev(offset: number, bufs: readonly Uint8Array[], flags: Flags): Maybe<void> {
    return this.#change(offset, totalLength(bufs), flags, {
      source: () => this.file.writev(offset, bufs, flags),
      target: () => this.target?.writev(offset, bufs),
    });
  }

  protected override passCompressed(offset: number, buf: Uint8Array): Maybe<void> {
    return this.#note(offset, buf.length, () => this.file.writeCompressed(offset, buf));
  }

  override zero(offset: number, length: number, flags: Flags): Maybe<void> {
    return this.#change(offset, length, flags, {
      source: () => this.file.zero(offset, length, flags),
      target: () => this.target?.zero(offset, length, flags & Flag.MAY_UNMAP),
    });
  }

  /** What is read after a discard is for the source to say, so it is copied later. */
  override discard(offset: number, length: number): Maybe<void> {
    return this.#note(offset, length, () => this.file.discard(offset, length));
  }

  override copyRangeTo(): Maybe<boolean> {
    return false;
  }

  override truncate(size: number, options: TruncateOptions): Promise<void> {
    if (this.observer) throw new NotSupported('a disk cannot be resized while it is mirrored');
    return super.truncate(size, options);
  }

  #change(
    offset: number,
    length: number,
    flags: Flags,
    { source, target }: { source: Change; target: Change },
  ): Maybe<void> {
    const { observer } = this;
    if (observer?.active && (flags & Flag.UNCHANGED) === 0) return observer.both({ offset, length }, source, target);
    return (flags & Flag.UNCHANGED) === 0 ? this.#note(offset, length, source) : source();
  }

  /** Noted when it has ended, also when it failed: then some of it may have been written. */
  #note(offset: number, length: number, source: Change): Maybe<void> {
    return attempt(source, () => this.observer?.changed(offset, length));
  }
}
