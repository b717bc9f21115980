/** Making a job on a node in steps, any of which may be refused: its id is settled first, so that the refusal can name it. */
import type { Node } from '../block/graph/node.ts';
import { asking, type Holder } from '../block/graph/refusal.ts';
import { type InitWithId, type Job, type JobInit, jobName } from './job.ts';
import type { JobList } from './job-list.ts';

export interface JobToMake {
  /** mirror, commit, … as the control socket names them. */
  readonly type: string;
  readonly node: Node;
  readonly init: Partial<JobInit>;
}

/** Run `make` for a job that is to have this id; where others are in the way, the error says which job they refused. */
export async function makeJob(
  jobs: JobList,
  { type, node, init }: JobToMake,
  make: (holder: Holder, init: InitWithId) => Promise<Job>,
): Promise<Job> {
  const id = jobs.idFor(type, init.id);
  const holder = { describe: () => jobName(type, id) };
  return asking(`${holder.describe()} of node '${node.name}'`, () => make(holder, { ...init, id }));
}
