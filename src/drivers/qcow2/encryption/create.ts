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
import { Usage } from '../../../core/errors/block-error.ts';
import { choice, group, secretId } from '../../../core/options/fields.ts';
import { areaAt } from './open.ts';

/** Members of `encrypt.` */
export const encryptFields = {
  format: choice(['aes', 'luks'], { help: "Encrypt the image, format choices: 'aes', 'luks'" }),
  ...luksCreateFields,
  'key-secret': secretId({ help: 'ID of secret providing qcow AES key or LUKS passphrase' }),
};

export const encryptOption = group(encryptFields, { help: 'Encryption of the data' });

export interface NewEncryption {
  /** Undefined for the AES of old, which keeps nothing in the file: the password itself is the key. */
  readonly volume: NewVolume | undefined;
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
 * @throws Usage, NotSupported for algorithms that are not there.
 */
export function newEncryption(
  encrypt: EncryptOptions | undefined,
  { legacy, measuring }: { readonly legacy: boolean; readonly measuring: boolean },
): NewEncryption | undefined {
  if (encrypt === undefined && !legacy) return undefined;
  const { format = legacy ? 'aes' : undefined, 'key-secret': secret = '', ...own } = encrypt ?? {};
  if (legacy && format !== 'aes') {
    throw new Usage(`'encryption' stands for encrypt.format=aes, which encrypt.format=${format} contradicts`);
  }
  if (format === undefined) throw new Usage("the options 'encrypt' need 'encrypt.format'");
  if (secret === '' && !measuring) {
    throw new Usage("an encrypted image needs a password: option 'encrypt.key-secret' is required");
  }
  if (format === 'aes') {
    const [name] = Object.keys(own);
    if (name !== undefined) throw new Usage(`option 'encrypt.${name}' has no meaning for encrypt.format=aes`);
    return { volume: undefined, secret, length: 0 };
  }
  const volume = newVolume(own);
  return { volume, secret, length: headerBytes(volume) };
}

/** Write header and key slot at `offset` of the new file; of the AES of old, only see that there is a password. */
export async function writeEncryption(
  { file, object }: CreateContext,
  { volume, secret, length }: NewEncryption,
  offset: number,
): Promise<void> {
  if (!file) throw new Error('qcow2 is created on a file');
  const { bytes } = object('secret', secret);
  if (!volume) return;
  // Key slots that are free are not written: the file must reach over them all the same.
  if (file.size < offset + length) await file.truncate(offset + length, { exact: false });
  await LuksVolume.create(areaAt(file, offset, length), bytes, volume);
}
