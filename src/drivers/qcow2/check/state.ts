/** What the parts of a check share: the image as it lies on disk, the counts of references, the findings. */
import { clock } from '../../../core/async/clock.ts';
import type { Maybe } from '../../../core/async/maybe.ts';
import { nextTurn } from '../../../core/async/turn.ts';
import type { CheckOptions, CheckResult } from '../../../core/block/driver.ts';
import { Cancelled, CorruptImage } from '../../../core/errors/block-error.ts';
import type { Extension } from '../meta/extensions.ts';
import { Incompatible } from '../meta/features.ts';
import type { Geometry } from '../meta/geometry.ts';
import type { Header } from '../meta/header.ts';
import { ClusterCounts } from './cluster-counts.ts';

/** What a check and a repair need of a file; what lies past its end reads as zeroes, and writing there makes it longer. */
export interface CheckedFile {
  readonly size: number;
  read(offset: number, buf: Uint8Array): Maybe<void>;
  write(offset: number, buf: Uint8Array): Maybe<void>;
  discard(offset: number, length: number): Maybe<void>;
  flush(): Maybe<void>;
}

/** An image to be checked: its header as validated at open (a repair changes it), everything else read from `file`. */
export interface CheckedImage {
  readonly fileName: string;
  readonly header: Header;
  readonly extensions: readonly Extension[];
  readonly geometry: Geometry;
  readonly file: CheckedFile;
}

export type CheckReporting = Pick<CheckOptions, 'report' | 'signal' | 'checkpoint'>;

/** An L1 entry that can be put right without a change to what the disk holds. */
export interface L1Fix {
  /** Host offset of the entry. */
  readonly at: number;
  /** How many references to that cluster there are when nothing but this table lies there. */
  readonly times: number;
  readonly hi: number;
  readonly lo: number;
}

/** References past the end of the file are remembered, to look up their counts on disk; more than these are not. */
const MAX_BEYOND = 65536;
/** Nor are any once so many clusters have been referred to there, the same ones counted each time. */
const MAX_BEYOND_STEPS = 64 * MAX_BEYOND;
/** Counts above 2^32 that are remembered exactly; what is said of more is not exact. */
const MAX_LARGE = 65536;
/** Milliseconds of work at a stretch, after which signals and timers get their turn. */
const STRETCH = 40;
/** Damaged L1 entries that are put right in one go; more than these are only reported. */
const MAX_L1_FIXES = 65536;

type Counters = { -readonly [K in keyof CheckResult]-?: number };

export class CheckState {
  readonly image: CheckedImage;
  readonly geometry: Geometry;
  readonly fileSize: number;
  readonly dataFile: boolean;
  /** May be above what a refcount can hold, which has been reported then. */
  readonly counts = new ClusterCounts();
  /** Clusters beyond the end of the file that something refers to. */
  readonly beyond = new Set<number>();
  /** `beyond` has them all. */
  beyondAll = true;
  /** Digits of counts on disk that are too large for `counts` or for a number. */
  readonly largeCounts = new Map<number, string>();
  /** Some active entry does not say that it is the only reference. */
  uncopied = false;
  /** Some count on disk is not the number of references. */
  mismatched = false;
  /** The refcount structures cannot be mended one count at a time. */
  needsRebuild = false;
  /** Clusters that the file has; a reference into a last, partial one may add one. */
  clusters: number;
  readonly result: Counters;
  /**
   * With `true`, entries that can be put right are taken as they will be, and noted instead of reported: the host
   * offsets of L2 tables in `l2Fixes`, ascending, and L1 entries in `l1Fixes`.
   */
  readonly fixing: boolean;
  readonly l2Fixes: number[] = [];
  readonly l1Fixes: L1Fix[] = [];
  #beyondSteps = 0;
  readonly #options: CheckReporting;
  #breath = clock();

  constructor(image: CheckedImage, options: CheckReporting, fixing = false) {
    this.fixing = fixing;
    this.image = image;
    this.geometry = image.geometry;
    this.fileSize = image.file.size;
    this.dataFile = (image.header.incompatible & Incompatible.DATA_FILE) !== 0n;
    this.clusters = Math.ceil(this.fileSize / image.geometry.clusterSize);
    this.#options = options;
    this.result = {
      checkErrors: 0,
      corruptions: 0,
      leaks: 0,
      corruptionsFixed: 0,
      leaksFixed: 0,
      imageEndOffset: 0,
      totalClusters: Math.ceil(image.header.size / image.geometry.clusterSize),
      allocatedClusters: 0,
      fragmentedClusters: 0,
      compressedClusters: 0,
    };
  }

