/**
 * Commands that can be part of a transaction. Each checks and acts, and returns how to undo it; a command by itself
 * acts and forgets that.
 */
import {
  addBitmap,
  clearBitmap,
  disableBitmap,
  enableBitmap,
  mergeBitmaps,
  removeBitmap,
  type Undo,
} from '../block/bitmaps/index.ts';
import type { BlockGraph } from '../block/graph/block-graph.ts';
import type { Node } from '../block/graph/node.ts';
import { asking } from '../block/graph/refusal.ts';
import { addOverlay, replaceNode, setBacking } from '../block/graph/reshape.ts';
import { snapshotCreate, snapshotNode, snapshotRemove } from '../block/graph/snapshot-operations.ts';
import { BlockError } from '../errors/block-error.ts';
import { recordBaseInUse } from '../job/record-base.ts';
import type { Fields } from '../options/field.ts';
import {
  bool,
  bytes,
  choice,
  type defineOptions,
  either,
  group,
  list,
  type OptionsOf,
  text,
} from '../options/fields.ts';
import { backupFields, prepareBackup, type Service } from './backup-arguments.ts';
import { findNode, namedNode, nodeName, nodeOrDevice } from './block-nodes.ts';
import { begin } from './job-arguments.ts';
import { mirrorTarget, overlayFor } from './new-image.ts';
import type { Feature } from './record.ts';

const required = { required: true } as const;

export interface Action {
  readonly name: string;
  readonly help: string;
  readonly features?: readonly Feature[];
  readonly fields: Fields;
  /** Takes what the fields say. Throws with nothing changed. */
  perform(args: never, service: Service): Promise<Performed>;
}

/** An action that is done, but for what must wait until all others are. */
export interface Performed {
  readonly undo: Undo;
  /** Cannot fail. */
  readonly commit?: () => void | Promise<void>;
}

function action<const F extends Fields>(record: {
  readonly name: string;
  readonly help: string;
  readonly features?: readonly Feature[];
  readonly fields: F;
  perform(args: OptionsOf<ReturnType<typeof defineOptions<F>>>, service: Service): Promise<Performed>;
}): Action {
  return record as Action;
}

const bitmapFields = { node: nodeName('The node'), name: text({ help: 'Name of the bitmap', ...required }) };

function bitmapAction(name: string, help: string, verb: (node: Node, name: string) => Promise<Undo>): Action {
  return action({
    name: `block-dirty-bitmap-${name}`,
    help,
    fields: bitmapFields,
    async perform(args, { graph }) {
      const node = namedNode(graph, args.node);
      return { undo: await asking(`block-dirty-bitmap-${name} of node '${node.name}'`, () => verb(node, args.name)) };
    },
  });
}

const bitmapAdd = action({
  name: 'block-dirty-bitmap-add',
  help: 'Record from now on which parts of a disk change',
  fields: {
    ...bitmapFields,
    granularity: bytes({ help: 'Unit that is recorded, a power of two; by default the cluster size, 4 to 64 KiB' }),
    persistent: bool({ help: 'Keep it in the image', default: false }),
    disabled: bool({ help: 'Do not record yet', default: false }),
  },
  perform: async (args, { graph }) => ({
    undo: await addBitmap(namedNode(graph, args.node), args.name, {
      granularity: args.granularity,
      persistent: args.persistent,
      recording: !args.disabled,
    }),
  }),
});

const bitmapMerge = action({
  name: 'block-dirty-bitmap-merge',
  help: 'Add what is dirty in some bitmaps to another',
  fields: {
    node: nodeName('The node of the target'),
    target: text({ help: 'The bitmap that they are added to', ...required }),
    bitmaps: list(
      either(
        text({ help: 'A bitmap of that node', ...required }),
        group(
          { node: nodeName('The node'), name: text({ help: 'Its bitmap', ...required }) },
          { help: 'Of another', ...required },
        ),
        { help: 'A bitmap', ...required },
      ),
      { help: 'What is added', ...required },
    ),
  },
  async perform({ node: name, target, bitmaps }, { graph }) {
    const node = namedNode(graph, name);
    const sources = bitmaps.map((each) =>
      typeof each === 'string' ? { node, name: each } : { node: namedNode(graph, each.node), name: each.name },
    );
    const merge = () => mergeBitmaps(node, target, sources);
    return { undo: await asking(`block-dirty-bitmap-merge of node '${node.name}'`, merge) };
  },
});

const snapshot = action({
  name: 'blockdev-snapshot',
  help: 'Put an open image without a backing file on top of a node: its users write there from now on',
  fields: { node: nodeName('The node that becomes the backing file'), overlay: nodeName('The image on top') },
  perform: (args, { graph }) => putOnTop(graph, namedNode(graph, args.node), namedNode(graph, args.overlay)),
});

