/**
 * A disk for crash tests: it remembers, for each sector, what was made stable by a flush and what came after, so that
 * after a crash at any moment it can tell whether a sector holds something it may.
 *
 * Every write fills whole sectors with a number of its own, so that a sector tells which write it comes from.
 */
import type { Backend } from '../../src/core/block/backend/backend.ts';
import { Flag } from '../../src/core/block/driver.ts';
import { type Clock, isStable } from '../support/memory-file.ts';
import type { Random } from '../support/random.ts';

export const SECTOR = 512;

interface Value {
  /** The number that fills the sector. */
  readonly mark: number;
  /** Discarding: the sector may as well keep what it had. */
  readonly orBefore: boolean;
  readonly begun: number;
  ended: number;
}

interface Flush {
  readonly begun: number;
  ended: number;
}

export class CrashDisk {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #sectors: Value[][];
  readonly #flushes: Flush[] = [];
  /** Sectors that requests in flight touch. */
  readonly #busy = new Set<number>();
  #lastMark: number;

  /** `initial` has the mark of each sector at the start; 0 for zeroes. */
  constructor(clock: Clock, random: Random, initial: readonly number[]) {
    this.#clock = clock;
    this.#random = random;
    this.#sectors = initial.map((mark) => [{ mark, orBefore: false, begun: -1, ended: -1 }]);
    this.#lastMark = Math.max(1, ...initial);
  }

  /** Do `count` random things to `disk`, several at a time, flushes among them. */
  async exercise(disk: Backend, count: number, clusterSize: number): Promise<void> {
    const inFlight = new Set<Promise<void>>();
    for (let done = 0; done < count; done++) {
      const action = this.#action(disk, clusterSize).finally(() => inFlight.delete(action));
      inFlight.add(action);
      if (inFlight.size >= 8) await Promise.race(inFlight);
    }
    await Promise.all(inFlight);
  }

  async #action(disk: Backend, clusterSize: number): Promise<void> {
    const random = this.#random;
    const draw = random.below(100);
    if (draw < 8) return this.flush(disk);
    const cluster = clusterSize / SECTOR;
    const unit = random.pick([1, 1, Math.max(1, cluster / 32), cluster]);
    const first = Math.floor(random.below(this.#sectors.length) / unit) * unit;
    const isLarge = draw >= 96;
    const length = isLarge ? this.#sectors.length >> 2 : unit * random.between(1, 4);
    const last = Math.min(first + length, this.#sectors.length);
    if (!this.#take(first, last)) return;
    try {
      await this.#perform(disk, { draw, first, last, cluster });
    } finally {
      for (let sector = first; sector < last; sector++) this.#busy.delete(sector);
    }
  }

  async #perform(
    disk: Backend,
    { draw, first, last, cluster }: { draw: number; first: number; last: number; cluster: number },
  ): Promise<void> {
    const random = this.#random;
    const [offset, length] = [first * SECTOR, (last - first) * SECTOR];
    if (draw < 65) {
      const mark = ++this.#lastMark;
      await this.#change(first, last, mark, () => disk.write(offset, marked(mark, length)));
    } else if (draw < 72 && first % cluster === 0 && last % cluster === 0) {
      const mark = ++this.#lastMark;
      await this.#change(first, last, mark, () => disk.writeCompressed(offset, marked(mark, length)));
    } else if (draw < 88) {
      const flags = random.chance(0.5) ? Flag.MAY_UNMAP : 0;
      await this.#change(first, last, 0, () => disk.zero(offset, length, flags));
    } else {
      await this.#change(first, last, 0, () => disk.discard(offset, length), true);
      await this.#settleDiscard(disk, first, last);
    }
  }

  /** False when a request in flight touches one of these sectors. */
  #take(first: number, last: number): boolean {
    for (let sector = first; sector < last; sector++) if (this.#busy.has(sector)) return false;
    for (let sector = first; sector < last; sector++) this.#busy.add(sector);
    return true;
  }

  async #change(
    first: number,
    last: number,
    mark: number,
    action: () => void | Promise<void>,
    orBefore = false,
  ): Promise<void> {
    const value: Value = { mark, orBefore, begun: this.#clock.tick(), ended: Number.POSITIVE_INFINITY };
    for (let sector = first; sector < last; sector++) this.#sectors[sector]?.push(value);
    await action();
    value.ended = this.#clock.tick();
  }

  /** What a discarded sector reads as now is its value from here on: it does not change by itself. */
  async #settleDiscard(disk: Backend, first: number, last: number): Promise<void> {
    const begun = this.#clock.tick();
    const buffer = Buffer.alloc((last - first) * SECTOR);
    await disk.read(first * SECTOR, buffer);
    for (let sector = first; sector < last; sector++) {
      const mark = markAt(buffer, sector - first);
      this.#sectors[sector]?.push({ mark, orBefore: false, begun, ended: begun });
    }
  }

  async flush(disk: Backend): Promise<void> {
    const flush: Flush = { begun: this.#clock.tick(), ended: Number.POSITIVE_INFINITY };
    this.#flushes.push(flush);
    await disk.flush();
    flush.ended = this.#clock.tick();
  }

  /** Complaints about what was read from the disk after a crash at `time`. */
  faults(content: Buffer, time: number): string[] {
    const list: string[] = [];
    for (const [sector, values] of this.#sectors.entries()) {
      const mark = markAt(content, sector);
      if (!this.#allowed(values, time).has(mark)) {
        list.push(`sector ${sector} holds ${mark}, not one of ${[...this.#allowed(values, time)].join(', ')}`);
      }
    }
    return list;
  }

  /** The last stable value of a sector, and all that were begun after it. */
  #allowed(values: readonly Value[], time: number): Set<number> {
    const begun = values.filter((value) => value.begun <= time);
    let floor = 0;
    for (const [index, value] of begun.entries()) {
      if (!value.orBefore && (value.ended < 0 || isStable(this.#flushes, time, value.ended))) floor = index;
    }
    return new Set(begun.slice(floor).map((value) => value.mark));
  }
}

/** Whole sectors of one number. */
export function marked(mark: number, length: number): Buffer {
  const buffer = Buffer.alloc(length);
  for (let at = 0; at < length; at += 4) buffer.writeUInt32LE(mark, at);
  return buffer;
}

/** The number that fills a sector; -1 when it is not filled with one. */
function markAt(content: Buffer, sector: number): number {
  const bytes = content.subarray(sector * SECTOR, (sector + 1) * SECTOR);
  const uniform = bytes.subarray(0, SECTOR - 4).equals(bytes.subarray(4));
  return uniform ? bytes.readUInt32LE(0) : -1;
}
