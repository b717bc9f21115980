/** What a job is made of: its work, and what its user says of it. */
import type { Clock } from '../async/rate-limit.ts';
import type { BlockError } from '../errors/block-error.ts';
import type { Options } from '../options/schema.ts';
import type { ErrorAction } from './error-policy.ts';
import type { Job } from './job.ts';
import type { JobGroup } from './job-group.ts';
import type { JobState } from './states.ts';

/** The work. After `run` come `prepare` and `commit`, or `abort`; then what the job holds is released. */
export interface JobBody {
  run(job: Job): Promise<void>;
  /** Last step that may fail. */
  prepare?(): Promise<void>;
  commit?(): Promise<void> | void;
  /** Undo; called on failure and cancellation, also of a job that never ran. */
  abort?(error: BlockError): Promise<void> | void;
  /** The user asks a job that is ready to come to its end. */
  complete?(): void;
  /** The user asks a job that is ready to end as it is, without the switch that completing it would make. */
  settle?(): void;
  /** The user wants it to go on in another way. Throws for what it cannot do. */
  change?(options: Options): void;
  /** What its kind of job shows beside what all show, under the names of the control socket. */
  details?(): Readonly<Record<string, unknown>>;
}

export interface JobInit {
  readonly id: string;
  /** create, mirror, commit, … as the control socket names them. */
  readonly type: string;
  readonly body: JobBody;
  /** Bytes per second, 0 for no limit. */
  readonly speed?: number;
  /** Go from pending to concluded without being told; default true. */
  readonly autoFinalize?: boolean;
  /** Be forgotten once concluded; default true. */
  readonly autoDismiss?: boolean;
  readonly clock?: Clock;
  /** The jobs that it ends with; default none. */
  readonly group?: JobGroup;
}

/** What its user says of a job whose id is settled. */
export type InitWithId = Partial<JobInit> & Pick<JobInit, 'id'>;

/** Units are the job's own, bytes mostly; `total` may grow while it runs. */
export interface JobProgress {
  readonly done: number;
  readonly total: number;
}

export interface JobEvents {
  state: { readonly from: JobState; readonly to: JobState };
  progress: JobProgress;
  /** A request failed, and this is what the job does about it. */
  error: { readonly operation: 'read' | 'write'; readonly action: ErrorAction; readonly error: BlockError };
  concluded: { readonly error: BlockError | undefined };
}