const snapshotSync = action({
  name: 'blockdev-snapshot-sync',
  help: 'Make an image on top of a node, or open the one that is there: its users write there from now on',
  fields: {
    ...nodeOrDevice,
    'snapshot-file': text({ help: 'Name of the file', ...required, nonEmpty: true }),
    'snapshot-node-name': text({ help: 'Name of the new node' }),
    format: text({ help: 'Its format', default: 'qcow2' }),
    mode: choice(['absolute-paths', 'existing'], {
      help: 'Make the file, or use the one that is there',
      default: 'absolute-paths',
    }),
  },
  async perform(args, { graph }) {
    const node = findNode(graph, args);
    const overlay = await overlayFor(graph, node, {
      fileName: args['snapshot-file'],
      format: args.format,
      nodeName: args['snapshot-node-name'],
      make: args.mode === 'absolute-paths',
    });
    return putOnTop(graph, node, overlay);
  },
});

/** The way back leads the users of the overlay to the node again. */
async function putOnTop(graph: BlockGraph, node: Node, overlay: Node): Promise<Performed> {
  const by = { describe: () => `the snapshot of node '${node.name}' in '${overlay.name}'` };
  await using _hold = graph.hold(overlay, by);
  await asking(by.describe(), () => addOverlay(graph, node, overlay));
  const undo = async (): Promise<void> => {
    // Nobody had used the node.
    if (overlay.closing) return;
    await using _ = graph.hold(overlay, by);
    await replaceNode(graph, { from: overlay, to: node });
    await setBacking(graph, overlay, undefined);
  };
  return { undo, commit: () => recordBaseInUse(graph, overlay, node) };
}

const internal = action({
  name: 'blockdev-snapshot-internal-sync',
  help: 'Keep what a disk shows now within its image',
  fields: { device: nodeName('The node'), name: text({ help: 'Name of the snapshot', ...required, nonEmpty: true }) },
  async perform({ device, name }, { graph }) {
    const node = namedNode(graph, device);
    if (
      snapshotNode(node)
        ?.snapshots.list()
        .some((each) => each.name === name)
    ) {
      throw new BlockError(`there is already a snapshot '${name}' in '${device}'`, { code: 'EEXIST' });
    }
    const made = await snapshotCreate(graph, node, { name });
    return { undo: async () => void (await snapshotRemove(graph, node, { id: made.id })) };
  },
});

const blockdevBackup = action({
  name: 'blockdev-backup',
  help: 'Copy a disk as it is now to another node, while it goes on changing',
  fields: { ...backupFields, target: nodeName('The node to copy to') },
  async perform({ target, ...args }, service) {
    const { job, undo } = await prepareBackup(service, namedNode(service.graph, target), args);
    return { undo, commit: () => begin(job) };
  },
});

const driveBackup = action({
  name: 'drive-backup',
  help: 'Copy a disk as it is now to a file, while it goes on changing',
  features: ['deprecated'],
  fields: {
    ...backupFields,
    target: text({ help: 'Name of the file', ...required }),
    format: text({ help: 'Its format; by default that of the disk' }),
    mode: choice(['absolute-paths', 'existing'], {
      help: 'Make the file, or use the one that is there',
      default: 'absolute-paths',
    }),
  },
  async perform({ target: fileName, format, mode, ...args }, service) {
    const { graph } = service;
    const source = namedNode(graph, args.device);
    const sync = args.sync === 'top' || args.sync === 'none' ? args.sync : 'full';
    const make = mode === 'absolute-paths';
    const target = await mirrorTarget(graph, source, { fileName, format, nodeName: undefined, make, sync });
    // Until the job holds it; who lets go of it last closes it, before the job has ended.
    const hold = graph.hold(target, { describe: () => `the backup of node '${source.name}'` });
    try {
      const { job, undo } = await prepareBackup(service, target, args);
      job.atEnd(() => hold.release());
      return { undo, commit: () => begin(job) };
    } catch (error) {
      await hold.release();
      throw error;
    }
  },
});

const abort = action({
  name: 'abort',
  help: 'Fail',
  fields: {},
  perform: () => Promise.reject(new BlockError("the transaction has the action 'abort'")),
});

/** Those that are commands too, and `abort`. */
export const actions: readonly Action[] = [
  bitmapAdd,
  bitmapAction('remove', 'Forget a bitmap, also in the image', removeBitmap),
  bitmapAction('clear', 'Have nothing be dirty in a bitmap', clearBitmap),
  bitmapAction('enable', 'Have a bitmap record', enableBitmap),
  bitmapAction('disable', 'Have a bitmap record no more', disableBitmap),
  bitmapMerge,
  snapshot,
  snapshotSync,
  internal,
  blockdevBackup,
  driveBackup,
  abort,
];
