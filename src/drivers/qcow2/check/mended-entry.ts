/**
 * What an L2 entry has to be where it is wrong in a way that has one right answer.
 *
 * The content of the disk is the same before and after: bits without meaning go, the copied flag of a compressed cluster
 * goes (it must never be set there), and a cluster that holds no data but lies off the cluster boundaries is given up.
 * An entry whose data cannot be where it says is left as it is: nobody knows where the data is.
 */
import {
  hostOffset,
  isCompressed,
  isCopied,
  isZeroFlagged,
  l2WithoutReserved,
  withCopied,
  ZERO_PLAIN_HI,
  ZERO_PLAIN_LO,
} from '../meta/entries.ts';
import type { Geometry } from '../meta/geometry.ts';
import { hexEntry } from './l1.ts';

/** An L2 entry; the last two are 0 without extended entries. */
export interface L2Entry {
  readonly hi: number;
  readonly lo: number;
  /** Subclusters that read as zeroes, and those that hold data. */
  readonly zeroes: number;
  readonly present: number;
}

/** The entry at `at` of a table, in bytes. */
export function entryAt({ extendedL2 }: Geometry, table: DataView, at: number): L2Entry {
  return {
    hi: table.getUint32(at),
    lo: table.getUint32(at + 4),
    zeroes: extendedL2 ? table.getUint32(at + 8) : 0,
    present: extendedL2 ? table.getUint32(at + 12) : 0,
  };
}

export interface MendedEntry extends L2Entry {
  /** What is wrong, for the report; one for each thing. */
  readonly problems: readonly string[];
}

/** The entry as it should be; undefined when there is nothing that can be put right. */
export function mendedEntry(geometry: Geometry, entry: L2Entry): MendedEntry | undefined {
  const { hi, lo } = entry;
  if (isCompressed(hi)) {
    if (!isCopied(hi)) return undefined;
    const problem = `compressed cluster with the copied flag set: entry=${hexEntry(hi, lo)}`;
    return { ...entry, hi: withCopied(hi, false), problems: [problem] };
  }
  const problems: string[] = [];
  const clean = l2WithoutReserved(hi, lo);
  if (clean.hi !== hi || clean.lo !== lo) problems.push(`L2 entry with reserved bits set: ${hexEntry(hi, lo)}`);
  let mended: L2Entry = { ...entry, ...clean };
  const offset = hostOffset(hi, lo);
  if (offset % geometry.clusterSize !== 0 && !holdsData(geometry, mended)) {
    problems.push(`offset=${offset.toString(16)}: preallocated cluster is not properly aligned`);
    mended = geometry.extendedL2
      ? { hi: 0, lo: 0, zeroes: entry.zeroes, present: 0 }
      : { hi: ZERO_PLAIN_HI, lo: ZERO_PLAIN_LO, zeroes: 0, present: 0 };
  }
  return problems.length === 0 ? undefined : { ...mended, problems };
}

function holdsData(geometry: Geometry, { lo, present }: L2Entry): boolean {
  if (geometry.extendedL2) return present !== 0;
  return geometry.version < 3 || !isZeroFlagged(lo);
}
