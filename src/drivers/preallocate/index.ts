/**
 * `preallocate`: a file that is written past its end grows by more than is needed, in space that the filesystem
 * sets aside, so that it need not do so for each cluster. The filter shows the length that has been asked for, and
 * cuts the file to it in the end.
 *
 *     0 … zeroFrom … dataEnd … fileEnd      zeroFrom: nothing was ever written from here on
 */
import { after, type Maybe } from '../../core/async/maybe.ts';
import type { Driver, Flags, Image, OpenContext, TruncateOptions } from '../../core/block/driver.ts';
import { FilterImage } from '../../core/block/filter.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { Perm, type PermPair } from '../../core/block/permissions-bits.ts';
import { alignUp } from '../../core/bytes/ranges.ts';
import { bytes, defineOptions, type OptionsOf } from '../../core/options/fields.ts';

const SECTOR = 512;

const options = defineOptions({
  'prealloc-align': bytes({
    help: 'The file grows to a multiple of this many bytes',
    default: '1M',
    min: SECTOR,
    multipleOf: SECTOR,
  }),
  'prealloc-size': bytes({ help: 'Bytes set aside beyond what is needed', default: '128M' }),
});

type PreallocateOptions = OptionsOf<typeof options>;

class PreallocateImage extends FilterImage {
  readonly #align: number;
  readonly #ahead: number;
  readonly #writable: boolean;
  #dataEnd: number;
  #fileEnd: number;
  #zeroFrom: number;
  /** Changes of the file's length, one after the other. */
  #growing: Promise<void> | undefined;
  /** The file cannot set space aside, or has none left: it grows as it is written. */
  #declined = false;

  constructor(file: Edge, settings: PreallocateOptions, writable: boolean) {
    super(file);
    this.#align = settings['prealloc-align'];
    this.#ahead = settings['prealloc-size'];
    this.#writable = writable;
    this.#dataEnd = file.node.image.size;
    this.#fileEnd = this.#dataEnd;
    this.#zeroFrom = this.#dataEnd;
  }

  override get size(): number {
    return this.#dataEnd;
  }

  /** Nobody else may change the length that is cut back in the end. */
  childPermissions(_child: string, _users: PermPair, usual: PermPair): PermPair {
    if (!this.#writable) return usual;
    const own = Perm.WRITE | Perm.RESIZE;
    return { perm: usual.perm | own, shared: usual.shared & ~own };
  }

  override write(offset: number, buf: Uint8Array, flags: Flags): Maybe<void> {
    const end = offset + buf.length;
    if (end <= this.#dataEnd) return this.file.write(offset, buf, flags);
    return after(this.#reserve(end), () => {
      this.#extend(end, end);
      return this.file.write(offset, buf, flags);
    });
  }

  override writev(offset: number, bufs: readonly Uint8Array[], flags: Flags): Maybe<void> {
    let end = offset;
    for (const buf of bufs) end += buf.length;
    if (end <= this.#dataEnd) return this.file.writev(offset, bufs, flags);
    return after(this.#reserve(end), () => {
      this.#extend(end, end);
      return this.file.writev(offset, bufs, flags);
    });
  }

  /** Where nothing was written yet there are zeroes already. */
  override zero(offset: number, length: number, flags: Flags): Maybe<void> {
    const end = offset + length;
    if (end <= this.#dataEnd) return this.file.zero(offset, length, flags);
    return after(this.#reserve(end), () => {
      const there = offset >= this.#zeroFrom && end <= this.#fileEnd;
      this.#extend(end, there ? 0 : end);
      return there ? undefined : this.file.zero(offset, length, flags);
    });
  }

  override copyRangeTo(): Maybe<boolean> {
    return false;
  }

  /** The disk now ends at `end` or later, and was written to up to `written`. */
  #extend(end: number, written: number): void {
    this.#dataEnd = Math.max(this.#dataEnd, end);
    this.#zeroFrom = Math.max(this.#zeroFrom, written);
    this.#fileEnd = Math.max(this.#fileEnd, this.#dataEnd);
  }

  /** Set space aside so that a write up to `end` needs none. */
  #reserve(end: number): Maybe<void> {
    if (end <= this.#fileEnd || this.#declined) return;
    if (this.#growing) return this.#growing.then(() => this.#reserve(end));
    this.#growing = this.#grow(alignUp(end + this.#ahead, this.#align)).finally(() => {
      this.#growing = undefined;
    });
    return this.#growing;
  }

  async #grow(to: number): Promise<void> {
    try {
      await this.file.truncate(to, { preallocation: 'falloc' });
      this.#fileEnd = to;
    } catch {
      // It was only to save time; a write that finds no room says so itself.
      this.#declined = true;
    }
  }

  override async truncate(size: number, settings: TruncateOptions): Promise<void> {
    await this.#growing;
    const plain = (settings.preallocation ?? 'off') === 'off';
    if (plain && size >= this.#dataEnd && size <= this.#fileEnd) {
      this.#dataEnd = size;
      return;
    }
    await this.#cut();
    await this.file.truncate(size, settings);
    this.#dataEnd = this.file.node.image.size;
    this.#fileEnd = this.#dataEnd;
    this.#zeroFrom = this.#dataEnd;
  }

  /** Give back what was set aside. */
  async #cut(): Promise<void> {
    if (this.#fileEnd <= this.#dataEnd || this.file.node.image.size <= this.#dataEnd) return;
    await this.file.truncate(this.#dataEnd);
    this.#fileEnd = this.#dataEnd;
  }

  override async close(): Promise<void> {
    await this.#growing;
    if (this.#writable) await this.#cut();
  }
}

async function open(context: OpenContext<PreallocateOptions>): Promise<Image> {
  return new PreallocateImage(context.child('file'), context.options, !context.modes.readOnly);
}

export const preallocateDriver: Driver<PreallocateOptions> = { name: 'preallocate', kind: 'filter', options, open };
