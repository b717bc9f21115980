/**
 * Disks that the kernel's own NBD client makes out of exports: `/dev/nbd*`.
 *
 * Not done here. NBD_SET_SOCK wants a connected socket, which could be had; but NBD_DO_IT, which runs such a disk, holds
 * its thread until the disk is taken off, so it takes a process of its own that outlives its parent's failures; and all
 * of it would have to be proved on a machine with the driver, where a mistake hangs whoever uses the disk. nbd-client
 * does it on any server.
 */
import { statSync } from 'node:fs';
import { BlockError, NotSupported } from '../../core/errors/block-error.ts';

/** What to do instead; always throws. */
export function refuseConnect(path: string): never {
  assertDevice(path);
  throw new NotSupported(`connecting '${path}' is not supported by this version`, {
    hint: `Serve with -k SOCKET and run nbd-client -unix SOCKET ${path}`,
  });
}

/** What to do instead; always throws. */
export function refuseDisconnect(path: string): never {
  assertDevice(path);
  throw new NotSupported(`disconnecting '${path}' is not supported by this version`, {
    hint: `Run nbd-client -d ${path}`,
  });
}

function assertDevice(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isBlockDevice()) return;
  throw new BlockError(`'${path}' is no block device of this machine`, {
    code: 'ENODEV',
    hint: 'Load the driver of the kernel with modprobe nbd, or serve with -k SOCKET and use nbdfuse',
  });
}
