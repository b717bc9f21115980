/**
 * Other options for an open image. All metadata is on disk before anything is switched, so that caches can simply be made
 * anew; what an image needs before its first change happens again before the next one.
 */
import type { OpenModes, ReopenCapability } from '../../core/block/driver.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import type { Options } from '../../core/options/schema.ts';
import { assemble } from './assemble.ts';
import type { Disk } from './disk.ts';
import { clearDirtyBit } from './first-write.ts';
import { refuseState } from './open.ts';
import { cacheSizes, type Qcow2Options, settingsOf } from './options.ts';

/** `switched` is called when the disk has its new settings. */
export async function prepareReopen(
  disk: Disk,
  options: Options,
  modes: OpenModes,
  switched: () => void,
): ReturnType<ReopenCapability['prepare']> {
  const given = options as Qcow2Options;
  const settings = settingsOf(given, disk.header, modes);
  cacheSizes(given, disk.geometry, disk.header.size);
  refuseState(disk.header, { fileName: disk.fileName, modes });
  if (disk.isCorrupt) disk.assertUsable();
  if (!disk.writable && !modes.readOnly && disk.dirtyBit) {
    throw new BlockError(`'${disk.fileName}' was not closed cleanly, and cannot become writable while it is open`, {
      hint: 'Open it read-write, which mends it',
    });
  }
  if (disk.writable && !modes.noIo) {
    await disk.writer.settle();
    await clearDirtyBit(disk);
    await disk.file.flush();
  }
  const { table } = disk.refcounts;
  const refcountTable = new Uint8Array(modes.noIo ? 0 : table.clusters * disk.geometry.clusterSize);
  if (refcountTable.length > 0) await disk.file.read(table.offset, refcountTable);
  return {
    commit() {
      disk.modes = modes;
      disk.settings = settings;
      disk.writeState.ready = false;
      assemble(disk, refcountTable, given);
      switched();
    },
    // Nothing but what a flush does has been done.
    abort: () => undefined,
  };
}
