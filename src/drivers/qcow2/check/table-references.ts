/**
 * References to L2 tables: each table once, ascending by its place, with how often the active disk and the snapshots
 * reach it. Sorted columns rather than a map: an image has a table for every few thousand clusters, or for every 64.
 */

/** Counts stay there, however many references there are. */
const HIGHEST = 0xffffffff;

export interface ReferenceCounts {
  /** From the active disk. */
  readonly active: number;
  /** From snapshots. */
  readonly inactive: number;
}

export class TableReferences {
  #clusters = new Float64Array(0);
  #active = new Uint32Array(0);
  #inactive = new Uint32Array(0);

  /** Number of tables. */
  get length(): number {
    return this.#clusters.length;
  }

  /** References to the table in `cluster`. */
  find(cluster: number): ReferenceCounts {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#clusters[middle] ?? 0) < cluster) low = middle + 1;
      else high = middle;
    }
    return this.#clusters[low] === cluster ? this.#at(low) : { active: 0, inactive: 0 };
  }

  #at(index: number): ReferenceCounts {
    return { active: this.#active[index] ?? 0, inactive: this.#inactive[index] ?? 0 };
  }

  /** Host offsets of the tables, or of those that the active disk has. */
  offsets(which: 'all' | 'active', clusterSize: number): Float64Array {
    const all = this.#clusters.map((cluster) => cluster * clusterSize);
    return which === 'all' ? all : all.filter((_offset, index) => this.#active[index] !== 0);
  }

  /** `times` references to each of the tables, which may be the same and come in any order. */
  add(clusters: Float64Array, times: number, active: boolean): void {
    const added = clusters.slice().sort();
    const most = this.length + added.length;
    const merged = new Float64Array(most);
    const counts = { active: new Uint32Array(most), inactive: new Uint32Array(most) };
    const counted = active ? counts.active : counts.inactive;
    let to = 0;
    let old = 0;
    for (let at = 0; at < added.length || old < this.length; to++) {
      const cluster = Math.min(added[at] ?? Number.POSITIVE_INFINITY, this.#clusters[old] ?? Number.POSITIVE_INFINITY);
      merged[to] = cluster;
      if (this.#clusters[old] === cluster) {
        counts.active[to] = this.#active[old] ?? 0;
        counts.inactive[to] = this.#inactive[old] ?? 0;
        old++;
      }
      for (; at < added.length && added[at] === cluster; at++) {
        counted[to] = Math.min((counted[to] ?? 0) + times, HIGHEST);
      }
    }
    this.#clusters = merged.slice(0, to);
    this.#active = counts.active.slice(0, to);
    this.#inactive = counts.inactive.slice(0, to);
  }
}
