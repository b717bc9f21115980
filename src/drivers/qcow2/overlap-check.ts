/**
 * What must not be overwritten: before a write goes to host clusters, they are looked up among the places of
 * the image's own structures. A hit means that the image is corrupt (an entry points at metadata, or a
 * refcount says that metadata is free).
 *
 * Small fixed structures are ranges; tables of which there are many are sets of cluster numbers, kept up to
 * date as tables come and go, so that a check costs the same at any image size.
 */
import { ClusterSet } from './cluster-set.ts';

export const OVERLAP_KINDS = [
  'main-header',
  'active-l1',
  'active-l2',
  'refcount-table',
  'refcount-block',
  'snapshot-table',
  'inactive-l1',
  'inactive-l2',
  'bitmap-directory',
] as const;
export type OverlapKind = (typeof OVERLAP_KINDS)[number];

export type OverlapTemplate = 'none' | 'constant' | 'cached' | 'all';

const CONSTANT: readonly OverlapKind[] = [
  'main-header',
  'active-l1',
  'refcount-table',
  'snapshot-table',
  'bitmap-directory',
];
const CACHED: readonly OverlapKind[] = [...CONSTANT, 'active-l2', 'refcount-block', 'inactive-l1'];

export const OVERLAP_TEMPLATES: Readonly<Record<OverlapTemplate, readonly OverlapKind[]>> = {
  none: [],
  constant: CONSTANT,
  cached: CACHED,
  all: OVERLAP_KINDS,
};

/** In words, for the message. */
const NAMES: Readonly<Record<OverlapKind, string>> = {
  'main-header': 'the header',
  'active-l1': 'the active L1 table',
  'active-l2': 'an active L2 table',
  'refcount-table': 'the refcount table',
  'refcount-block': 'a refcount block',
  'snapshot-table': 'the snapshot table',
  'inactive-l1': "a snapshot's L1 table",
  'inactive-l2': "a snapshot's L2 table",
  'bitmap-directory': 'the bitmap directory',
};

interface ClusterRange {
  readonly first: number;
  readonly end: number;
}

export class OverlapCheck {
  readonly #clusterSize: number;
  readonly #kinds: readonly OverlapKind[];
  readonly #ranges = new Map<OverlapKind, ClusterRange>();
  readonly #sets = new Map<OverlapKind, ClusterSet>();

  constructor(clusterSize: number, kinds: readonly OverlapKind[]) {
    this.#clusterSize = clusterSize;
    this.#kinds = kinds;
  }

  watches(kind: OverlapKind): boolean {
    return this.#kinds.includes(kind);
  }

  /** The one place of a fixed structure, in bytes; a length of 0 removes it. */
  setRange(kind: OverlapKind, offset: number, length: number): void {
    if (!this.watches(kind)) return;
    if (length === 0) this.#ranges.delete(kind);
    else {
      const first = Math.floor(offset / this.#clusterSize);
      this.#ranges.set(kind, { first, end: Math.ceil((offset + length) / this.#clusterSize) });
    }
  }

  /** A table of which there are many has come to `offset`; `length` in bytes, default one cluster. */
  add(kind: OverlapKind, offset: number, length = this.#clusterSize): void {
    if (!this.watches(kind)) return;
    let set = this.#sets.get(kind);
    if (!set) {
      set = new ClusterSet();
      this.#sets.set(kind, set);
    }
    set.addRange(Math.floor(offset / this.#clusterSize), Math.ceil(length / this.#clusterSize));
  }

  remove(kind: OverlapKind, offset: number): void {
    this.#sets.get(kind)?.delete(Math.floor(offset / this.#clusterSize));
  }

  /** The structure that a write of `length` bytes at host `offset` would hit, in words. */
  hit(offset: number, length: number): string | undefined {
    const first = Math.floor(offset / this.#clusterSize);
    const end = Math.ceil((offset + length) / this.#clusterSize);
    for (const [kind, range] of this.#ranges) if (range.first < end && first < range.end) return NAMES[kind];
    for (const [kind, set] of this.#sets) if (set.hasAny(first, end - first)) return NAMES[kind];
    return undefined;
  }
}
