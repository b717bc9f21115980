/**
 * `copy-before-write`: before a part of the disk is changed for the first time, what it holds is saved in `target`. The
 * disk as it was when the filter was put over it can be read through `snapshot-access`, and be copied by a backup.
 *
 * With `bitmap`, only what is dirty in it is of interest.
 */

import { DirtyBitmap } from '../../core/bitmap/index.ts';
import type { Driver, OpenContext } from '../../core/block/driver.ts';
import { clusterSizeOf } from '../../core/block/own-node.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import { bytes, choice, defineOptions, group, integer, type OptionsOf, text } from '../../core/options/fields.ts';
import { CopyBeforeWriteImage } from './image.ts';
import { Snapshot } from './snapshot.ts';

const options = defineOptions({
  bitmap: group(
    {
      node: text({ help: 'Node of the bitmap', required: true }),
      name: text({ help: 'Name of the bitmap', required: true }),
    },
    { help: 'Save only what is dirty in this bitmap' },
  ),
  'on-cbw-error': choice(['break-guest-write', 'break-snapshot'], {
    help: 'When saving fails: fail the write, or let it go on and give up the snapshot',
    default: 'break-guest-write',
  }),
  'cbw-timeout': integer({ help: 'Seconds after which saving has failed; 0 for no limit', default: 0 }),
  'min-cluster-size': bytes({ help: 'Save at least this much at a time, a power of two', default: 0 }),
});

type CopyBeforeWriteOptions = OptionsOf<typeof options>;

/** Bytes that are saved at a time, at least. */
const MIN_CLUSTER = 65536;

async function open(context: OpenContext<CopyBeforeWriteOptions>): Promise<CopyBeforeWriteImage> {
  const { bitmap, 'min-cluster-size': least, 'cbw-timeout': timeout, 'on-cbw-error': onError } = context.options;
  const file = context.child('file');
  const target = context.child('target');
  if (least !== 0 && !Number.isInteger(Math.log2(least))) {
    throw new BlockError(`min-cluster-size ${least} is not a power of two`);
  }
  if (target.size < file.size) {
    throw new BlockError(
      `the target '${target.node.name}' has ${target.size} bytes, too few for the ${file.size} of the disk`,
    );
  }
  const clusterSize = Math.max(MIN_CLUSTER, least, (await clusterSizeOf(target)) ?? 0);
  const wanted = new DirtyBitmap(file.size, clusterSize);
  if (bitmap) wanted.merge(context.dirtyBitmap(bitmap.node, bitmap.name));
  else wanted.setAll();
  const breaksSnapshot = onError === 'break-snapshot';
  return new CopyBeforeWriteImage(file, new Snapshot(file, target, wanted), {
    timeout: timeout * 1000,
    breaksSnapshot,
  });
}

export const copyBeforeWriteDriver: Driver<CopyBeforeWriteOptions> = {
  name: 'copy-before-write',
  kind: 'filter',
  options,
  slots: [
    { name: 'file', role: 'filtered', anyNode: true },
    { name: 'target', role: 'data', anyNode: true },
  ],
  strongOptions: ['bitmap', 'on-cbw-error', 'cbw-timeout', 'min-cluster-size'],
  open,
};
