/** Running a job for a command: its progress is shown, Ctrl-C cancels it. */
import type { Job } from '../../core/job/job.ts';
import { runJob } from '../../core/job/run-job.ts';
import type { Io } from '../cli/io.ts';
import { startProgress } from '../cli/progress.ts';

export interface ProgressFlags {
  readonly progress: 'human' | 'json' | undefined;
  readonly quiet: boolean;
}

/** Updates for which it is worth to look at the clock. */
const STEPS = 1000;

/** Run `job` to its end. `step` is the percentage between two lines of the plain form. */
export async function runWithProgress(
  io: Io,
  job: Job,
  { progress: mode, quiet }: ProgressFlags,
  step = 1,
): Promise<void> {
  using progress = await startProgress(io, { mode, quiet, phase: job.type, step });
  let next = 0;
  job.events.on('progress', ({ done, total }) => {
    if (done < next && done < total) return;
    next = done + total / STEPS;
    progress.update(done, total);
  });
  await runJob(job, { signal: io.signal });
  progress.finish();
}
