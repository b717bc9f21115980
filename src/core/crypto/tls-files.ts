/** Files of a folder of credentials, under the names that they have for all programs that use such folders. */
import fs from 'node:fs';
import path from 'node:path';
import { asBlockError, BlockError } from '../errors/block-error.ts';

/** Longest file that is read: bundles of authorities are a quarter of that. */
const MAX_BYTES = 4 << 20;

/** Content of `name` in `dir`. @throws BlockError when it cannot be read; `what` are the credentials. */
export function credentialFile(dir: string, name: string, what: string): Buffer {
  const file = path.join(dir, name);
  try {
    const { size } = fs.statSync(file);
    if (size > MAX_BYTES) throw new BlockError(`it has ${size} bytes, more than ${MAX_BYTES}`, { code: 'EFBIG' });
    return fs.readFileSync(file);
  } catch (error) {
    const { code, message } = asBlockError(error);
    throw new BlockError(`${what}: could not read '${file}': ${message}`, { code, cause: error });
  }
}

/** As {@link credentialFile}; undefined for one that is not there. */
export function optionalFile(dir: string, name: string, what: string): Buffer | undefined {
  return fs.existsSync(path.join(dir, name)) ? credentialFile(dir, name, what) : undefined;
}
