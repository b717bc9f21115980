/** `secret`: a password or key from the command line (which other users of the machine can see) or from a file. */
import fs from 'node:fs/promises';
import { decodeSecret } from '../../crypto/secret.ts';
import { Usage, withContext } from '../../errors/block-error.ts';
import { defineOptions, type OptionsOf, text } from '../../options/fields.ts';
import type { ObjectType } from './object-type.ts';
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
  async make({ data, file, format, keyid, iv }, { what, object }) {
    if (data !== undefined && file !== undefined) throw new Usage(`${what} takes 'data' or 'file', not both`);
    if (data === undefined && file === undefined) throw new Usage(`${what} needs 'data' or 'file'`);
    const key = keyid === undefined ? undefined : object('secret', keyid);
    const bytes = file === undefined ? Buffer.from(data ?? '') : await readSecretFile(file, what);
    return decodeSecret(bytes, {
      what,
      format,
      ...(key === undefined ? {} : { key }),
      ...(iv === undefined ? {} : { iv }),
    });
  },
};

async function readSecretFile(file: string, what: string): Promise<Uint8Array> {
  try {
    await using handle = await fs.open(file, 'r');
    const buf = Buffer.alloc(MAX_BYTES + 1);
    let length = 0;
    for (let count = -1; count !== 0 && length < buf.length; length += count) {
      count = (await handle.read(buf, length, buf.length - length, null)).bytesRead;
    }
    if (length <= MAX_BYTES) return Buffer.from(buf.subarray(0, length));
  } catch (error) {
    throw withContext(`${what}: could not read '${file}'`, error);
  }
  throw new Usage(`${what}: '${file}' is longer than ${MAX_BYTES} bytes`);
}
