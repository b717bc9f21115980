/** Copies of a disk as it is when they begin, while it goes on changing. (`blockdev-backup` can be part of a transaction.) */
import { choice, text } from '../../options/fields.ts';
import { backupFields, prepareBackup } from '../backup-arguments.ts';
import { namedNode } from '../block-nodes.ts';
import { begin } from '../job-arguments.ts';
import { mirrorTarget } from '../new-image.ts';
import { type AnyCommand, command } from '../record.ts';

const driveBackup = command({
  name: 'drive-backup',
  help: 'Copy a disk as it is now to a file, while it goes on changing',
  features: ['deprecated'],
  arguments: {
    ...backupFields,
    target: text({ help: 'Name of the file', required: true }),
    format: text({ help: 'Its format; by default that of the disk' }),
    mode: choice(['absolute-paths', 'existing'], {
      help: 'Make the file, or use the one that is there',
      default: 'absolute-paths',
    }),
  },
  async run({ target: fileName, format, mode, ...args }, { service }) {
    const { graph } = service;
    const source = namedNode(graph, args.device);
    const sync = args.sync === 'top' || args.sync === 'none' ? args.sync : 'full';
    const make = mode === 'absolute-paths';
    const target = await mirrorTarget(graph, source, { fileName, format, nodeName: undefined, make, sync });
    // The filter of the job goes before the job lets go of the target: whoever is last closes it.
    target.held = true;
    const release = (): Promise<void> => {
      target.held = false;
      return graph.closeIfUnused(target);
    };
    try {
      const { job } = await prepareBackup(service, target, args);
      job.events.on('concluded', () => void release().catch((error: unknown) => graph.settings.warn(String(error))));
      begin(job);
    } catch (error) {
      await release();
      throw error;
    }
  },
});

export const backupCommands: readonly AnyCommand[] = [driveBackup];
