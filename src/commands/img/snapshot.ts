import type { Backend } from '../../core/block/backend/backend.ts';
import { describeSnapshot, type SnapshotDescription } from '../../core/block/graph/image-info.ts';
import { operations } from '../../core/block/graph/operations.ts';
import {
  snapshotApply,
  snapshotCreate,
  snapshotNode,
  snapshotRemove,
} from '../../core/block/graph/snapshot-operations.ts';
import { Usage, withContext } from '../../core/errors/block-error.ts';
import type { Io } from '../cli/io.ts';
import { prettyJson, printable } from '../cli/output.ts';
import { command } from '../cli/record.ts';
import { snapshotLines } from './info-text.ts';
import { chainOptions, type OpenImages, shared, withImages } from './open-image.ts';

const ACTIONS = ['list', 'create', 'apply', 'remove'] as const;

/** The other actions: only one of them can be given. */
function others(action: (typeof ACTIONS)[number]): string[] {
  return ACTIONS.filter((each) => each !== action);
}

export const snapshot = command({
  name: 'snapshot',
  group: 'Change images',
  summary: 'List, make, apply or remove the snapshots within an image',
  description: [
    'Without an action, and with -l, the snapshots are listed. SNAPSHOT is an id or a name. A snapshot is made of the ' +
      'disk as it is; applying one puts the disk back to it, also to its size then, and what was written since is lost.',
    'With --sizes a further column tells the bytes that each snapshot alone holds: what removing it would free. The ' +
      'list for programs (--output=json) has them in any case, as exclusive-size.',
    'Where one snapshot has for its name what another has for its id, -a takes the id and -d the name.',
    'Killed at any moment, the disk and its snapshots are as before or as afterwards. A check in between may complain ' +
      'of leaks, and of OFLAG_COPIED flags that do not fit their counts; a qcow2 image of version 3 is marked dirty ' +
      'then, and mended when it is next opened for writing, one of version 2 by img check -r all.',
  ],
  arguments: { file: { name: 'FILE', help: 'The image' } },
  options: {
    list: { short: 'l', long: 'list', help: 'List the snapshots', conflicts: others('list') },
    create: {
      short: 'c',
      long: 'create',
      value: 'NAME',
      help: 'Make a snapshot of that name',
      conflicts: others('create'),
      once: true,
    },
    apply: {
      short: 'a',
      long: 'apply',
      value: 'SNAPSHOT',
      help: 'Put the disk back to a snapshot',
      conflicts: others('apply'),
      once: true,
    },
    remove: {
      short: 'd',
      long: 'delete',
      value: 'SNAPSHOT',
      help: 'Remove a snapshot',
      conflicts: others('remove'),
      once: true,
    },
    sizes: { long: 'sizes', help: 'List the bytes too that each snapshot alone holds' },
    output: shared.output,
    format: shared.format,
    imageOpts: shared.imageOpts,
    quiet: { ...shared.quiet, help: 'Print errors only; a list is printed all the same' },
    forceShare: { ...shared.forceShare, conflicts: ['create', 'apply', 'remove'] },
    ...chainOptions,
  },
  examples: [
    ['img snapshot -c before-upgrade disk.qcow2', 'Keep the disk as it is now under a name'],
    ['img snapshot -l --sizes disk.qcow2', 'What there is, and what each would free'],
    ['img snapshot -a before-upgrade disk.qcow2', 'Back to it'],
    ['img convert -l before-upgrade -O raw disk.qcow2 old.raw', 'Copy a snapshot into an image of its own'],
  ],
  run: ({ arguments: { file }, options }, io) =>
    withImages(io, options, async (images) => {
      const change = changeOf(options);
      if (!change) {
        await list(images, file, options, io);
        return 0;
      }
      if (options.sizes || options.output === 'json') {
        throw new Usage("options '--sizes' and '--output' go with a list of snapshots only");
      }
      await make(images, file, { ...change, format: options.format, imageOpts: options.imageOpts });
      return 0;
    }),
});

interface Change {
  readonly verb: 'create' | 'apply' | 'delete';
  readonly name: string;
}

function changeOf({ create, apply, remove }: Readonly<Record<'create' | 'apply' | 'remove', string | undefined>>) {
  const found: Change[] = [];
  if (create !== undefined) found.push({ verb: 'create', name: create });
  if (apply !== undefined) found.push({ verb: 'apply', name: apply });
  if (remove !== undefined) found.push({ verb: 'delete', name: remove });
  return found[0];
}

interface Named {
  readonly format: string | undefined;
  readonly imageOpts: boolean;
}

async function make(images: OpenImages, file: string, { verb, name, format, imageOpts }: Change & Named) {
  const operation = operations[`snapshot-${verb === 'delete' ? 'remove' : verb}`].image;
  const backend = await images.open({ name: file, format, imageOpts }, { writable: true, operation });
  const { graph } = images;
  try {
    if (verb === 'create') await snapshotCreate(graph, backend.image, { name });
    else if (verb === 'apply') await snapshotApply(graph, backend.image, name);
    else await snapshotRemove(graph, backend.image, name);
  } catch (error) {
    throw withContext(`Could not ${verb} snapshot '${name}'`, error);
  }
}

interface ListFlags extends Named {
  readonly forceShare: boolean;
  readonly sizes: boolean;
  readonly output: 'human' | 'json';
}

interface ListedSnapshot extends SnapshotDescription {
  /** Bytes that nothing else in the image holds. */
  readonly 'exclusive-size'?: number;
}

async function list(images: OpenImages, file: string, flags: ListFlags, io: Io): Promise<void> {
  const { format, imageOpts, forceShare, output } = flags;
  const sizes = flags.sizes || output === 'json';
  const backend = await images.open(
    { name: file, format, imageOpts },
    { forceShare, noBacking: true, noIo: !sizes, ...(sizes ? {} : { operation: operations.inspect.image }) },
  );
  const found = await listed(backend, sizes);
  if (output === 'json') {
    io.stdout.write(`${prettyJson(found)}\n`);
    return;
  }
  if (found.length === 0) return;
  const alone = flags.sizes ? found.map((each) => each['exclusive-size'] ?? 0) : undefined;
  io.stdout.write(`${['Snapshot list:', ...snapshotLines(found, alone)].map(printable).join('\n')}\n`);
}

/** None for an image that cannot have any. */
async function listed(backend: Backend, sizes: boolean): Promise<ListedSnapshot[]> {
  const owner = snapshotNode(backend.image);
  if (!owner) return [];
  const own = sizes ? await owner.snapshots.ownBytes() : [];
  return owner.snapshots.list().map((each, index) => {
    const size = own[index];
    return { ...describeSnapshot(each), ...(size === undefined ? {} : { 'exclusive-size': size }) };
  });
}
