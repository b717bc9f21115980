import { NotSupported } from '../../../core/errors/block-error.ts';
import type { Disk } from '../disk.ts';

/** Make the reference counts of an image right whose dirty bit is set, before it is written to. */
export async function repairRefcounts(disk: Disk): Promise<void> {
  throw new NotSupported(`'${disk.fileName}' was not closed cleanly, its reference counts must be repaired first`, {
    hint: 'qemu-img check -r all repairs it',
  });
}
