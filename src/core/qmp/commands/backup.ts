/** Copies of a disk as it is when they begin, while it goes on changing. */
import type { BlockGraph } from '../../block/graph/block-graph.ts';
import type { Node } from '../../block/graph/node.ts';
import { backupJob } from '../../job/backup-job.ts';
import { backupSyncs, bitmapModes } from '../../job/backup-plan.ts';
import type { JobList } from '../../job/job-list.ts';
import { bool, bytes, choice, defineOptions, group, integer, type OptionsOf, text } from '../../options/fields.ts';
import { namedNode, nodeName } from '../block-nodes.ts';
import { begin, initOf, jobFields, onError, policy } from '../job-arguments.ts';
import { mirrorTarget } from '../new-image.ts';
import { type AnyCommand, command } from '../record.ts';

const required = { required: true } as const;

const fields = {
  ...jobFields,
  sync: choice(backupSyncs, { help: 'What is copied', ...required }),
  bitmap: text({ help: 'A dirty bitmap of the node: what is copied, or what is to be told of the copy' }),
  'bitmap-mode': choice(bitmapModes, { help: 'When the bitmap forgets what was copied' }),
  compress: bool({ help: 'Store compressed', default: false }),
  'on-source-error': onError('When reading fails'),
  'on-target-error': onError('When writing fails'),
  'on-cbw-error': choice(['break-guest-write', 'break-snapshot'], {
    help: 'When saving what is about to be changed fails: fail the write, or the backup',
    default: 'break-guest-write',
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

const common = defineOptions(fields);

function start(jobs: JobList, graph: BlockGraph, target: Node, args: OptionsOf<typeof common>): void {
  const perf = args['x-perf'];
  const options = {
    graph,
    source: namedNode(graph, args.device),
    target,
    sync: args.sync,
    bitmap: args.bitmap,
    bitmapMode: args['bitmap-mode'],
    compressed: args.compress,
    onSourceError: policy(args['on-source-error']),
    onTargetError: policy(args['on-target-error']),
    onCbwError: args['on-cbw-error'],
    filterNodeName: args['filter-node-name'],
    ...(perf ? { maxWorkers: perf['max-workers'] } : {}),
    ...(perf && perf['max-chunk'] > 0 ? { maxChunk: perf['max-chunk'] } : {}),
    ...(perf && perf['min-cluster-size'] > 0 ? { minClusterSize: perf['min-cluster-size'] } : {}),
  };
  begin(backupJob(jobs, options, initOf(args)));
}

const blockdevBackup = command({
  name: 'blockdev-backup',
  help: 'Copy a disk as it is now to another node, while it goes on changing',
  arguments: { ...fields, target: nodeName('The node to copy to') },
  run({ target, ...args }, { service: { jobs, graph } }) {
    start(jobs, graph, namedNode(graph, target), args);
  },
});

const driveBackup = command({
  name: 'drive-backup',
  help: 'Copy a disk as it is now to a file, while it goes on changing',
  features: ['deprecated'],
  arguments: {
    ...fields,
    target: text({ help: 'Name of the file', ...required }),
    format: text({ help: 'Its format; by default that of the disk' }),
    mode: choice(['absolute-paths', 'existing'], {
      help: 'Make the file, or use the one that is there',
      default: 'absolute-paths',
    }),
  },
  async run({ target: fileName, format, mode, ...args }, { service: { jobs, graph } }) {
    const source = namedNode(graph, args.device);
    const sync = args.sync === 'top' || args.sync === 'none' ? args.sync : 'full';
    const make = mode === 'absolute-paths';
    const target = await mirrorTarget(graph, source, { fileName, format, nodeName: undefined, make, sync });
    // Until the job holds it, which it does when it runs.
    target.held = true;
    try {
      start(jobs, graph, target, args);
    } catch (error) {
      target.held = false;
      await graph.closeIfUnused(target);
      throw error;
    }
    const job = jobs.all().at(-1);
    job?.events.on('concluded', () => {
      target.held = false;
      void graph.closeIfUnused(target).catch((error: unknown) => graph.settings.warn(String(error)));
    });
  },
});

export const backupCommands: readonly AnyCommand[] = [blockdevBackup, driveBackup];
