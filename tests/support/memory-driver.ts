/**
 * A disk in memory for tests of the block layer: strict about what reaches it (every request must be in
 * range, aligned and within the limits it states), as slow and as failing as a test wants, and honest about
 * stable storage (`stable` is what a power cut would leave).
 */
import type { Maybe } from '../../src/core/async/maybe.ts';
import type {
  Driver,
  DriverEntry,
  Extent,
  Flags,
  Image,
  Limits,
  TruncateOptions,
} from '../../src/core/block/driver.ts';
import { Flag } from '../../src/core/block/driver.ts';
import { NotSupported } from '../../src/core/errors/block-error.ts';
import { defineOptions, text } from '../../src/core/options/fields.ts';

export type MemoryOperation = 'read' | 'write' | 'zero' | 'discard' | 'flush' | 'truncate' | 'status' | 'close';

export interface MemorySettings {
  readonly size: number;
  readonly limits?: Limits;
  /** What the image has beside read, write and flush; default all of them. */
  readonly has?: readonly ('readv' | 'writev' | 'zero' | 'discard' | 'truncate' | 'status')[];
  readonly writeFlags?: Flags;
  readonly zeroFlags?: Flags;
  /** Called as a request arrives: throw to fail at once, return a promise to keep it waiting (or to fail later). */
  on?(operation: MemoryOperation, offset: number, length: number): Maybe<void>;
  /** Zeroing says NotSupported, in the way given. */
  readonly declinesZero?: 'at once' | 'later';
}

const EVERYTHING = ['readv', 'writev', 'zero', 'discard', 'truncate', 'status'] as const;
const BLOCK = 512;

/** Bytes that say nothing was ever written there, for finding reads that were not done. */
export class MemoryDisk {
  readonly settings: MemorySettings;
  data: Buffer;
  /** What has reached stable storage. */
  stable: Buffer;
  /** Blocks of 512 bytes that hold data; the rest are holes. */
  readonly blocks = new Set<number>();
  readonly counts: Record<MemoryOperation, number> = {
    read: 0,
    write: 0,
    zero: 0,
    discard: 0,
    flush: 0,
    truncate: 0,
    status: 0,
    close: 0,
  };
  /** Violations of what a driver is promised, in words; must stay empty. */
  readonly faults: string[] = [];
  readonly image: Image;
  /** Length in bytes; writing past it makes it longer, as with a file. */
  size: number;
  #flushes = 0;
  /** The flush that `stable` is of: one that began earlier may end later, and has nothing to add. */
  #stableTurn = 0;
  readonly #fuas: { readonly offset: number; readonly length: number }[] = [];

