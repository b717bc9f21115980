/**
 * L1 entries, L2 entries and refcount table entries, as two 32-bit halves `hi` and `lo`.
 * Bit numbers of the specification: bit 63 is the top bit of `hi`, bit 0 the lowest of `lo`.
 */
import type { Geometry } from './geometry.ts';

const TWO_32 = 2 ** 32;

/** Bit 63: the table or cluster has exactly one reference. */
const HI_COPIED = 0x80000000;
/** Bit 62: a compressed cluster. */
const HI_COMPRESSED = 0x40000000;
/** Bits 32–55: upper part of a host offset. */
const HI_OFFSET = 0x00ffffff;
/** Bits 56–61 (L2) are reserved. */
const HI_L2_RESERVED = 0x3f000000;
/** Bits 56–62 (L1) are reserved. */
const HI_L1_RESERVED = 0x7f000000;
/** Bits 9–31: lower part of a host offset. */
const LO_OFFSET = 0xfffffe00;
/** Bit 0: reads as zeroes (version 3, without extended entries). */
const LO_ZERO = 1;
/** Bits 1–8 (L2 standard) are reserved. */
const LO_L2_RESERVED = 0x1fe;
/** Bits 0–8 (L1, refcount table) are reserved. */
const LO_RESERVED = 0x1ff;

/** What an L2 entry says of a cluster as a whole. */
export const ClusterKind = {
  /** Nothing here: the backing file decides. With extended entries subclusters may still read as zeroes. */
  UNALLOCATED: 0,
  /** Reads as zeroes, without a host cluster. */
  ZERO_PLAIN: 1,
  /** Reads as zeroes, a host cluster is kept for it. */
  ZERO_ALLOC: 2,
  /** A host cluster; with extended entries the bitmap says which part of it counts. */
  NORMAL: 3,
  COMPRESSED: 4,
} as const;
export type ClusterKind = (typeof ClusterKind)[keyof typeof ClusterKind];

/** Host offset of a standard entry: bits 9–55. */
export function hostOffset(hi: number, lo: number): number {
  return (hi & HI_OFFSET) * TWO_32 + ((lo & LO_OFFSET) >>> 0);
}

/** Host offset of a refcount table entry: bits 9–63. */
export function refcountBlockOffset(hi: number, lo: number): number {
  return (hi >>> 0) * TWO_32 + ((lo & LO_OFFSET) >>> 0);
}

export function isCopied(hi: number): boolean {
  return (hi & HI_COPIED) !== 0;
}

export function isCompressed(hi: number): boolean {
  return (hi & HI_COMPRESSED) !== 0;
}

export function isZeroFlagged(lo: number): boolean {
  return (lo & LO_ZERO) !== 0;
}

export function l1HasReservedBits(hi: number, lo: number): boolean {
  return (hi & HI_L1_RESERVED) !== 0 || (lo & LO_RESERVED) !== 0;
}

/** Reserved bits of a standard L2 entry; the zero bit counts as one where it is not defined. */
export function l2HasReservedBits(geometry: Geometry, hi: number, lo: number): boolean {
  if ((hi & HI_L2_RESERVED) !== 0 || (lo & LO_L2_RESERVED) !== 0) return true;
  return (lo & LO_ZERO) !== 0 && (geometry.version < 3 || geometry.extendedL2);
}

/** The halves of an L1 entry without its reserved bits. */
export function l1WithoutReserved(hi: number, lo: number): { hi: number; lo: number } {
  return { hi: (hi & ~HI_L1_RESERVED) >>> 0, lo: (lo & ~LO_RESERVED) >>> 0 };
}

/** The halves of a standard L2 entry without its reserved bits; the zero bit stays. */
export function l2WithoutReserved(hi: number, lo: number): { hi: number; lo: number } {
  return { hi: (hi & ~HI_L2_RESERVED) >>> 0, lo: (lo & ~LO_L2_RESERVED) >>> 0 };
}

export function refcountTableHasReservedBits(lo: number): boolean {
  return (lo & LO_RESERVED) !== 0;
}

