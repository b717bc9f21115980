import type { Maybe } from '../async/maybe.ts';

/** Checking an image's own structures, and repairing them. */
export interface CheckCapability {
  run(options: CheckOptions): Promise<CheckResult>;
}
export interface CheckOptions {
  readonly repair: 'none' | 'leaks' | 'all';
  /** Repair as told, but write nothing: the result says what would have been repaired. Default false. */
  readonly dryRun?: boolean;
  /** Detail lines (ERROR …, Leaked cluster …, Repairing …) as they are found. */
  report(line: string): void;
  readonly signal?: AbortSignal;
  /** Called between two steps of the work: throws to end it, waits to pause it. The image is consistent meanwhile. */
  checkpoint?(): Maybe<void>;
}
export interface CheckResult {
  readonly checkErrors: number;
  readonly corruptions: number;
  readonly leaks: number;
  readonly corruptionsFixed: number;
  readonly leaksFixed: number;
  readonly imageEndOffset?: number;
  readonly totalClusters?: number;
  readonly allocatedClusters?: number;
  readonly fragmentedClusters?: number;
  readonly compressedClusters?: number;
}
