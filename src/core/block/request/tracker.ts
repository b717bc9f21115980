/**
 * Requests in flight that change a node, so that a request which must not run beside an overlapping one
 * (a read-modify-write, a copy-on-read) can wait for it, and later ones can wait for it.
 */
export interface Tracked {
  readonly start: number;
  readonly end: number;
  readonly serialising: boolean;
  /** When it ends, its range has changed. */
  readonly marks: boolean;
  /** It waits for another request, so nobody needs to wait for it: it looks again before it goes on. */
  waiting: boolean;
}

export interface NewRequest {
  readonly start: number;
  readonly length: number;
  readonly serialising: boolean;
  readonly marks: boolean;
}

interface Waiter {
  readonly request: Tracked;
  readonly wake: () => void;
}

export class RequestTracker {
  readonly #active = new Set<Tracked>();
  #waiters: Waiter[] = [];
  #serialising = 0;

  /** True when a new plain request has to look for overlaps. */
  get hasSerialising(): boolean {
    return this.#serialising > 0;
  }

  begin({ start, length, serialising, marks }: NewRequest): Tracked {
    const request: Tracked = { start, end: start + length, serialising, marks, waiting: false };
    this.#active.add(request);
    if (serialising) this.#serialising++;
    return request;
  }

  end(request: Tracked): void {
    if (!this.#active.delete(request)) return;
    if (request.serialising) this.#serialising--;
    if (this.#waiters.length === 0) return;
    const woken = this.#waiters.filter((waiter) => waiter.request === request);
    if (woken.length === 0) return;
    this.#waiters = this.#waiters.filter((waiter) => waiter.request !== request);
    for (const waiter of woken) waiter.wake();
  }

  /** Wait until nothing overlaps `request`: nothing at all when it is serialising, else nothing that is. */
  async waitForOverlaps(request: Tracked): Promise<void> {
    for (;;) {
      const other = this.#overlap(request);
      request.waiting = other !== undefined;
      if (!other) return;
      await new Promise<void>((wake) => this.#waiters.push({ request: other, wake }));
    }
  }

  /** Wait for every request that is active now, and for none that comes later. */
  async settled(): Promise<void> {
    const active = [...this.#active];
    await Promise.all(active.map((request) => new Promise<void>((wake) => this.#waiters.push({ request, wake }))));
  }

  #overlap(own: Tracked): Tracked | undefined {
    for (const other of this.#active) {
      if (other === own || other.waiting) continue;
      if (other.start < own.end && own.start < other.end && (own.serialising || other.serialising)) return other;
    }
    return undefined;
  }
}
