/** Encryption of a new image: what the options come to, and the header with its first key slot. */
import type { CreateContext } from '../../../core/block/driver.ts';
import {
  headerBytes,
  type LuksCreateOptions,
  LuksVolume,
  luksCreateFields,
  type NewVolume,
  newVolume,
} from '../../../core/crypto/index.ts';
import { NotSupported, Usage } from '../../../core/errors/block-error.ts';
import { choice, group, secretId } from '../../../core/options/fields.ts';
import { areaAt } from './open.ts';

/** The encryption of old, as the command line and the control socket call it. */
export const OLD_FORMATS = ['aes', 'qcow'] as const;

/** Members of `encrypt.` */
const encryptFields = {
  format: choice(['luks', ...OLD_FORMATS], {
    help: "Encrypt the image, format choices: 'luks'; 'aes' is refused",
    neverGranted: OLD_FORMATS,
  }),
  ...luksCreateFields,
  'key-secret': secretId({ help: 'ID of secret providing qcow AES key or LUKS passphrase' }),
};

export const encryptOption = group(encryptFields, { help: 'Encryption of the data' });

export interface NewEncryption {
  readonly volume: NewVolume;
  readonly secret: string;
  /** Bytes of the header and all key slots. */
  readonly length: number;
}

interface EncryptOptions extends LuksCreateOptions {
  readonly format?: string | undefined;
  readonly 'key-secret'?: string | undefined;
}

/**
 * @param measuring no image is made: a password is not needed.
 * @throws Usage, NotSupported for the encryption of old and for algorithms that are not there.
 */
export function newEncryption(
  encrypt: EncryptOptions | undefined,
  { legacy, measuring }: { readonly legacy: boolean; readonly measuring: boolean },
): NewEncryption | undefined {
  if (legacy || OLD_FORMATS.some((name) => name === encrypt?.format)) {
    throw new NotSupported(
      'new images are not encrypted as aes: the password itself is the key, and equal sectors can be told from outside',
      { hint: 'Use encrypt.format=luks' },
    );
  }
  if (encrypt === undefined) return undefined;
  const { format, 'key-secret': secret = '', ...own } = encrypt;
  if (format === undefined) throw new Usage("the options 'encrypt' need 'encrypt.format'");
  if (secret === '' && !measuring) {
    throw new Usage("an encrypted image needs a password: option 'encrypt.key-secret' is required");
  }
  const volume = newVolume(own);
  return { volume, secret, length: headerBytes(volume) };
}

/** Write header and key slot at `offset` of the new file. */
export async function writeEncryption(
  { file, object }: CreateContext,
  { volume, secret, length }: NewEncryption,
  offset: number,
): Promise<void> {
  if (!file) throw new Error('qcow2 is created on a file');
  // Key slots that are free are not written: the file must reach over them all the same.
  if (file.size < offset + length) await file.truncate(offset + length, { exact: false });
  await LuksVolume.create(areaAt(file, offset, length), object('secret', secret).bytes, volume);
}
