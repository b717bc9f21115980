/** `secret_keyring`: a password or key that the kernel keeps, so that no file and no list of processes shows it. */
import { decodeSecret } from '../../crypto/secret.ts';
import { withContext } from '../../errors/block-error.ts';
import { readKey } from '../../host/index.ts';
import { defineOptions, integer, type OptionsOf } from '../../options/fields.ts';
import type { ObjectType } from './object-type.ts';
import { codingFields } from './secret-coding.ts';

const options = defineOptions({
  serial: integer({ help: 'Serial number of the key', required: true, min: -(2 ** 31), max: 2 ** 31 - 1 }),
  ...codingFields,
});

export const secretKeyring: ObjectType<OptionsOf<typeof options>, 'secret'> = {
  name: 'secret_keyring',
  kind: 'secret',
  options,
  sensitive: true,
  make({ serial, format, keyid, iv }, { what, object }) {
    const key = keyid === undefined ? undefined : object('secret', keyid);
    const bytes = payload(serial, what);
    const wrapping = { ...(key === undefined ? {} : { key }), ...(iv === undefined ? {} : { iv }) };
    return decodeSecret(bytes, { what, format, ...wrapping });
  },
};

function payload(serial: number, what: string): Uint8Array {
  try {
    return readKey(serial);
  } catch (error) {
    throw withContext(what, error);
  }
}
