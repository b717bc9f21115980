/** Jobs: what there is, and what can be asked of them. Two generations of commands, for all jobs and for those on nodes. */
import { BlockError, type ErrorCode } from '../../errors/block-error.ts';
import type { Job } from '../../job/job.ts';
import type { JobList } from '../../job/job-list.ts';
import { bool, bytes, choice, group, list, text } from '../../options/fields.ts';
import { blockJobTypes, isBlockJob, jobStatusWords } from '../job-info.ts';
import { type AnyCommand, command } from '../record.ts';

const required = { required: true } as const;
const id = text({ help: 'The job', ...required });
const device = text({ help: 'The job, by its id', ...required });

/** A command of each generation that asks the same. */
function verb(
  names: { readonly job: string; readonly block: string; readonly key: 'device' | 'id' },
  help: string,
  ask: (job: Job) => void | Promise<void>,
): AnyCommand[] {
  const block = { name: names.block, help: `${help} (jobs on nodes)` };
  return [
    command({
      name: names.job,
      help,
      arguments: { id },
      run: (args, { service }) => ask(anyJob(service.jobs, args.id)),
    }),
    names.key === 'id'
      ? command({ ...block, arguments: { id }, run: (args, { service }) => ask(blockJob(service.jobs, args.id)) })
      : command({
          ...block,
          arguments: { device },
          run: (args, { service }) => ask(blockJob(service.jobs, args.device)),
        }),
  ];
}

function anyJob(jobs: JobList, name: string): Job {
  return jobs.find(name);
}

/** Older clients look for the class of the error. */
function blockJob(jobs: JobList, name: string): Job {
  const job = jobs.all().find((each) => each.id === name);
  if (job && isBlockJob(job)) return job;
  throw new BlockError(job ? `job '${name}' is no job on nodes but '${job.type}'` : `there is no job '${name}'`, {
    code: 'ENOENT' satisfies ErrorCode,
    data: { qmpClass: 'DeviceNotActive' },
  });
}

const jobCancel = command({
  name: 'job-cancel',
  help: 'Stop a job; what it has changed so far is undone where that is possible',
  arguments: { id },
  run: (args, { service }) => anyJob(service.jobs, args.id).cancel(),
});

const blockJobCancel = command({
  name: 'block-job-cancel',
  help: 'Stop a job on nodes; a mirror that is ready then ends well, without switching to its target',
  arguments: { device, force: bool({ help: 'Stop at once, also when it is ready or paused', default: false }) },
  run({ device: name, force }, { service }) {
    const job = blockJob(service.jobs, name);
    if (job.pausedByUser && !force) {
      throw new BlockError(`job '${name}' is paused; resume it first, or use force`, { code: 'EBUSY' });
    }
    job.cancel({ force });
  },
});

const setSpeed = command({
  name: 'block-job-set-speed',
  help: 'Limit the speed of a job',
  arguments: { device, speed: bytes({ help: 'Bytes per second, 0 for no limit', ...required }) },
  run: ({ device: name, speed }, { service }) => blockJob(service.jobs, name).setSpeed(speed),
});

const status = choice(jobStatusWords, { help: 'The state', ...required });
const error = text({ help: 'What went wrong' });

const queryJobs = command({
  name: 'query-jobs',
  help: 'List all jobs',
  returns: list(
    group(
      {
        id,
        type: text({ help: 'What it does', ...required }),
        status,
        'current-progress': bytes({ help: 'What is done', ...required }),
        'total-progress': bytes({ help: 'What there is to do, as far as known', ...required }),
        error,
      },
      { help: 'A job', ...required },
    ),
    { help: 'The jobs', ...required },
  ),
  run: (_, { service }) =>
    service.jobs.all().map((job) => ({
      id: job.id,
      type: job.type,
      status: job.state,
      'current-progress': job.progress.done,
      'total-progress': job.progress.total,
      ...errorOf(job),
    })),
});

const queryBlockJobs = command({
  name: 'query-block-jobs',
  help: 'List the jobs on nodes',
  returns: list(
    group(
      {
        type: choice(blockJobTypes, { help: 'What it does', ...required }),
        device,
        len: bytes({ help: 'What there is to do, as far as known', ...required }),
        offset: bytes({ help: 'What is done', ...required }),
        busy: bool({ help: 'It is at work', ...required }),
        paused: bool({ help: 'It was paused by a client or an error', ...required }),
        speed: bytes({ help: 'Limit in bytes per second, 0 for none', ...required }),
        'io-status': choice(['ok', 'failed', 'nospace'], {
          help: 'Whether a request failed and it waits',
          ...required,
        }),
        ready: bool({ help: 'It can be completed', ...required }),
        status,
        'auto-finalize': bool({ help: 'Goes on from pending by itself', ...required }),
        'auto-dismiss': bool({ help: 'Is forgotten when it has ended', ...required }),
        error,
        'actively-synced': bool({ help: 'Of a mirror: source and target are in step' }),
      },
      { help: 'A job', ...required },
    ),
    { help: 'The jobs', ...required },
  ),
  run: (_, { service }) => service.jobs.all().filter(isBlockJob).map(describeBlockJob),
});

function describeBlockJob(job: Job) {
  const { done, total } = job.progress;
  return {
    type: job.type as (typeof blockJobTypes)[number],
    device: job.id,
    len: total,
    offset: done,
    busy: job.state === 'running' || job.state === 'ready',
    paused: job.pausedByUser,
    speed: job.speed,
    'io-status': job.ioStatus,
    ready: job.state === 'ready' || job.state === 'standby',
    status: job.state,
    'auto-finalize': job.autoFinalize,
    'auto-dismiss': job.autoDismiss,
    ...job.details,
    ...errorOf(job),
  };
}

function errorOf(job: Job) {
  return job.error ? { error: job.error.message } : {};
}

export const jobCommands: readonly AnyCommand[] = [
  jobCancel,
  blockJobCancel,
  ...verb({ job: 'job-pause', block: 'block-job-pause', key: 'device' }, 'Have a job wait', (job) => job.pause()),
  ...verb({ job: 'job-resume', block: 'block-job-resume', key: 'device' }, 'Have a paused job go on', (job) =>
    job.resume(),
  ),
  ...verb(
    { job: 'job-complete', block: 'block-job-complete', key: 'device' },
    'Have a job that is ready come to its end',
    (job) => job.complete(),
  ),
  ...verb(
    { job: 'job-finalize', block: 'block-job-finalize', key: 'id' },
    'Have a job that is pending make its result final',
    (job) => void job.finalize(),
  ),
  ...verb({ job: 'job-dismiss', block: 'block-job-dismiss', key: 'id' }, 'Forget a job that has ended', (job) =>
    job.dismiss(),
  ),
  setSpeed,
  queryJobs,
  queryBlockJobs,
];
