/** What commands that start a backup take, and the start itself. */
import type { Node } from '../block/graph/node.ts';
import { backupJob, type PreparedBackup } from '../job/backup-job.ts';
import { backupSyncs, bitmapModes } from '../job/backup-plan.ts';
import type { JobGroup } from '../job/job-group.ts';
import { bool, bytes, choice, defineOptions, group, integer, type OptionsOf, text } from '../options/fields.ts';
import { namedNode } from './block-nodes.ts';
import { initOf, jobFields, onError, policy } from './job-arguments.ts';
import type { BlockService } from './service.ts';

export const backupFields = {
  ...jobFields,
  sync: choice(backupSyncs, { help: 'What is copied', required: true }),
  bitmap: text({ help: 'A dirty bitmap of the node: what is copied, or what is to be told of the copy' }),
  'bitmap-mode': choice(bitmapModes, { help: 'When the bitmap forgets what was copied' }),
  compress: bool({ help: 'Store compressed', default: false }),
  'on-source-error': onError('When reading fails'),
  'on-target-error': onError('When writing fails'),
  'on-cbw-error': choice(['break-guest-write', 'break-snapshot'], {
    help: 'When saving what is about to be changed fails: fail the write, or the backup',
    default: 'break-guest-write',
  }),
  'discard-source': bool({
    help: 'Discard in the disk what has been copied: for one that is temporary, as a snapshot-access node is',
    default: false,
  }),
  'x-perf': group(
    {
      'max-workers': integer({ help: 'Pieces under way at a time', default: 8, min: 1, max: 1024 }),
      'max-chunk': bytes({ help: 'Longest piece, 0 for the default', default: 0 }),
      'min-cluster-size': bytes({ help: 'Smallest unit that is saved, a power of two, 0 for the default', default: 0 }),
    },
    { help: 'How the work is cut' },
  ),
};

const common = defineOptions(backupFields);

export interface Service extends Pick<BlockService, 'graph' | 'jobs'> {
  /** The jobs of a transaction that end together. */
  readonly group?: JobGroup;
}

/** Make the job, and have it be of this moment; it does nothing more until it is started. */
export async function prepareBackup(
  { graph, jobs, group }: Service,
  target: Node,
  args: OptionsOf<typeof common>,
): Promise<PreparedBackup> {
  const perf = args['x-perf'];
  const options = {
    graph,
    source: namedNode(graph, args.device),
    target,
    sync: args.sync,
    bitmap: args.bitmap,
    bitmapMode: args['bitmap-mode'],
    compressed: args.compress,
    discardSource: args['discard-source'],
    onSourceError: policy(args['on-source-error']),
    onTargetError: policy(args['on-target-error']),
    onCbwError: args['on-cbw-error'],
    filterNodeName: args['filter-node-name'],
    ...(perf ? { maxWorkers: perf['max-workers'] } : {}),
    ...(perf && perf['max-chunk'] > 0 ? { maxChunk: perf['max-chunk'] } : {}),
    ...(perf && perf['min-cluster-size'] > 0 ? { minClusterSize: perf['min-cluster-size'] } : {}),
  };
  const prepared = await backupJob(jobs, options, { ...initOf(args), ...(group ? { group } : {}) });
  try {
    await prepared.fix();
    return prepared;
  } catch (error) {
    await prepared.undo();
    throw error;
  }
}