/**
 * The kind of a cluster. With an external data file, offset 0 with bit 63 is a host cluster.
 * With extended entries a cluster without host cluster is UNALLOCATED, whatever its bitmap says.
 */
export function clusterKind(geometry: Geometry, hi: number, lo: number, dataFile: boolean): ClusterKind {
  if ((hi & HI_COMPRESSED) !== 0) return ClusterKind.COMPRESSED;
  const present = (hi & HI_OFFSET) !== 0 || (lo & LO_OFFSET) !== 0 || (dataFile && (hi & HI_COPIED) !== 0);
  if ((lo & LO_ZERO) !== 0 && !geometry.extendedL2) return present ? ClusterKind.ZERO_ALLOC : ClusterKind.ZERO_PLAIN;
  return present ? ClusterKind.NORMAL : ClusterKind.UNALLOCATED;
}

/** A stretch of a table, in bytes of it. */
export interface EntrySpan {
  readonly from: number;
  readonly to: number;
  readonly entrySize: number;
}

/**
 * How many entries from `span.from` on are each like the one before, but for a host offset that is `step` bytes further
 * on: at least 1, and not past a multiple of 4 GiB. Nearly all neighbours are, and need no looking at their parts.
 */
export function similarEntries(view: DataView, { from, to, entrySize }: EntrySpan, step: number): number {
  const hi = view.getInt32(from);
  let lo = view.getInt32(from + 4);
  let at = from + entrySize;
  for (; at < to; at += entrySize) {
    const next = (lo + step) | 0;
    if (view.getInt32(at + 4) !== next || view.getInt32(at) !== hi || next >>> 0 < lo >>> 0) break;
    lo = next;
  }
  return (at - from) / entrySize;
}

/** Upper half of an entry for a host offset (a multiple of 512 below 2^56). */
export function entryHi(offset: number, copied: boolean): number {
  const hi = Math.floor(offset / TWO_32);
  return copied ? (hi | HI_COPIED) >>> 0 : hi;
}

/** Lower half of an entry for a host offset. */
export function entryLo(offset: number, zero = false): number {
  return (offset | (zero ? LO_ZERO : 0)) >>> 0;
}

export function withCopied(hi: number, copied: boolean): number {
  return (copied ? hi | HI_COPIED : hi & ~HI_COPIED) >>> 0;
}

/** Halves of a plain zero entry. */
export const ZERO_PLAIN_HI = 0;
export const ZERO_PLAIN_LO = LO_ZERO;

/** Bytes of a compressed cluster in the file: from `offset` to the end of its last 512-byte sector. */
export interface CompressedRange {
  readonly offset: number;
  readonly length: number;
}

/** Offset in bits 0 to x-1, count of additional sectors in bits x to 61. */
export function compressedRange(geometry: Geometry, hi: number, lo: number): CompressedRange {
  const split = geometry.compressedOffsetBits - 32;
  const descriptor = hi & ~(HI_COPIED | HI_COMPRESSED);
  const offset = (descriptor & (2 ** split - 1)) * TWO_32 + (lo >>> 0);
  const sectors = (descriptor >>> split) + 1;
  return { offset, length: sectors * 512 - (offset % 512) };
}

/** Halves of the entry for `length` bytes of compressed data at `offset`. */
export function compressedEntry(geometry: Geometry, offset: number, length: number): { hi: number; lo: number } {
  const split = geometry.compressedOffsetBits - 32;
  const additional = Math.floor((offset + length - 1) / 512) - Math.floor(offset / 512);
  const hi = (HI_COMPRESSED | (additional << split) | Math.floor(offset / TWO_32)) >>> 0;
  return { hi, lo: offset >>> 0 };
}

/** Mask of subclusters `from` to `to` (exclusive) in one half of an extended entry's bitmap. */
export function subclusterMask(from: number, to: number): number {
  const upper = to >= 32 ? 0xffffffff : 2 ** to - 1;
  const lower = 2 ** from - 1;
  return (upper & ~lower) >>> 0;
}

export const ALL_SUBCLUSTERS = 0xffffffff;