  constructor(settings: MemorySettings) {
    this.settings = settings;
    this.size = settings.size;
    this.data = Buffer.alloc(roundUp(settings.size, this.#align()));
    this.stable = Buffer.from(this.data);
    this.image = this.#makeImage();
  }

  #align(): number {
    return this.settings.limits?.requestAlignment ?? 1;
  }

  #makeImage(): Image {
    const { limits, has = EVERYTHING, writeFlags = 0, zeroFlags = 0 } = this.settings;
    const size = () => this.size;
    const part = <T>(name: (typeof EVERYTHING)[number], value: T): T | undefined =>
      has.includes(name) ? value : undefined;
    const optional = {
      readv: part('readv', (offset: number, bufs: readonly Uint8Array[]) => {
        const length = bufs.reduce((sum, buf) => sum + buf.length, 0);
        return this.#do('read', offset, length, () => {
          let at = offset;
          for (const buf of bufs) {
            buf.set(this.data.subarray(at, at + buf.length));
            at += buf.length;
          }
        });
      }),
      writev: part('writev', (offset: number, bufs: readonly Uint8Array[], flags: Flags) =>
        this.#write(offset, Buffer.concat(bufs), flags),
      ),
      zero: part('zero', (offset: number, length: number, flags: Flags) => this.#zero(offset, length, flags)),
      discard: part('discard', (offset: number, length: number) =>
        this.#do('discard', offset, length, () => this.#clear(offset, length)),
      ),
      truncate: part('truncate', async (to: number, _options: TruncateOptions) => {
        await this.#do('truncate', to, 0, () => {
          const next = Buffer.alloc(roundUp(to, this.#align()));
          this.data.copy(next, 0, 0, Math.min(to, this.size));
          this.data = next;
          for (const block of this.blocks) if (block * BLOCK >= to) this.blocks.delete(block);
          this.size = to;
        });
      }),
      status: part('status', (offset: number, length: number) => {
        this.counts.status++;
        const waiting = this.settings.on?.('status', offset, length);
        const answer = this.#status(offset, length);
        return waiting instanceof Promise ? waiting.then(() => answer) : answer;
      }),
    };
    return {
      get size() {
        return size();
      },
      ...(limits ? { limits } : {}),
      writeFlags,
      zeroFlags,
      read: (offset, buf) =>
        this.#do('read', offset, buf.length, () => void buf.set(this.data.subarray(offset, offset + buf.length))),
      write: (offset, buf, flags) => this.#write(offset, buf, flags),
      flush: () => this.#flush(),
      close: async () => {
        await this.#do('close', 0, 0, () => undefined);
      },
      ...Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)),
    };
  }

  /** Makes stable what is there when it begins; what FUA made stable meanwhile stays so. */
  #flush(): Maybe<void> {
    const now = Buffer.from(this.data);
    const from = this.#fuas.length;
    const turn = ++this.#flushes;
    return this.#do('flush', 0, 0, () => {
      if (turn < this.#stableTurn) return;
      this.#stableTurn = turn;
      this.stable = now;
      for (const { offset, length } of this.#fuas.slice(from)) this.#stabilise(offset, length);
    });
  }

  /** Check the promises, wait as the test wants, then act. */
  #do(operation: MemoryOperation, offset: number, length: number, act: () => void): Maybe<void> {
    this.counts[operation]++;
    this.#check(operation, offset, length);
    const waiting = this.settings.on?.(operation, offset, length);
    if (waiting instanceof Promise) return waiting.then(act);
    act();
  }

  #check(operation: MemoryOperation, offset: number, length: number): void {
    const { limits = {} } = this.settings;
    const what = `${operation} of ${length} at ${offset}`;
    const aligned = offset % this.#align() === 0 && length % this.#align() === 0;
    if ((operation === 'read' || operation === 'write') && !aligned) this.faults.push(`${what} is unaligned`);
    const limit = {
      read: limits.maxTransfer,
      write: limits.maxTransfer,
      zero: limits.maxZero,
      discard: limits.maxDiscard,
    };
    const most = operation in limit ? limit[operation as keyof typeof limit] : undefined;
    if (most !== undefined && length > most) this.faults.push(`${what} is longer than ${most}`);
    if (operation === 'read' && offset + length > this.data.length) this.faults.push(`${what} is past the end`);
    const unit = { zero: limits.zeroAlignment, discard: limits.discardAlignment };
    const grain = operation === 'zero' || operation === 'discard' ? unit[operation] : undefined;
    if (grain === undefined) return;
    const within = Math.floor(offset / grain) === Math.floor((offset + length - 1) / grain);
    if (limits.takesParts && within && aligned) return;
    const whole = offset % grain === 0 && (length % grain === 0 || offset + length >= this.size);
    if (!whole) this.faults.push(`${what} is not in units of ${grain}`);
  }

  #write(offset: number, buf: Uint8Array, flags: Flags): Maybe<void> {
    if ((flags & ~(this.settings.writeFlags ?? 0)) !== 0) this.faults.push(`write with flags ${flags}`);
    // The content is taken as it is when the write takes effect, as a device does.
    return this.#do('write', offset, buf.length, () => {
      this.#grow(offset + buf.length);
      this.data.set(buf, offset);
      this.#mark(offset, buf.length);
      if ((flags & Flag.FUA) !== 0) this.#force(offset, buf.length);
    });
  }

  #zero(offset: number, length: number, flags: Flags): Maybe<void> {
    const known = (this.settings.zeroFlags ?? 0) | Flag.NO_FALLBACK;
    if ((flags & ~known) !== 0) this.faults.push(`zero with flags ${flags}`);
    const refusal = () => new NotSupported('the memory disk does not zero');
    if (this.settings.declinesZero === 'at once') throw refusal();
    if (this.settings.declinesZero === 'later') return Promise.reject(refusal());
    return this.#do('zero', offset, length, () => {
      this.#clear(offset, length);
      if ((flags & Flag.FUA) !== 0) this.#force(offset, length);
    });
  }

  #clear(offset: number, length: number): void {
    this.#grow(offset + length);
    this.data.fill(0, offset, offset + length);
    for (let block = Math.ceil(offset / BLOCK); (block + 1) * BLOCK <= offset + length; block++)
      this.blocks.delete(block);
  }

  #mark(offset: number, length: number): void {
    for (let block = Math.floor(offset / BLOCK); block * BLOCK < offset + length; block++) this.blocks.add(block);
  }

  #force(offset: number, length: number): void {
    this.#fuas.push({ offset, length });
    this.#stabilise(offset, length);
  }

  #stabilise(offset: number, length: number): void {
    if (this.stable.length < this.data.length) {
      this.stable = Buffer.concat([this.stable, Buffer.alloc(this.data.length - this.stable.length)]);
    }
    this.data.copy(this.stable, offset, offset, offset + length);
  }

  /** A file grows by being written to. */
  #grow(end: number): void {
    this.size = Math.max(this.size, end);
    if (end > this.data.length) this.data = Buffer.concat([this.data, Buffer.alloc(end - this.data.length)]);
  }

  #status(offset: number, length: number): Extent {
    const data = this.blocks.has(Math.floor(offset / BLOCK));
    let end = (Math.floor(offset / BLOCK) + 1) * BLOCK;
    while (end < offset + length && this.blocks.has(end / BLOCK) === data) end += BLOCK;
    return { length: Math.min(end - offset, length), allocated: true, data, zero: !data, offset };
  }
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

/** The disks that one driver list can open, by name. */
export type MemoryDisks = Map<string, MemoryDisk>;

/** A protocol driver `memory` that opens `disks`, as `memory:NAME` or with the option `disk`. */
export function memoryEntry(disks: MemoryDisks): DriverEntry {
  const options = defineOptions({ disk: text({ help: 'Which of the disks of this test', required: true }) });
  const driver = {
    name: 'memory',
    kind: 'protocol' as const,
    options,
    schemes: ['memory'],
    strongOptions: ['disk'],
    parseFileName: (name: string) => ({ disk: name.slice('memory:'.length) }),
    open: async (context: { options: unknown }) => {
      const { disk } = context.options as { disk: string };
      const found = disks.get(disk);
      if (!found) throw new NotSupported(`there is no memory disk '${disk}'`);
      return found.image;
    },
  };
  return { name: 'memory', kind: 'protocol', schemes: ['memory'], load: async () => driver as unknown as Driver };
}

/** A promise that is done some turns of the event loop from now; 0 turns: nothing to wait for. */
export function turns(count: number): Maybe<void> {
  if (count === 0) return;
  return (async () => {
    for (let turn = 0; turn < count; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
  })();
}
