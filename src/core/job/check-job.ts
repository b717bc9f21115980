/** Checking an image, and repairing it. */
import type { Backend } from '../block/backend/backend.ts';
import type { CheckOptions, CheckResult } from '../block/check.ts';
import { NotSupported } from '../errors/block-error.ts';
import type { Job, JobBody } from './job.ts';
import type { JobList } from './job-list.ts';

export interface CheckRequest extends Pick<CheckOptions, 'repair' | 'dryRun' | 'report'> {
  /** Opened for check, and for writing where it is to be repaired; stays the caller's. */
  readonly image: Backend;
}

/** The work: it can be broken off at any moment, which leaves the image consistent. */
export class CheckBody implements JobBody {
  readonly #request: CheckRequest;
  #result: CheckResult | undefined;

  constructor(request: CheckRequest) {
    this.#request = request;
  }

  /** What was found; there once the job has ended well. */
  get result(): CheckResult {
    if (!this.#result) throw new Error('the check has not ended');
    return this.#result;
  }

  async run(job: Job): Promise<void> {
    const { image, ...options } = this.#request;
    const { check } = image.image.image;
    if (!check) throw new NotSupported(`the format of '${image.image.name}' has no check`);
    this.#result = await check.run({ ...options, signal: job.signal, checkpoint: () => job.checkpoint() });
  }
}

export function checkJob(jobs: JobList, request: CheckRequest): { job: Job; body: CheckBody } {
  const body = new CheckBody(request);
  return { job: jobs.add({ type: 'check', body }), body };
}
