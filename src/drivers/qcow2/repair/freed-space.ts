/** Clusters that a repair has set free, whose space is given back to the host once nothing on disk counts them. */
import type { CheckState } from '../check/state.ts';

/** Runs that are remembered; the space of more stays with the file, where it is used again. */
const MAX_RUNS = 65536;

export class FreedSpace {
  readonly #runs: { readonly first: number; end: number }[] = [];

  add(cluster: number): void {
    const last = this.#runs.at(-1);
    if (last?.end === cluster) last.end++;
    else if (this.#runs.length < MAX_RUNS) this.#runs.push({ first: cluster, end: cluster + 1 });
  }

  /** Discard what still is not referenced. To be called when the counts are on stable storage. */
  async discard(state: CheckState): Promise<void> {
    const { clusterSize } = state.geometry;
    for (const { first, end } of this.#runs) {
      let from = first;
      for (let cluster = first; cluster <= end; cluster++) {
        if (cluster < end && state.counts.get(cluster) === 0) continue;
        await discardClusters(state, from, cluster, clusterSize);
        from = cluster + 1;
      }
    }
    this.#runs.length = 0;
  }
}

async function discardClusters(state: CheckState, from: number, to: number, clusterSize: number): Promise<void> {
  const { file } = state.image;
  const start = from * clusterSize;
  const end = Math.min(to * clusterSize, file.size);
  if (start >= end) return;
  await file.discard(start, end - start);
  await state.breathe();
}
