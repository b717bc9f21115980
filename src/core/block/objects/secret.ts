/** `secret`: a password or key from the command line (which other users of the machine can see) or from a file. */
import { decodeSecret } from '../../crypto/secret.ts';
import { Cancelled, Usage, withContext } from '../../errors/block-error.ts';
import { readAll } from '../../host/index.ts';
import { defineOptions, type OptionsOf, text } from '../../options/fields.ts';
import type { ObjectContext, ObjectType } from './object-type.ts';
import { codingFields } from './secret-coding.ts';

const options = defineOptions({
  data: text({ help: 'The secret itself; other users can see it in the list of processes' }),
  file: text({ help: 'File that holds it' }),
  ...codingFields,
});

type SecretOptions = OptionsOf<typeof options>;

/** Longest secret in bytes: nothing that a password or key is used for takes more. */
const MAX_BYTES = 1024 * 1024;

export const secret: ObjectType<SecretOptions, 'secret'> = {
  name: 'secret',
  kind: 'secret',
  options,
  sensitive: true,
  shown: ['file', 'format', 'keyid', 'iv'],
  async make({ data, file, format, keyid, iv }, context) {
    const { what, object } = context;
    if (data !== undefined && file !== undefined) throw new Usage(`${what} takes 'data' or 'file', not both`);
    if (data === undefined && file === undefined) throw new Usage(`${what} needs 'data' or 'file'`);
    const key = keyid === undefined ? undefined : object('secret', keyid);
    const bytes = file === undefined ? Buffer.from(data ?? '') : await readSecretFile(file, context);
    return decodeSecret(bytes, {
      what,
      format,
      ...(key === undefined ? {} : { key }),
      ...(iv === undefined ? {} : { iv }),
    });
  },
};

async function readSecretFile(file: string, { what, signal }: ObjectContext): Promise<Uint8Array> {
  try {
    return await readAll(file, MAX_BYTES, signal);
  } catch (error) {
    if (error instanceof Cancelled) throw error;
    throw withContext(`${what}: could not read '${file}'`, error);
  }
}
