/** Disks that the kernel's own NBD client makes out of exports: `/dev/nbd*`. */
import { statSync } from 'node:fs';
import { BlockError, NotSupported } from '../../core/errors/block-error.ts';

export async function connectDevice(path: string): Promise<void> {
  assertDevice(path);
  throw new NotSupported(`connecting '${path}' is not supported by this version`, {
    hint: `Serve on a unix socket and run nbd-client -unix SOCKET ${path}`,
  });
}

export async function disconnectDevice(path: string): Promise<void> {
  assertDevice(path);
  throw new NotSupported(`disconnecting '${path}' is not supported by this version`, {
    hint: `Run nbd-client -d ${path}`,
  });
}

function assertDevice(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isBlockDevice()) return;
  throw new BlockError(`'${path}' is no block device of this machine`, {
    code: 'ENODEV',
    hint: "Load the kernel's driver (modprobe nbd), or use the export without it: -k SOCKET, then nbdfuse or img nbd+unix:///?socket=SOCKET",
  });
}
