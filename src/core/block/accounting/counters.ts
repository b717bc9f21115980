/** The plain numbers for one kind of request. */

import type { Histogram } from './histogram.ts';

export const IO_KINDS = ['read', 'write', 'flush', 'unmap'] as const;
export type IoKind = (typeof IO_KINDS)[number];

export class KindCounters {
  readonly kind: IoKind;
  operations = 0;
  bytes = 0;
  /** Ended with an error. */
  failed = 0;
  /** Refused before they were begun: outside of the disk, without permission. */
  invalid = 0;
  /** Taken into another request. */
  merged = 0;
  /** Under way now. */
  inFlight = 0;
  /** Of the latencies, where one was asked for. */
  histogram: Histogram | undefined;

  /** Nanoseconds of those that were timed, and of those that they stand for. */
  #time = 0;
  /** How many these are, and how long the last that stands for others took. */
  #covered = 0;
  #sample = 0;

  constructor(kind: IoKind) {
    this.kind = kind;
  }

  /** Nanoseconds of all that ended, together; those that have not been timed yet count as the last that was. */
  get time(): number {
    return this.#time + this.#sample * Math.max(0, this.operations - this.#covered);
  }

  /** One ended well that was not timed. */
  count(bytes: number): void {
    this.operations++;
    this.bytes += bytes;
  }

  /** One ended well after `ns`. Where few are timed it stands also for those that ended since the last of them. */
  ended(bytes: number, ns: number, standsForOthers: boolean): void {
    this.operations++;
    this.bytes += bytes;
    const weight = standsForOthers ? this.operations - this.#covered : 1;
    if (standsForOthers) this.#sample = ns;
    this.#covered += weight;
    this.#time += ns * weight;
  }

  /** One failed after `ns`. */
  lost(ns: number): void {
    this.#time += ns;
  }
}
