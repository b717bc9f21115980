/** A set of host cluster numbers: bits in chunks that exist only where something is set. */
const CHUNK_CLUSTERS = 1 << 15;
const WORDS = CHUNK_CLUSTERS / 32;

export class ClusterSet {
  readonly #chunks = new Map<number, Uint32Array>();

  add(cluster: number): void {
    const key = Math.floor(cluster / CHUNK_CLUSTERS);
    let chunk = this.#chunks.get(key);
    if (!chunk) {
      chunk = new Uint32Array(WORDS);
      this.#chunks.set(key, chunk);
    }
    const bit = cluster - key * CHUNK_CLUSTERS;
    const word = bit >>> 5;
    chunk[word] = (chunk[word] ?? 0) | (1 << (bit & 31));
  }

  addRange(first: number, count: number): void {
    for (let cluster = first; cluster < first + count; cluster++) this.add(cluster);
  }

  delete(cluster: number): void {
    const key = Math.floor(cluster / CHUNK_CLUSTERS);
    const chunk = this.#chunks.get(key);
    if (!chunk) return;
    const bit = cluster - key * CHUNK_CLUSTERS;
    const word = bit >>> 5;
    chunk[word] = (chunk[word] ?? 0) & ~(1 << (bit & 31));
  }

  has(cluster: number): boolean {
    const key = Math.floor(cluster / CHUNK_CLUSTERS);
    const chunk = this.#chunks.get(key);
    if (!chunk) return false;
    const bit = cluster - key * CHUNK_CLUSTERS;
    return ((chunk[bit >>> 5] ?? 0) & (1 << (bit & 31))) !== 0;
  }

  /** True when any of `count` clusters from `first` on is in the set. */
  hasAny(first: number, count: number): boolean {
    if (this.#chunks.size === 0) return false;
    const end = first + count;
    let cluster = first;
    while (cluster < end) {
      const key = Math.floor(cluster / CHUNK_CLUSTERS);
      const chunkEnd = Math.min(end, (key + 1) * CHUNK_CLUSTERS);
      const chunk = this.#chunks.get(key);
      if (chunk && anyBit(chunk, cluster - key * CHUNK_CLUSTERS, chunkEnd - key * CHUNK_CLUSTERS)) return true;
      cluster = chunkEnd;
    }
    return false;
  }
}

function anyBit(chunk: Uint32Array, from: number, to: number): boolean {
  for (let bit = from; bit < to; ) {
    const word = chunk[bit >>> 5] ?? 0;
    const shift = bit & 31;
    const take = Math.min(32 - shift, to - bit);
    const mask = take === 32 ? 0xffffffff : (2 ** take - 1) << shift;
    if ((word & mask) !== 0) return true;
    bit += take;
  }
  return false;
}
