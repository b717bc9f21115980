/** Jobs on nodes in use: mirror, commit, stream, amend. */
import { Backend } from '../../block/backend/backend.ts';
import { displayName } from '../../block/graph/file-name.ts';
import { linkDown } from '../../block/graph/freeze.ts';
import type { Node } from '../../block/graph/node.ts';
import { operations } from '../../block/graph/operations.ts';
import { BlockError, Usage } from '../../errors/block-error.ts';
import { activeCommit, amendJob, commitLayers, copyModes, liveMirror, stream, syncModes } from '../../job/index.ts';
import { anything, bool, bytes, choice, text, variant } from '../../options/fields.ts';
import type { Options } from '../../options/schema.ts';
import { findNode, namedNode, nodeName } from '../block-nodes.ts';
import { amendOptionsOf } from '../driver-types.ts';
import { begin, initOf, jobFields, onError, policy } from '../job-arguments.ts';
import { mirrorTarget } from '../new-image.ts';
import { type AnyCommand, command, unionCommand } from '../record.ts';
import { named } from '../shape.ts';

const required = { required: true } as const;

const mirrorFields = {
  ...jobFields,
  replaces: text({ help: 'The node whose users get the target on completion; by default those of the source' }),
  sync: choice(syncModes, { help: 'What is copied of what is there already', ...required }),
  granularity: bytes({ help: 'Unit in which changes are recorded, a power of two', default: 0 }),
  'buf-size': bytes({ help: 'Bytes under way at a time', default: 0 }),
  'on-source-error': onError('When reading fails'),
  'on-target-error': onError('When writing fails'),
  'copy-mode': choice(copyModes, { help: 'Copy writes later, or with every write', default: 'background' }),
};

const blockdevMirror = command({
  name: 'blockdev-mirror',
  help: 'Copy a disk in use to another node and keep it in step; on completion its users go on there',
  arguments: { ...mirrorFields, target: nodeName('The node to copy to') },
  async run(args, { service: { jobs, graph } }) {
    const target = namedNode(graph, args.target);
    const request = { ...mirrorSettings(args), source: namedNode(graph, args.device), target };
    const replaces = args.replaces === undefined ? undefined : namedNode(graph, args.replaces);
    begin(await liveMirror(jobs, graph, { ...request, sync: args.sync, replaces }, initOf(args)));
  },
});

const driveMirror = command({
  name: 'drive-mirror',
  help: 'Copy a disk in use to a file and keep it in step; on completion its users go on there',
  arguments: {
    ...mirrorFields,
    target: text({ help: 'Name of the file', ...required }),
    format: text({ help: 'Its format; by default that of the disk' }),
    'node-name': text({ help: 'Name of the new node' }),
    mode: choice(['absolute-paths', 'existing'], {
      help: 'Make the file, or use the one that is there',
      default: 'absolute-paths',
    }),
    unmap: bool({ help: 'Leave holes where there are zeroes', default: true }),
  },
  async run(args, { service: { jobs, graph } }) {
    const source = namedNode(graph, args.device);
    const replaces = args.replaces === undefined ? undefined : namedNode(graph, args.replaces);
    const target = await mirrorTarget(graph, source, {
      fileName: args.target,
      format: args.format,
      nodeName: args['node-name'],
      make: args.mode === 'absolute-paths',
      sync: args.sync,
    });
    await using _ = graph.hold(target, { describe: () => `the mirror of node '${source.name}'` });
    const settings = { ...mirrorSettings(args), unmap: args.unmap };
    const made = args.mode === 'absolute-paths' && args.sync === 'full';
    const request = { ...settings, source, target, sync: args.sync, replaces };
    begin(
      await liveMirror(
        jobs,
        graph,
        { ...request, targetReadsZero: made, sourceBacking: args.sync !== 'full' },
        initOf(args),
      ),
    );
  },
});

interface MirrorArguments {
  readonly granularity: number;
  readonly 'buf-size': number;
  readonly 'copy-mode': (typeof copyModes)[number];
  readonly 'on-source-error': Parameters<typeof policy>[0];
  readonly 'on-target-error': Parameters<typeof policy>[0];
  readonly 'filter-node-name'?: string | undefined;
}

function mirrorSettings(args: MirrorArguments) {
  return {
    granularity: args.granularity === 0 ? undefined : args.granularity,
    bufSize: args['buf-size'] === 0 ? undefined : args['buf-size'],
    copyMode: args['copy-mode'],
    onSourceError: policy(args['on-source-error']),
    onTargetError: policy(args['on-target-error']),
    filterName: args['filter-node-name'],
  };
}

const maskProtocol = bool({
  help: 'Say raw of a backing file that has no format, rather than the protocol it is read by',
  default: false,
});

