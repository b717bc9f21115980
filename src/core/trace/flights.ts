/** Requests of a replay that are under way, and waiting for some of them. */

export interface Flight {
  /** When it ended in the recording, in nanoseconds; undefined when that is not known. */
  readonly recordedEnd: number | undefined;
  readonly offset: number;
  /** End of the range; `offset` for a request without one. */
  readonly end: number;
  readonly changes: boolean;
  /** Bytes of memory it takes. */
  readonly bytes: number;
}

export class Flights {
  readonly #all = new Set<Flight>();
  #bytes = 0;
  #wake: (() => void) | undefined;

  get count(): number {
    return this.#all.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  begin(flight: Flight): void {
    this.#all.add(flight);
    this.#bytes += flight.bytes;
  }

  end(flight: Flight): void {
    this.#all.delete(flight);
    this.#bytes -= flight.bytes;
    this.#wake?.();
  }

  /** One that had ended before `start` in the recording is still under way. */
  hasEndedBefore(start: number): boolean {
    for (const { recordedEnd } of this.#all) if (recordedEnd !== undefined && recordedEnd <= start) return true;
    return false;
  }

  /** Two of them on the same bytes, one of which changes them, would have no certain outcome. */
  conflictsWith(next: Flight): boolean {
    for (const each of this.#all) {
      if ((each.changes || next.changes) && each.offset < next.end && next.offset < each.end) return true;
    }
    return false;
  }

  /** Resolves when one of them ends. */
  async one(): Promise<void> {
    if (this.#all.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = undefined;
  }

  async whenEmpty(): Promise<void> {
    while (this.#all.size > 0) await this.one();
  }
}
