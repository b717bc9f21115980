/** What a node has to make stable, and doing so. */
import { after, type Maybe } from '../../async/maybe.ts';
import type { Image } from '../driver.ts';
import type { Edge } from '../graph/edge.ts';
import { announceFlush } from './announced.ts';
import type { Changes } from './changes.ts';
import type { InFlight } from './in-flight.ts';
import { inPieces } from './pieces.ts';

interface FlushOwner {
  readonly modes: { readonly noFlush: boolean };
  readonly children: ReadonlyMap<string, Edge>;
}

export class Flushing {
  readonly #owner: FlushOwner;
  readonly #changes: Changes;
  readonly #requests: InFlight;
  /** The count of changes that the last flush made stable. */
  #flushed = 0;

  constructor(owner: FlushOwner, changes: Changes, requests: InFlight) {
    this.#owner = owner;
    this.#changes = changes;
    this.#requests = requests;
  }

  /** Something was written here, or by the driver to a child, that no flush has made stable yet. */
  get dirty(): boolean {
    if (this.#changes.count !== this.#flushed) return true;
    for (const edge of this.#owner.children.values()) if (edge.holdsData && edge.node.io.dirty) return true;
    return false;
  }

  /** Make everything that completed before stable; nothing to do when nothing was written since the last time. */
  flush(image: Image): Maybe<void> {
    if (!this.dirty) return;
    const upTo = this.#changes.count;
    if (this.#owner.modes.noFlush) {
      this.#flushed = upTo;
      return;
    }
    const run = () => (image.flush ? image.flush() : this.#flushChildren());
    return after(this.#requests.during(after(announceFlush(this.#owner.children), run)), () => {
      this.#flushed = Math.max(this.#flushed, upTo);
    });
  }

  /** A driver without a flush of its own keeps nothing back: its data is in its children. */
  #flushChildren(): Maybe<void> {
    const edges = [...this.#owner.children.values()].filter((edge) => edge.holdsData);
    return inPieces(edges.length, 1, (index) => edges[index]?.flush());
  }

  /** Flush without looking whether this node wrote: its driver may hold metadata of its own. */
  async flushAll(image: Image): Promise<void> {
    if (!this.#owner.modes.noFlush) await this.#requests.during(image.flush?.());
  }
}
