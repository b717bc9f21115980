/** Requests that wait for a connection, first come, first served. */
import type { ClientRequest } from '../../core/nbd/index.ts';

export class Backlog {
  #requests: ClientRequest[] = [];
  #head = 0;

  get length(): number {
    return this.#requests.length - this.#head;
  }

  push(request: ClientRequest): void {
    this.#requests.push(request);
  }

  /** One that was under way already goes before those that were not. */
  putBack(request: ClientRequest): void {
    if (this.#head > 0) this.#requests[--this.#head] = request;
    else this.#requests.unshift(request);
  }

  shift(): ClientRequest | undefined {
    const request = this.#requests[this.#head];
    if (!request) return undefined;
    this.#head++;
    // What was handed out is let go of, in bulk.
    if (this.#head === this.#requests.length || this.#head > 1024) {
      this.#requests = this.#requests.slice(this.#head);
      this.#head = 0;
    }
    return request;
  }
}