  note(line: string): void {
    this.#options.report(line);
  }

  /** Something is wrong with the image; `times` when the same place is reached that often. */
  corrupt(line: string, times = 1, word = 'ERROR'): void {
    this.result.corruptions += times;
    this.#options.report(`${word} ${line}`);
  }

  /** Note that an L1 entry is to be put right; false when it has to stay. */
  noteL1Fix(fix: L1Fix): boolean {
    if (!this.fixing || this.l1Fixes.length >= MAX_L1_FIXES) return false;
    this.l1Fixes.push(fix);
    return true;
  }

  /** Note that entries of an L2 table are to be put right. Tables come in ascending order. */
  noteL2Fix(offset: number): void {
    if (this.l2Fixes.at(-1) !== offset) this.l2Fixes.push(offset);
  }

  /** Something was put right; `times` entries or clusters. */
  fixed(line: string, times = 1): void {
    this.result.corruptionsFixed += times;
    this.#options.report(`Repairing ${line}`);
  }

  /** Something could not be checked. */
  fail(line: string, times = 1): void {
    this.result.checkErrors += times;
    this.#options.report(`ERROR ${line}`);
  }

  /** The error for what makes a check impossible. */
  unusable(what: string, followUp?: string): CorruptImage {
    return new CorruptImage(`'${this.image.fileName}': ${what}`, followUp === undefined ? {} : { followUp });
  }

  /** `times` references to the clusters of [offset, offset + length). The last one may reach past the end of the file. */
  refer(offset: number, length: number, times = 1): void {
    if (length <= 0) return;
    const { clusterSize } = this.geometry;
    const first = Math.floor(offset / clusterSize);
    if (offset + length - this.fileSize >= clusterSize) {
      const place = `offset 0x${offset.toString(16)} size 0x${length.toString(16)}`;
      const what = `counting reference for region exceeding the end of the file by one cluster or more: ${place}`;
      this.corrupt(what, times, 'ERROR:');
      this.#rememberBeyond(first, Math.floor((offset + length - 1) / clusterSize));
      return;
    }
    const last = Math.floor((offset + length - 1) / clusterSize);
    for (let cluster = first; cluster <= last; cluster++) this.referToCluster(cluster, times);
    if (last >= this.clusters) this.clusters = last + 1;
  }

  #rememberBeyond(first: number, last: number): void {
    // Past the largest exact integer no file has clusters, and adding 1 to their numbers would not change them.
    const end = Math.min(last, Math.floor(Number.MAX_SAFE_INTEGER / this.geometry.clusterSize));
    this.#beyondSteps += end - first + 1;
    if (this.#beyondSteps > MAX_BEYOND_STEPS) this.beyondAll = false;
    if (!this.beyondAll) return;
    for (let cluster = Math.max(first, this.clusters); cluster <= end; cluster++) {
      if (this.beyond.size >= MAX_BEYOND) {
        this.beyondAll = false;
        return;
      }
      this.beyond.add(cluster);
    }
  }

  noteLargeCount(cluster: number, digits: string): void {
    if (this.largeCounts.size < MAX_LARGE) this.largeCounts.set(cluster, digits);
  }

  /** `times` references to each of `length` clusters from `first` on, all within the file. */
  referToRun(first: number, length: number, times: number): void {
    if (this.counts.addRun(first, length, times) <= this.geometry.refcountMax) return;
    for (let cluster = first; cluster < first + length; cluster++) {
      const count = this.counts.get(cluster);
      if (count > this.geometry.refcountMax) this.#overflow(cluster, count, times);
    }
  }

  /** `times` references to a cluster that lies within the file. */
  referToCluster(cluster: number, times: number): void {
    const count = this.counts.add(cluster, times);
    if (count > this.geometry.refcountMax) this.#overflow(cluster, count, times);
  }

  #overflow(cluster: number, count: number, times: number): void {
    this.corrupt(
      `cluster ${cluster} has more references than the ${this.geometry.refcountBits} bits of its refcount can hold`,
      Math.min(times, count - this.geometry.refcountMax),
    );
  }

  /** Called often; lets signals through and ends the work when asked to. */
  breathe(): Maybe<void> {
    if (this.#options.signal?.aborted) throw new Cancelled();
    if (clock() - this.#breath < STRETCH) return;
    return this.#pause();
  }

  async #pause(): Promise<void> {
    await nextTurn();
    await this.#options.checkpoint?.();
    this.#breath = clock();
  }
}
