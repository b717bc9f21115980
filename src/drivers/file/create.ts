/** Making a file: locked before it is emptied, so that an image another program uses is never destroyed. */
import fs from 'node:fs';
import type { CreateContext } from '../../core/block/driver.ts';
import { Perm } from '../../core/block/permissions-bits.ts';
import { FileLocks, HostFile, setExtentSizeHint, setNoCow } from '../../core/host/index.ts';
import { bool, bytes, choice, defineOptions, type OptionsOf } from '../../core/options/fields.ts';
import { HostImage } from './host-image.ts';
import { pathOf } from './open.ts';

export const createOptions = defineOptions({
  size: bytes({ help: 'Virtual disk size', default: 0 }),
  nocow: bool({ help: 'Turn off copy-on-write (valid only on btrfs)', default: false }),
  preallocation: choice(['off', 'falloc', 'full'], {
    help: 'Preallocation mode (allowed values: off, falloc, full)',
    default: 'off',
  }),
  extent_size_hint: bytes({ help: 'Extent size hint for the image file, 0 to disable', default: '1M' }),
});

type FileCreateOptions = OptionsOf<typeof createOptions>;

/** Create or empty `context.fileName` and give it its size; a file made here is removed again on failure. */
export async function createFile(context: CreateContext): Promise<void> {
  const options = context.options as FileCreateOptions;
  const path = pathOf('file', context.fileName);
  const isNew = !fs.existsSync(path);
  const file = await HostFile.open(path, { create: 'if-missing' });
  try {
    const locks = FileLocks.open(file, 'auto');
    locks.take(Perm.WRITE | Perm.RESIZE, Perm.ALL & ~Perm.RESIZE);
    await file.truncate(0);
    if (options.nocow) setNoCow(file);
    if (options.extent_size_hint > 0) setExtentSizeHint(file, options.extent_size_hint);
    await new HostImage(file, 'off', undefined).truncate(options.size, { preallocation: options.preallocation });
  } catch (error) {
    await file.close();
    if (isNew) fs.rmSync(path, { force: true });
    throw error;
  }
  await file.close();
}
