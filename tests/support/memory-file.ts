/**
 * A host file in memory that keeps a log: every change and every flush, with when it began and when it ended.
 * From the log {@link MemoryFile.afterCrash} builds what could be on the disk had the machine stopped at any
 * moment: what was flushed is there, of everything later any part may be.
 */
import type { Driver, DriverEntry, Extent, Image } from '../../src/core/block/driver.ts';
import { defineOptions, text } from '../../src/core/options/fields.ts';
import type { Random } from './random.ts';

const SECTOR = 512;

interface Change {
  readonly kind: 'write' | 'zero' | 'resize';
  /** For a resize, the new length. */
  readonly offset: number;
  readonly length: number;
  readonly data?: Buffer;
  readonly begun: number;
  ended: number;
}

interface Flush {
  readonly begun: number;
  ended: number;
}

/** Counts what happens, so that events of a disk and of its file can be put in one order. */
export class Clock {
  now = 0;
  tick(): number {
    return ++this.now;
  }
}

export class MemoryFile {
  readonly clock: Clock;
  readonly changes: Change[] = [];
  readonly flushes: Flush[] = [];
  readonly #start: Buffer;
  #content: Buffer;
  #size: number;
  /** Decides when requests complete; without it they complete at once. */
  readonly #random: Random | undefined;
  /** False: nothing is logged. */
  readonly #logging: boolean;

  constructor(content: Buffer, options: { clock?: Clock; random?: Random; logging?: boolean } = {}) {
    this.clock = options.clock ?? new Clock();
    this.#start = content;
    this.#content = Buffer.from(content);
    this.#size = content.length;
    this.#random = options.random;
    this.#logging = options.logging ?? false;
  }

  get size(): number {
    return this.#size;
  }

  get bytes(): Buffer {
    return this.#content.subarray(0, this.#size);
  }

  read(offset: number, buf: Uint8Array): void | Promise<void> {
    return this.#later(() => {
      const copied = this.bytes.subarray(Math.min(offset, this.#size)).copy(buf);
      buf.fill(0, copied);
    });
  }

  write(offset: number, data: Uint8Array): void | Promise<void> {
    return this.#change({ kind: 'write', offset, length: data.length, data: Buffer.from(data) });
  }

  zero(offset: number, length: number): void | Promise<void> {
    return this.#change({ kind: 'zero', offset, length });
  }

  resize(size: number): void | Promise<void> {
    return this.#change({ kind: 'resize', offset: size, length: 0 });
  }

