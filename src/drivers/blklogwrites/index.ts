/**
 * `blklogwrites`: every change that has been made is recorded in a second image, `log`, in the format of
 * dm-log-writes, so that the disk can be put together as it was at any moment (replay-log and others read it).
 *
 * A change is recorded when it has completed; a flush has its place in the log from when it began, since it makes
 * stable only what had completed by then.
 */
import { after, type Maybe } from '../../core/async/maybe.ts';
import type { Driver, Flags, Image, Limits, OpenContext } from '../../core/block/driver.ts';
import { Flag } from '../../core/block/driver.ts';
import { FilterImage, trimPadding, trimPaddingOf } from '../../core/block/filter.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { Usage } from '../../core/errors/block-error.ts';
import { bool, bytes, defineOptions, integer, type OptionsOf } from '../../core/options/fields.ts';
import { isExplicit } from '../../core/options/parse.ts';
import { EntryFlag, isSectorSize } from './format.ts';
import { findEnd, Log } from './log.ts';

const options = defineOptions({
  'log-append': bool({ help: 'Go on with a log that exists', default: false }),
  'log-sector-size': bytes({ help: 'Unit of the log in bytes', default: 512 }),
  'log-super-update-interval': integer({
    help: 'Entries after which the superblock counts them, when no flush comes first',
    default: 4096,
    min: 1,
  }),
});

type LogOptions = OptionsOf<typeof options>;

class BlklogwritesImage extends FilterImage {
  readonly #log: Log;
  readonly #limits: Limits;
  readonly #writable: boolean;

  constructor(file: Edge, log: Log, writable: boolean) {
    super(file);
    this.#log = log;
    this.#writable = writable;
    const requestAlignment = Math.max(log.sectorSize, file.limits.requestAlignment ?? 1);
    this.#limits = {
      ...file.limits,
      requestAlignment,
      discardAlignment: Math.max(requestAlignment, file.limits.discardAlignment ?? 1),
      zeroAlignment: Math.max(requestAlignment, file.limits.zeroAlignment ?? 1),
    };
  }

  override get limits(): Limits {
    return this.#limits;
  }

  override write(offset: number, buf: Uint8Array, flags: Flags): Maybe<void> {
    const part = trimPadding(this.file, this.#log.sectorSize, offset, buf);
    return after(this.file.write(offset, part, flags), () => this.#logWrite(offset, [buf], flags));
  }

  override writev(offset: number, bufs: readonly Uint8Array[], flags: Flags): Maybe<void> {
    const parts = trimPaddingOf(this.file, this.#log.sectorSize, offset, bufs);
    return after(this.file.writev(offset, parts, flags), () => this.#logWrite(offset, bufs, flags));
  }

  #logWrite(offset: number, data: readonly Uint8Array[], flags: Flags): Maybe<void> {
    const length = data.reduce((sum, buf) => sum + buf.length, 0);
    return this.#log.add({ offset, length, flags: (flags & Flag.FUA) !== 0 ? EntryFlag.FUA : 0n, data });
  }

  /** The log has no compressed data: the format below gets it plain. */
  override get writeCompressed(): undefined {
    return undefined;
  }

  override zero(offset: number, length: number, flags: Flags): Maybe<void> {
    const whole = Math.ceil(length / this.#log.sectorSize) * this.#log.sectorSize;
    return after(this.file.zero(offset, length, flags), () =>
      this.#log.add({
        offset,
        length: whole,
        flags: (flags & Flag.FUA) !== 0 ? EntryFlag.FUA : 0n,
        data: { zeroes: whole },
      }),
    );
  }

  override discard(offset: number, length: number): Maybe<void> {
    const whole = Math.ceil(length / this.#log.sectorSize) * this.#log.sectorSize;
    return after(this.file.discard(offset, length), () =>
      this.#log.add({ offset, length: whole, flags: EntryFlag.DISCARD }),
    );
  }

  override flush(): Promise<void> {
    return this.#log.addFlush(() => this.file.flush());
  }

  override copyRangeTo(): Maybe<boolean> {
    return false;
  }

  override async close(): Promise<void> {
    if (this.#writable) await this.#log.flush();
  }
}

async function openLog(context: OpenContext<LogOptions>): Promise<Log> {
  const {
    'log-append': append,
    'log-sector-size': sectorSize,
    'log-super-update-interval': interval,
  } = context.options;
  const file = context.child('log');
  if (append && isExplicit(context.options, 'log-sector-size')) {
    throw new Usage("'log-append' and 'log-sector-size' exclude each other: the log has its sector size");
  }
  if (!isSectorSize(sectorSize)) {
    throw new Usage(`'log-sector-size' must be a power of two between 512 and 8 MiB, not ${sectorSize}`);
  }
  const position = append ? await findEnd(file) : { sectorSize, entries: 0, nextSector: 1 };
  return new Log(file, position, interval);
}

async function open(context: OpenContext<LogOptions>): Promise<Image> {
  const log = await openLog(context);
  if (!context.modes.readOnly) await log.writeSuperblock();
  return new BlklogwritesImage(context.child('file'), log, !context.modes.readOnly);
}

export const blklogwritesDriver: Driver<LogOptions> = {
  name: 'blklogwrites',
  kind: 'filter',
  options,
  slots: [
    { name: 'file', role: 'filtered', anyNode: true },
    { name: 'log', role: 'metadata' },
  ],
  strongOptions: ['log-sector-size'],
  open,
};
