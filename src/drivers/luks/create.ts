/** Making a volume: the space first, then the key material, and the header last. */
import type { CreateCapability, CreateContext } from '../../core/block/driver.ts';
import { headerBytes, LUKS_DISPLAY_ORDER, LuksVolume, luksCreateFields, newVolume } from '../../core/crypto/index.ts';
import { Usage } from '../../core/errors/block-error.ts';
import { bool, bytes, choice, defineOptions, type OptionsOf } from '../../core/options/fields.ts';
import { areaOf } from './area.ts';

const SECTOR = 512;

const options = defineOptions({
  ...luksCreateFields,
  'detached-header': bool({ help: 'Make the header alone, for data in another file', default: false }),
  preallocation: choice(['off', 'metadata', 'falloc', 'full'], { help: 'Space to take at once', default: 'off' }),
  size: bytes({ help: 'Virtual disk size' }),
});

type CreateOptions = OptionsOf<typeof options>;

export const createCapability: CreateCapability = {
  options,
  withProtocolOptions: true,
  sizeIsOptional: (given) => given['detached-header'] === true || given['detached-header'] === 'on',
  run,
  displayOrder: ['size', ...LUKS_DISPLAY_ORDER],
  async measure({ options: given, size, source }) {
    const { 'detached-header': detached, ...own } = given as CreateOptions;
    const payload = Math.ceil((size ?? source?.size ?? 0) / SECTOR) * SECTOR;
    const required = headerBytes(newVolume(own)) + (detached ? 0 : payload);
    return { required, fullyAllocated: required };
  },
};

async function run({ options: given, file, object }: CreateContext): Promise<void> {
  const { size, preallocation, 'key-secret': id, 'detached-header': detached, ...own } = given as CreateOptions;
  if (!file) throw new Error('luks is created on a file');
  if (id === undefined) throw new Usage("a luks image needs a password: option 'key-secret' is required");
  if (size === undefined && !detached) throw new Usage('a new luks image needs a size');
  const volume = { ...newVolume(own), detached };
  const password = object('secret', id).bytes;
  const payload = detached ? 0 : Math.ceil((size ?? 0) / SECTOR) * SECTOR;
  const mode = preallocation === 'metadata' ? 'off' : preallocation;
  await file.truncate(headerBytes(volume) + payload, { preallocation: mode, exact: false });
  await LuksVolume.create(areaOf(file), password, volume);
}
