/** Sizes that follow from the header, and arithmetic on guest and host offsets. All in bytes unless the name says otherwise. */
import { Incompatible } from './features.ts';
import type { Header } from './header.ts';

export interface Geometry {
  readonly version: number;
  readonly clusterBits: number;
  readonly clusterSize: number;
  readonly extendedL2: boolean;
  /** Bytes of one L2 entry: 8, or 16 with extended entries. */
  readonly l2EntrySize: number;
  readonly l2Entries: number;
  /** Bytes of the disk that one L2 table maps. */
  readonly l2Coverage: number;
  readonly subclusters: number;
  readonly subclusterSize: number;
  readonly refcountOrder: number;
  readonly refcountBits: number;
  /** Largest count an entry can hold (at 64 bits: the largest safe integer). */
  readonly refcountMax: number;
  readonly refcountBlockEntries: number;
  /** Bits of the offset in a compressed cluster descriptor ("x" in the specification). */
  readonly compressedOffsetBits: number;
  /** First host offset that a compressed cluster descriptor cannot express. */
  readonly compressedOffsetLimit: number;
  /** Most 512-byte sectors that a compressed cluster can take. */
  readonly compressedMaxSectors: number;
}

export function geometryOf(
  header: Pick<Header, 'version' | 'clusterBits' | 'refcountOrder' | 'incompatible'>,
): Geometry {
  const { clusterBits, refcountOrder } = header;
  const clusterSize = 2 ** clusterBits;
  const extendedL2 = (header.incompatible & Incompatible.EXTENDED_L2) !== 0n;
  const l2EntrySize = extendedL2 ? 16 : 8;
  const l2Entries = clusterSize / l2EntrySize;
  const subclusters = extendedL2 ? 32 : 1;
  const refcountBits = 2 ** refcountOrder;
  const compressedOffsetBits = 62 - (clusterBits - 8);
  return {
    version: header.version,
    clusterBits,
    clusterSize,
    extendedL2,
    l2EntrySize,
    l2Entries,
    l2Coverage: l2Entries * clusterSize,
    subclusters,
    subclusterSize: clusterSize / subclusters,
    refcountOrder,
    refcountBits,
    refcountMax: refcountOrder === 6 ? Number.MAX_SAFE_INTEGER : 2 ** refcountBits - 1,
    refcountBlockEntries: (clusterSize * 8) / refcountBits,
    compressedOffsetBits,
    compressedOffsetLimit: Math.min(2 ** compressedOffsetBits, 2 ** 53),
    compressedMaxSectors: 2 ** (clusterBits - 8),
  };
}

/** Where a guest offset is found: L1 entry, L2 entry, and the offset within the cluster. */
export interface GuestPosition {
  readonly l1Index: number;
  readonly l2Index: number;
  readonly inCluster: number;
}

export function splitGuestOffset(geometry: Geometry, offset: number): GuestPosition {
  const l1Index = Math.floor(offset / geometry.l2Coverage);
  const inTable = offset - l1Index * geometry.l2Coverage;
  const l2Index = Math.floor(inTable / geometry.clusterSize);
  return { l1Index, l2Index, inCluster: inTable - l2Index * geometry.clusterSize };
}

/** L1 entries that a disk of `size` bytes needs. */
export function l1EntriesFor(geometry: Geometry, size: number): number {
  return Math.ceil(size / geometry.l2Coverage);
}

export function clustersFor(geometry: Geometry, bytes: number): number {
  return Math.ceil(bytes / geometry.clusterSize);
}