const blockCommit = command({
  name: 'block-commit',
  help: 'Bring what layers of a disk in use hold into a layer below them',
  arguments: {
    ...jobFields,
    'base-node': text({ help: 'The layer to write to; by default the lowest' }),
    base: text({ help: 'The same by its file name' }),
    'top-node': text({ help: 'The uppermost layer to commit; by default the device, which then ends ready' }),
    top: text({ help: 'The same by its file name' }),
    'backing-file': text({ help: 'What the layer above is to say of its backing file' }),
    'backing-mask-protocol': maskProtocol,
    'on-error': onError('When a request fails'),
  },
  async run(args, { service: { jobs, graph } }) {
    const device = namedNode(graph, args.device);
    const top = layer(device, args, 'top') ?? device;
    const base = layer(device, args, 'base') ?? lowest(device);
    const onFailure = policy(args['on-error']);
    const filterName = args['filter-node-name'];
    if (top !== device) {
      const texts = { backingFile: args['backing-file'], maskProtocol: args['backing-mask-protocol'] };
      const request = { top, base, ...texts, onError: onFailure, filterName };
      begin(await commitLayers(jobs, graph, request, initOf(args)));
      return;
    }
    if (args['backing-file'] !== undefined) {
      throw new Usage("'backing-file' means nothing where the active layer is committed: nothing is above it");
    }
    const request = { top, base, onSourceError: onFailure, onTargetError: onFailure, filterName };
    begin(await activeCommit(jobs, graph, request, initOf(args)));
  },
});

const blockStream = command({
  name: 'block-stream',
  help: 'Bring what the layers below a disk in use hold up into it, so that it needs them no more',
  arguments: {
    ...jobFields,
    'base-node': text({ help: 'What lies here or below stays where it is; by default all is brought up' }),
    base: text({ help: 'The same by its file name' }),
    bottom: text({ help: 'The lowest layer that is brought up' }),
    'backing-file': text({ help: 'What the disk is to say of its backing file' }),
    'backing-mask-protocol': maskProtocol,
    'on-error': onError('When a request fails'),
  },
  async run(args, { service: { jobs, graph } }) {
    const top = namedNode(graph, args.device);
    const base = layer(top, args, 'base');
    if (base && args.bottom !== undefined) throw new Usage("'base' and 'bottom' cannot both be given");
    const bottom = args.bottom === undefined ? undefined : namedNode(graph, args.bottom);
    const texts = { backingFile: args['backing-file'], maskProtocol: args['backing-mask-protocol'] };
    const request = { top, base, bottom, ...texts, onError: policy(args['on-error']) };
    begin(await stream(jobs, graph, { ...request, filterName: args['filter-node-name'] }, initOf(args)));
  },
});

/** A layer below `device`, by the name of its node or of its file. */
function layer(device: Node, args: Readonly<Record<string, unknown>>, which: 'top' | 'base'): Node | undefined {
  const node = args[`${which}-node`];
  const file = args[which];
  if (node !== undefined && file !== undefined) throw new Usage(`'${which}-node' and '${which}' cannot both be given`);
  const wanted = node ?? file;
  if (wanted === undefined) return undefined;
  for (let at: Node | undefined = device; at; at = linkDown(at)?.node) {
    if (node === undefined ? displayName(at) === file || at.fileName === file : at.name === node) return at;
  }
  throw new BlockError(`'${String(wanted)}' is no layer of '${device.name}'`, { code: 'ENOENT' });
}

function lowest(device: Node): Node {
  let node = device;
  for (let edge = linkDown(node); edge; edge = linkDown(node)) node = edge.node;
  return node;
}

const jobChange = unionCommand({
  name: 'block-job-change',
  help: 'Have a job on nodes go on in another way',
  argument: variant(
    'type',
    {
      mirror: {
        id: text({ help: 'The job', ...required }),
        'copy-mode': choice(copyModes, { help: 'Copy writes later, or with every write', ...required }),
      },
    },
    { help: 'What to change', ...required, keyHelp: 'Kind of the job' },
  ),
  run({ type, id, ...options }, { service: { jobs } }) {
    const job = jobs.find(id);
    if (job.type !== type) throw new Usage(`job '${id}' is of the type ${job.type}, not ${type}`);
    job.change(options);
  },
});

const amend = command({
  name: 'x-blockdev-amend',
  help: 'Start a job that changes options of an image in use; it stays until job-dismiss',
  features: ['unstable'],
  arguments: {
    'job-id': text({ help: 'Id of the job', ...required }),
    'node-name': nodeName('The image'),
    options: named('BlockdevAmendOptions', anything({ help: 'What to change', ...required })),
    force: bool({ help: 'Do also what may make data unreachable', default: false }),
  },
  run(args, { service: { jobs, graph } }) {
    const node = findNode(graph, args);
    const { driver, ...options } = args.options as Options;
    if (driver !== node.driver.name) throw new Usage(`node '${node.name}' is of the driver ${node.driver.name}`);
    const backend = Backend.attach(graph, node, {
      user: `the amending of '${node.name}'`,
      permissions: operations.amend.image,
    });
    const request = {
      backend,
      options: amendOptionsOf(node.driver, options),
      force: args.force,
      objects: graph.objects,
      warn: graph.settings.warn,
    };
    begin(amendJob(jobs, request, { id: args['job-id'], autoDismiss: false }));
  },
});

export const liveJobCommands: readonly AnyCommand[] = [
  blockdevMirror,
  driveMirror,
  blockCommit,
  blockStream,
  jobChange,
  amend,
];
