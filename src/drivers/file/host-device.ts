/** `host_device`: a block or character device of the host. It exists already: "creating" one checks its size. */
import type { CreateContext, Driver } from '../../core/block/driver.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import { HostFile } from '../../core/host/index.ts';
import { bytes, choice, defineOptions, type OptionsOf } from '../../core/options/fields.ts';
import { assertKind } from './host-image.ts';
import { type HostOptions, hostPath, openHost, openOptions } from './open.ts';

const createOptions = defineOptions({
  size: bytes({ help: 'Virtual disk size', default: 0 }),
  preallocation: choice(['off'], { help: 'Preallocation mode (allowed values: off)', default: 'off' }),
});

/** Leave no old format's header behind in the first sector. */
async function createOnDevice(context: CreateContext): Promise<void> {
  const { size } = context.options as OptionsOf<typeof createOptions>;
  const file = await HostFile.open(context.fileName);
  try {
    assertKind(file, 'device', 'host_device');
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