  flush(): void | Promise<void> {
    if (!this.#logging) return;
    const flush = { begun: this.clock.tick(), ended: Number.POSITIVE_INFINITY };
    this.flushes.push(flush);
    return this.#later(() => {
      flush.ended = this.clock.tick();
    });
  }

  #change(what: Omit<Change, 'begun' | 'ended'>): void | Promise<void> {
    const change: Change = { ...what, begun: this.clock.tick(), ended: Number.POSITIVE_INFINITY };
    if (this.#logging) this.changes.push(change);
    return this.#later(() => {
      this.#apply(change);
      change.ended = this.clock.tick();
    });
  }

  #later(action: () => void): void | Promise<void> {
    const delay = this.#random?.below(4) ?? 0;
    if (delay === 0) return action();
    return turns(delay).then(action);
  }

  #apply(change: Change): void {
    const end = change.kind === 'resize' ? change.offset : change.offset + change.length;
    if (end > this.#content.length) {
      const larger = Buffer.alloc(end * 2);
      this.#content.copy(larger, 0, 0, this.#size);
      this.#content = larger;
    }
    if (change.kind === 'resize') {
      if (end < this.#size) this.#content.fill(0, end, this.#size);
      this.#size = end;
      return;
    }
    if (change.data !== undefined) change.data.copy(this.#content, change.offset);
    else this.#content.fill(0, change.offset, end);
    this.#size = Math.max(this.#size, end);
  }

  /** A moment worth looking at: any, or one just before a flush ends, when most is at stake. */
  moment(random: Random): number {
    if (this.flushes.length === 0 || random.chance(0.4)) return random.between(0, this.clock.now);
    const { begun, ended } = random.pick(this.flushes);
    return random.between(begun, Math.min(ended, this.clock.now + 1) - 1);
  }

  /** A file as it may be found after a crash at `time`. */
  afterCrash(time: number, random: Random): MemoryFile {
    const file = new MemoryFile(this.#start);
    const survival = random.pick([0.05, 0.3, 0.5, 0.7, 0.95]);
    const torn = random.pick([0, 0.3]);
    for (const change of this.changes) {
      if (change.begun > time) break;
      if (isStable(this.flushes, time, change.ended)) file.#apply(change);
      else if (random.chance(survival)) {
        if (change.kind !== 'resize' && random.chance(torn)) file.#applyTorn(change, random);
        else file.#apply(change);
      }
    }
    return file;
  }

  /** A file as a process leaves it that is killed at `time`: what it had handed over is there, in this order. */
  afterKill(time: number, random: Random): MemoryFile {
    const file = new MemoryFile(this.#start);
    for (const change of this.changes) {
      if (change.begun > time) break;
      if (change.ended <= time || random.chance(0.5)) file.#apply(change);
    }
    return file;
  }

  /** Some sectors of a change only. */
  #applyTorn(change: Change, random: Random): void {
    for (let at = 0; at < change.length; ) {
      const boundary = Math.floor((change.offset + at) / SECTOR + 1) * SECTOR;
      const length = Math.min(change.length - at, boundary - change.offset - at);
      if (random.chance(0.5)) {
        const data = change.data?.subarray(at, at + length);
        this.#apply({ ...change, offset: change.offset + at, length, ...(data ? { data } : {}) });
      }
      at += length;
    }
  }
}

/** Did one of `flushes` begin after `ended` and end by `time`? */
export function isStable(flushes: readonly Flush[], time: number, ended: number): boolean {
  return flushes.some((flush) => flush.begun > ended && flush.ended <= time);
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

const options = defineOptions({ id: text({ help: 'Which of the files in memory', required: true }) });

class MemoryImage implements Image {
  readonly readsZeroWhenFresh = true;
  readonly #file: MemoryFile;

  constructor(file: MemoryFile) {
    this.#file = file;
  }

  get size(): number {
    return this.#file.size;
  }

  read(offset: number, buf: Uint8Array): void | Promise<void> {
    return this.#file.read(offset, buf);
  }

  write(offset: number, buf: Uint8Array): void | Promise<void> {
    return this.#file.write(offset, buf);
  }

  zero(offset: number, length: number): void | Promise<void> {
    return this.#file.zero(offset, length);
  }

  discard(offset: number, length: number): void | Promise<void> {
    return this.#file.zero(offset, Math.max(0, Math.min(length, this.#file.size - offset)));
  }

  flush(): void | Promise<void> {
    return this.#file.flush();
  }

  async truncate(size: number): Promise<void> {
    await this.#file.resize(size);
  }

  status(offset: number, length: number): Extent {
    return { length, allocated: true, data: true, zero: false, offset };
  }

  async close(): Promise<void> {}
}

/** A driver `memory-file` for the given files: `{ driver: 'memory-file', id }`. */
export function memoryFileDriver(files: ReadonlyMap<string, MemoryFile>): DriverEntry {
  const driver: Driver<{ readonly id: string }> = {
    name: 'memory-file',
    kind: 'protocol',
    options,
    async open(context) {
      const file = files.get(context.options.id);
      if (file === undefined) throw new Error(`there is no file '${context.options.id}' in memory`);
      return new MemoryImage(file);
    },
  };
  return { name: driver.name, kind: driver.kind, load: async () => driver as unknown as Driver };
}
