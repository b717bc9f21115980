/** Opening a path for either driver of this folder. */
import type { Image, OpenContext } from '../../core/block/driver.ts';
import { AIO_MODES, checkAio, HostFile, REFUSED_AIO_MODES } from '../../core/host/index.ts';
import { choice, defineOptions, type OptionsOf, text } from '../../core/options/fields.ts';
import { assertKind, HostImage } from './host-image.ts';

export const openOptions = defineOptions({
  filename: text({ help: 'Path of the file or device', required: true }),
  aio: choice(AIO_MODES, {
    help: 'How requests are carried out',
    default: 'threads',
    neverGranted: REFUSED_AIO_MODES,
  }),
  locking: choice(['auto', 'on', 'off'], { help: 'Hold permissions as locks on the file', default: 'auto' }),
});

export type HostOptions = OptionsOf<typeof openOptions>;

/** Open the path that the options name; `file` and `host_device` differ in what they take it to be. */
export async function openHost(
  context: OpenContext<HostOptions>,
  driver: string,
  wanted: 'file' | 'device',
): Promise<Image> {
  const { options, modes, closer } = context;
  checkAio(options.aio, modes.direct);
  const file = await HostFile.open(options.filename, { readOnly: modes.readOnly, direct: modes.direct });
  closer.push(() => file.close());
  assertKind(file, wanted, driver);
  return new HostImage(file, modes.forceShare ? 'off' : options.locking, await file.deviceInfo());
}

/** Options for a plain path, or one behind the driver's own prefix. */
export function hostPath(prefix: string, name: string): Record<string, unknown> {
  return { filename: pathOf(prefix, name) };
}

/** The path in a name that may carry the driver's own prefix. */
export function pathOf(prefix: string, name: string): string {
  return name.startsWith(`${prefix}:`) ? name.slice(prefix.length + 1) : name;
}
