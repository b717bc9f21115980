/** Jobs in the words of the control socket. */
import type { Job } from '../job/job.ts';
import { jobStates } from '../job/states.ts';

/** Kinds of jobs that work on nodes; only these have the older `block-job-*` commands and events. */
export const blockJobTypes = ['commit', 'stream', 'mirror', 'backup'] as const;
export type BlockJobType = (typeof blockJobTypes)[number];

export const jobTypes = [
  ...blockJobTypes,
  'create',
  'amend',
  'check',
  'bitmap-merge',
  'snapshot-load',
  'snapshot-save',
  'snapshot-delete',
] as const;

export const jobStatusWords = jobStates;

export function isBlockJob(job: Job): boolean {
  return (blockJobTypes as readonly string[]).includes(job.type);
}

/** The members that all events about a job on nodes have. */
export function blockJobData(job: Job): Readonly<Record<string, unknown>> {
  const { done, total } = job.progress;
  return { type: job.type, device: job.id, len: total, offset: done, speed: job.speed };
}
