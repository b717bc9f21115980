/** What the commands that start jobs on nodes have in common. */
import type { ErrorPolicy } from '../job/error-policy.ts';
import type { Job } from '../job/job.ts';
import { bool, bytes, choice, text } from '../options/fields.ts';
import { nodeName } from './block-nodes.ts';

export const jobFields = {
  'job-id': text({ help: 'Id of the job; made up when absent' }),
  device: nodeName('The node'),
  speed: bytes({ help: 'Limit in bytes per second, 0 for none', default: 0 }),
  'auto-finalize': bool({ help: 'Go on from pending by itself', default: true }),
  'auto-dismiss': bool({ help: 'Be forgotten when it has ended', default: true }),
  'filter-node-name': text({ help: 'Name for the filter that the job puts into the graph' }),
};

export const onError = (help: string) =>
  choice(['report', 'ignore', 'enospc', 'stop', 'auto'], { help, default: 'report' });

/** Without a guest to ask, `auto` waits for space and reports all else. */
export function policy(word: 'report' | 'ignore' | 'enospc' | 'stop' | 'auto'): ErrorPolicy {
  return word === 'auto' ? 'enospc' : word;
}

export interface JobArguments {
  readonly 'job-id'?: string | undefined;
  readonly speed: number;
  readonly 'auto-finalize': boolean;
  readonly 'auto-dismiss': boolean;
}

export function initOf(args: JobArguments) {
  const id = args['job-id'];
  return {
    ...(id === undefined ? {} : { id }),
    speed: args.speed,
    autoFinalize: args['auto-finalize'],
    autoDismiss: args['auto-dismiss'],
  };
}

/** Its end is told by events. */
export function begin(job: Job): void {
  void job.start().catch(() => undefined);
}
