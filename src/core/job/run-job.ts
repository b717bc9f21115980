/** Running a job for somebody who waits for its end, as a command does. */
import { Cancelled } from '../errors/block-error.ts';
import type { Job } from './job.ts';

export interface RunOptions {
  /** Cancels the job when it is aborted. */
  readonly signal?: AbortSignal | undefined;
  /** Told of the job before it starts. */
  onJob?(job: Job): void;
}

/** Run a job to its end; throws its error, Cancelled when `signal` is aborted. */
export async function runJob(job: Job, { signal, onJob }: RunOptions): Promise<void> {
  const cancel = (): void => {
    if (job.state !== 'concluded' && job.state !== 'null' && job.state !== 'aborting') job.cancel();
  };
  onJob?.(job);
  if (signal?.aborted) {
    cancel();
    await job.finished.catch(() => undefined);
    throw new Cancelled();
  }
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    await job.start();
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}
