/** What a copy is made of: sources, a target, how to go about it, and who is asked on the way. */
import type { Maybe } from '../../async/maybe.ts';
import type { Backend } from '../../block/backend/backend.ts';
import type { Node } from '../../block/graph/node.ts';
import type { KnownStatus } from './known-status.ts';

/** A stretch of a disk, in bytes. */
export interface DiskPart {
  readonly offset: number;
  readonly length: number;
}

/** One of the disks to be copied, one after the other, into the target. */
export interface CopySource {
  readonly backend: Backend;
  /** Where its first byte goes in the target, in bytes; negative when what comes before the target is left out. */
  readonly targetOffset: number;
  /** What to copy of it; default all. */
  readonly part?: DiskPart;
  /** Layer from which on down the content is not copied; undefined copies the whole chain. */
  readonly base?: Node;
  /** Leave out what this layer holds itself. */
  readonly below?: Node;
}

export interface CopyTarget {
  readonly backend: Backend;
  /** Whatever is not written reads as zeroes, so zeroes need not be written. */
  readonly readsZero: boolean;
  /** What is stored compressed as one, in bytes. */
  readonly clusterSize?: number;
  /** Bytes of its unit of allocation, a power of two: data is written in whole ones where that is free. Default 1. */
  readonly unit?: number;
}

/** Who runs the copy: a job. Every member may throw to end it. */
export interface CopyControl {
  /** Called before each piece of work: waits while paused, throws when cancelled. */
  checkpoint(): Maybe<void>;
  /** Wait until this many bytes may be copied. */
  throttle(bytes: number): Maybe<void>;
  /** Bytes that should be copied at a time at most, so that the speed is even; default any. */
  evenLength?(): number;
  /** This many more bytes of the disk, which hold this as far as was known beforehand, are dealt with. */
  advance(bytes: number, kind: SegmentKind): void;
  /** A request failed: try again, leave its range out, or throw. */
  onError(operation: 'read' | 'write', error: unknown, segment: Segment): Promise<'retry' | 'ignore'>;
  warn(message: string): void;
}

export interface CopyOptions {
  readonly sources: readonly CopySource[];
  readonly target: CopyTarget;
  readonly control: CopyControl;
  /** Pieces in flight, each with a buffer of one transfer; default 8. */
  readonly parallel?: number;
  /**
   * Zeroes at least this long become holes or zeroing, in bytes, a multiple of 512; default 4096. 0: everything is
   * written, also the holes of the source.
   */
  readonly sparse?: number;
  /** Store compressed, a cluster per request. */
  readonly compressed?: boolean;
  /** Let the kernel copy where it can. */
  readonly offload?: boolean;
  /** Writes may begin in any order; else they begin in the order of offsets, but run side by side all the same. */
  readonly unordered?: boolean;
  /** What cannot be read becomes zeroes. */
  readonly salvage?: boolean;
  /** Told of what the target is to be given, before it is: the bytes of a segment, or undefined for zeroes. */
  readonly observe?: (segment: Segment, bytes: Uint8Array | undefined) => void;
  /**
   * Done with each segment that is not skipped in place of `usual`, which reads and writes it; its speed is seen to
   * already, its errors are not. Only with `unordered`.
   */
  readonly move?: (segment: Segment, usual: () => Maybe<void>) => Maybe<void>;
  /** What is known of the sources already, for those that hold still; what is found out is added. */
  readonly known?: KnownStatus;
  /** Test seam: bytes of a transfer; default {@link TRANSFER}. */
  readonly transfer?: number;
}

/** A stretch of the target that is dealt with in one go. */
export interface Segment {
  /** Its place in the order of writes. */
  readonly index: number;
  /** Where it begins; a compressed cluster may go on into the sources behind it. */
  readonly source: CopySource;
  /** In the target, in bytes. */
  readonly offset: number;
  readonly length: number;
  /** data: read it; zero: known to be zeroes; skip: not to be copied. */
  readonly kind: SegmentKind;
  /** Data that lies in files below as it is, and is planned to be copied by the kernel. */
  readonly mapped: boolean;
}

export type SegmentKind = 'data' | 'zero' | 'skip';
