/** `host_device`: a block or character device of the host. It exists already: "creating" one checks its size. */
import type { CreateContext, Driver } from '../../core/block/driver.ts';
import { Perm } from '../../core/block/permissions-bits.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import { FileLocks, HostFile } from '../../core/host/index.ts';
import { bytes, choice, defineOptions, type OptionsOf } from '../../core/options/fields.ts';
import { assertKind } from './host-image.ts';
import { type HostOptions, hostPath, openHost, openOptions, pathOf } from './open.ts';

const createOptions = defineOptions({
  size: bytes({ help: 'Virtual disk size', default: 0 }),
  preallocation: choice(['off'], { help: 'Preallocation mode (allowed values: off)', default: 'off' }),
});

/** Leave no old format's header behind in the first sector; not on a device that another program uses. */
async function createOnDevice(context: CreateContext): Promise<void> {
  const { size } = context.options as OptionsOf<typeof createOptions>;
  const file = await HostFile.open(pathOf('host_device', context.fileName));
  try {
    assertKind(file, 'device', 'host_device');
    FileLocks.open(file, 'auto').take(Perm.WRITE | Perm.RESIZE, Perm.ALL & ~Perm.RESIZE);
    if (size > file.size) {
      throw new BlockError(`'${context.fileName}' is a device of ${file.size} bytes, too small for ${size}`, {
        code: 'ENOSPC',
      });
    }
    await file.write(0, Buffer.alloc(Math.min(512, file.size)));
  } finally {
    await file.close();
  }
}

export const hostDeviceDriver: Driver<HostOptions> = {
  name: 'host_device',
  kind: 'protocol',
  options: openOptions,
  schemes: ['host_device'],
  strongOptions: ['filename'],
  parseFileName: (name) => hostPath('host_device', name),
  open: (context) => openHost(context, 'host_device', 'device'),
  create: { options: createOptions, run: createOnDevice },
};
