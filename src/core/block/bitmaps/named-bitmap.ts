/**
 * A dirty bitmap with a name, as users see it.
 *
 *   recording     writes are marked in it
 *   busy          a job or an export uses it: nothing else may
 *   inconsistent  found in an image that was not closed properly: it can only be removed
 *   read-only     it belongs to an image that is open read-only: it can be read and does not change
 *
 * While a backup uses a bitmap, what is written meanwhile is recorded apart, in its successor: a bitmap without name.
 * It replaces the bits when the backup succeeds and is added to them when it fails.
 */
import type { DirtyBitmap } from '../../bitmap/index.ts';
import { DirtyBitmap as Bits } from '../../bitmap/index.ts';
import { BlockError } from '../../errors/block-error.ts';

export interface BitmapState {
  readonly name: string;
  readonly bits: DirtyBitmap;
  /** Kept in the image when it is closed. */
  readonly persistent: boolean;
  readonly recording: boolean;
  readonly inconsistent?: boolean;
  readonly readOnly?: boolean;
}

/** What an operation puts up with, beside a bitmap in its normal state. */
export interface Tolerance {
  readonly readOnly?: boolean;
  readonly inconsistent?: boolean;
}

/** Where the state of one is followed: the node's list, which keeps account of who records. */
export interface BitmapOwner {
  /** It records now, or does no more. */
  recordingChanged(): void;
}

export class NamedBitmap {
  readonly name: string;
  persistent: boolean;
  readonly inconsistent: boolean;
  readOnly: boolean;
  #bits: DirtyBitmap;
  #recording: boolean;
  #user: string | undefined;
  #successor: DirtyBitmap | undefined;
  readonly #owner: BitmapOwner;

  constructor(state: BitmapState, owner: BitmapOwner) {
    this.name = state.name;
    this.#bits = state.bits;
    this.persistent = state.persistent;
    this.#recording = state.recording;
    this.inconsistent = state.inconsistent ?? false;
    this.readOnly = state.readOnly ?? false;
    this.#owner = owner;
  }

  get bits(): DirtyBitmap {
    return this.#bits;
  }

  /** Replace the bits, by others of the same size and granularity. */
  set bits(bits: DirtyBitmap) {
    this.#bits = bits;
    this.#owner.recordingChanged();
  }

  get granularity(): number {
    return this.#bits.granularity;
  }

  /** Bytes in dirty granules. */
  get count(): number {
    return this.#bits.count + (this.#successor?.count ?? 0);
  }

  get recording(): boolean {
    return this.#recording;
  }

  set recording(on: boolean) {
    this.#recording = on;
    this.#owner.recordingChanged();
  }

  /** Where changes of the disk are marked now. */
  get target(): DirtyBitmap | undefined {
    return this.#recording && !this.inconsistent ? (this.#successor ?? this.#bits) : undefined;
  }

  get busy(): boolean {
    return this.#user !== undefined;
  }

  /** Throws EBUSY, EPERM or EINVAL where the bitmap is in no state for what is to be done. */
  assertUsable(tolerance: Tolerance = {}): void {
    if (this.#user !== undefined) {
      throw new BlockError(`bitmap '${this.name}' is in use by ${this.#user}`, { code: 'EBUSY' });
    }
    if (this.readOnly && !tolerance.readOnly) {
      throw new BlockError(`bitmap '${this.name}' is read-only and cannot be changed`, { code: 'EPERM' });
    }
    if (this.inconsistent && !tolerance.inconsistent) {
      throw new BlockError(`bitmap '${this.name}' is inconsistent and cannot be used`, {
        hint: 'The image was not closed properly, so changes may be missing from it; it can be removed',
      });
    }
  }

  /**
   * Keep others away, on behalf of `user` (for messages: "export 'e'"), until the function returned is called.
   * Recording goes on. Throws where it may not be used.
   */
  hold(user: string): () => void {
    this.assertUsable({ readOnly: true });
    this.#user = user;
    return () => {
      this.#user = undefined;
    };
  }

  /** Keep the bits as they are for `user`: what changes from now on is recorded apart. */
  freeze(user: string): FrozenBitmap {
    const release = this.hold(user);
    this.#successor = new Bits(this.#bits.size, this.granularity);
    this.#owner.recordingChanged();
    const end = (next: (successor: DirtyBitmap) => DirtyBitmap): void => {
      const successor = this.#successor;
      if (!successor) return;
      this.#successor = undefined;
      release();
      this.bits = next(successor);
    };
    return {
      bits: this.#bits,
      advance: () => end((successor) => successor),
      restore: () =>
        end((successor) => {
          this.#bits.merge(successor);
          return this.#bits;
        }),
    };
  }

  resize(size: number): void {
    this.#bits.resize(size);
    this.#successor?.resize(size);
  }
}

/** The end of a freeze: exactly one of `advance` and `restore`; a second call does nothing. */
export interface FrozenBitmap {
  readonly bits: DirtyBitmap;
  /** Only what was recorded since is dirty. */
  advance(): void;
  /** All of it is dirty: what was before, and what came since. */
  restore(): void;
}
