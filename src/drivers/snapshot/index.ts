/**
 * `snapshot`: an internal snapshot of the image below as a disk that is read. The image may be in use and be written to
 * meanwhile: what the snapshot holds does not change, and the snapshot cannot be removed as long as this node is open.
 *
 * It is no filter, since its content is not that of its child; what the child says of itself and where its backing file
 * shows through is answered here.
 */
import type { Driver, Image, OpenContext } from '../../core/block/driver.ts';
import { belowFilters } from '../../core/block/own-node.ts';
import { Perm } from '../../core/block/permissions-bits.ts';
import { findSnapshot, noSnapshots } from '../../core/block/snapshots.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import { defineOptions, type OptionsOf, text } from '../../core/options/fields.ts';

const options = defineOptions({
  snapshot: text({ help: 'Id or name of the snapshot' }),
  'snapshot-id': text({ help: 'Its id' }),
  'snapshot-name': text({ help: 'Its name; with an id, both must fit' }),
});
type SnapshotOptions = OptionsOf<typeof options>;

async function open(context: OpenContext<SnapshotOptions>): Promise<Image> {
  const { snapshot, 'snapshot-id': id, 'snapshot-name': name } = context.options;
  if (snapshot !== undefined && (id !== undefined || name !== undefined)) {
    throw new BlockError("'snapshot' cannot be given together with 'snapshot-id' or 'snapshot-name'");
  }
  const wanted = snapshot ?? { id, name };
  if (snapshot === undefined && id === undefined && name === undefined) {
    throw new BlockError("driver 'snapshot' needs 'snapshot', 'snapshot-id' or 'snapshot-name'");
  }
  if (!context.modes.readOnly) {
    throw new BlockError(`a snapshot of '${context.fileName}' can only be read`, { code: 'EACCES' });
  }
  const node = belowFilters(context.child('file'));
  const { snapshots } = node.image;
  if (!snapshots) throw noSnapshots(node);
  const found = findSnapshot(snapshots.list(), wanted, { fileName: node.fileName });
  const view = await snapshots.view(found);
  // Writing to the disk as it is now leaves the snapshot alone, so all of it is shared.
  view.childPermissions = () => ({ perm: 0, shared: Perm.ALL });
  return view;
}

export const snapshotDriver: Driver<SnapshotOptions> = {
  name: 'snapshot',
  kind: 'format',
  options,
  slots: [{ name: 'file', role: 'filtered', anyNode: true }],
  strongOptions: ['snapshot', 'snapshot-id', 'snapshot-name'],
  open,
};
