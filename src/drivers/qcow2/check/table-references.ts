/**
 * References to L2 tables: each table once, ascending by its place, with how often the active disk and the snapshots
 * reach it. Sorted columns rather than a map: an image has a table for every few thousand clusters, or for every 64.
 *
 * What is added is a list of its own at first. A list that is not shorter than the one before it is merged with that, so
 * that nothing is copied more than a few times, however many snapshots there are.
 */
import { HIGHEST_COUNT } from './cluster-counts.ts';

export interface ReferenceCounts {
  /** From the active disk. */
  readonly active: number;
  /** From snapshots. */
  readonly inactive: number;
}

interface List {
  readonly clusters: Float64Array;
  readonly active: Uint32Array;
  readonly inactive: Uint32Array;
}

export class TableReferences {
  readonly #lists: List[] = [];

  /** `times` references to each of the tables, which may be the same and come in any order. */
  add(clusters: Float64Array, times: number, active: boolean): void {
    const sorted = clusters.slice().sort();
    const counts = new Uint32Array(sorted.length).fill(Math.min(times, HIGHEST_COUNT));
    const none = new Uint32Array(sorted.length);
    // Merging with nothing makes one of those that are the same.
    this.#lists.push(
      merge({ clusters: sorted, active: active ? counts : none, inactive: active ? none : counts }, EMPTY),
    );
    while (this.#lists.length > 1 && length(this.#lists.at(-1)) >= length(this.#lists.at(-2))) this.#mergeLast();
  }

  /** References to the table in `cluster`. */
  find(cluster: number): ReferenceCounts {
    const { clusters, active, inactive } = this.#all();
    let low = 0;
    let high = clusters.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((clusters[middle] ?? 0) < cluster) low = middle + 1;
      else high = middle;
    }
    if (clusters[low] !== cluster) return { active: 0, inactive: 0 };
    return { active: active[low] ?? 0, inactive: inactive[low] ?? 0 };
  }

  /** Host offsets of the tables, or of those that the active disk has. */
  offsets(which: 'all' | 'active', clusterSize: number): Float64Array {
    const { clusters, active } = this.#all();
    const offsets = clusters.map((cluster) => cluster * clusterSize);
    return which === 'all' ? offsets : offsets.filter((_offset, index) => active[index] !== 0);
  }

  #all(): List {
    while (this.#lists.length > 1) this.#mergeLast();
    return this.#lists[0] ?? EMPTY;
  }

  #mergeLast(): void {
    const last = this.#lists.pop() ?? EMPTY;
    this.#lists.push(merge(this.#lists.pop() ?? EMPTY, last));
  }
}

const EMPTY: List = { clusters: new Float64Array(0), active: new Uint32Array(0), inactive: new Uint32Array(0) };

function length(list: List | undefined): number {
  return list?.clusters.length ?? 0;
}

/** Both are sorted; what is there several times becomes one. */
function merge(first: List, second: List): List {
  const most = length(first) + length(second);
  const merged = { clusters: new Float64Array(most), active: new Uint32Array(most), inactive: new Uint32Array(most) };
  let to = -1;
  let at = 0;
  for (let other = 0; at < length(first) || other < length(second); ) {
    const isFirst =
      other >= length(second) || (first.clusters[at] ?? Number.POSITIVE_INFINITY) <= (second.clusters[other] ?? 0);
    const list = isFirst ? first : second;
    const from = isFirst ? at++ : other++;
    const cluster = list.clusters[from] ?? 0;
    if (to < 0 || merged.clusters[to] !== cluster) merged.clusters[++to] = cluster;
    merged.active[to] = Math.min((merged.active[to] ?? 0) + (list.active[from] ?? 0), HIGHEST_COUNT);
    merged.inactive[to] = Math.min((merged.inactive[to] ?? 0) + (list.inactive[from] ?? 0), HIGHEST_COUNT);
  }
  const { clusters, active, inactive } = merged;
  return { clusters: clusters.slice(0, to + 1), active: active.slice(0, to + 1), inactive: inactive.slice(0, to + 1) };
}
