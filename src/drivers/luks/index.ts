/**
 * `luks`: a disk encrypted as LUKS version 1 does it, with header and key slots before the data or in a file apart.
 *
 * Here is where header and data lie and who needs which permission; what a header means, how keys are made and how
 * sectors are encrypted is for core/crypto. The driver stacks on anything: a file, a device, a remote export.
 */
import type { Driver, OpenContext } from '../../core/block/driver.ts';
import { LuksVolume, luksAmendFields, luksInfoFields, luksVersion } from '../../core/crypto/index.ts';
import { BlockError, CorruptImage, Usage } from '../../core/errors/block-error.ts';
import { bool, defineOptions, type OptionsOf, secretId } from '../../core/options/fields.ts';
import { areaOf } from './area.ts';
import { createCapability } from './create.ts';
import { LuksImage } from './image.ts';

const options = defineOptions({
  'key-secret': secretId({ help: 'Id of the secret object that holds the password' }),
});

type LuksOptions = OptionsOf<typeof options>;

async function open(context: OpenContext<LuksOptions>): Promise<LuksImage> {
  const { fileName, modes } = context;
  const file = context.child('file');
  const header = await context.openChild({ name: 'header', role: 'metadata', probe: false });
  if (header) file.role = 'data';
  const volume = await LuksVolume.open(areaOf(header ?? file), fileName);
  const { payloadOffset } = volume;
  if (!header && payloadOffset === 0 && !modes.noIo) {
    throw new BlockError(`'${fileName}' is a header alone: the data it belongs to is in another file`, {
      hint: "Open the data as 'file' and this one as 'header'",
    });
  }
  if (payloadOffset > file.size) {
    throw new CorruptImage(
      `'${fileName}': the data begins at ${payloadOffset}, past the end of the file at ${file.size}`,
    );
  }
  const detached = payloadOffset === 0;
  if (modes.noIo) return new LuksImage({ file, volume, detached });
  const id = context.options['key-secret'];
  if (id === undefined) {
    throw new Usage("the image is encrypted: option 'key-secret' is required", {
      hint: `Define the password with --object secret,id=ID,file=… and open the image with --image-opts, key-secret=ID`,
    });
  }
  const password = context.object('secret', id).bytes;
  const cipher = volume.cipher(await volume.unlock(password));
  return new LuksImage({ file, volume, detached, cipher, password });
}

export const luksDriver: Driver<LuksOptions> = {
  name: 'luks',
  kind: 'format',
  options,
  slots: [
    { name: 'file', role: 'metadata+data' },
    { name: 'header', role: 'metadata', lazy: true },
  ],
  strongOptions: ['key-secret', 'header'],
  probe: (head) => (luksVersion(head) === 1 ? 100 : 0),
  open,
  create: createCapability,
  amendOptions: defineOptions(luksAmendFields),
  infoFields: {
    ...luksInfoFields,
    'detached-header': bool({ help: 'The data is in another file', required: true }),
  },
};
