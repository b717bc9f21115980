/** A copy that a job runs: what it knows of its target, and who paces it, follows it and decides about its errors. */
import { sleep } from '../async/sleep.ts';
import type { Backend } from '../block/backend/backend.ts';
import { infoOf } from '../block/graph/image-info.ts';
import type { CopyControl, CopyTarget } from './copy-engine/types.ts';
import type { ErrorPolicy } from './error-policy.ts';
import type { Job } from './job.ts';

/** `backend` as the target of a copy, with the sizes of its clusters. */
export async function copyTarget(backend: Backend, readsZero: boolean): Promise<CopyTarget> {
  const info = await infoOf(backend.image);
  return {
    backend,
    readsZero,
    clusterSize: info?.clusterSize ?? 1,
    unit: powerOfTwo(info?.subclusterSize ?? info?.clusterSize),
  };
}

export interface CopyPolicies {
  /** Default report. */
  readonly onSourceError?: ErrorPolicy | undefined;
  readonly onTargetError?: ErrorPolicy | undefined;
  warn?(message: string): void;
  /** Only data counts as progress, not what is known to be zeroes. */
  readonly countsData?: boolean | undefined;
}

/** Have `job` pace a copy, follow it and decide about its errors. */
export function copyControl(job: Job, policies: CopyPolicies = {}): CopyControl {
  const { onSourceError = 'report', onTargetError = 'report' } = policies;
  return {
    checkpoint: () => job.checkpoint(),
    throttle: (bytes) => job.throttle(bytes),
    evenLength: () => job.evenLength,
    advance: (bytes, kind) => (policies.countsData && kind !== 'data' ? undefined : job.advance(bytes)),
    onError: (operation, error) => job.onError(operation, operation === 'read' ? onSourceError : onTargetError, error),
    warn: (message) => policies.warn?.(message),
  };
}

/** Before what has failed is tried again. */
export async function rest(job: Job): Promise<void> {
  await sleep(REST_MS, job.signal);
  await job.checkpoint();
}

/** Milliseconds. */
const REST_MS = 100;

/** `size` where it is one, else 1. */
function powerOfTwo(size = 1): number {
  return Number.isInteger(Math.log2(size)) ? size : 1;
}
