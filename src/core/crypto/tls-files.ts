/** Files of a folder of credentials, under the names that they have for all programs that use such folders. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { asBlockError, BlockError, Cancelled } from '../errors/block-error.ts';
import { readAll } from '../host/index.ts';

/** Longest file that is read: bundles of authorities are a quarter of that. */
const MAX_BYTES = 4 << 20;

/** A folder, and whose it is. */
export interface CredentialFolder {
  readonly dir: string;
  /** How errors call the credentials. */
  readonly what: string;
  /** Aborted when nobody waits any longer: a file may be a pipe that nobody writes to. */
  readonly signal: AbortSignal | undefined;
}

/** Content of a file. @throws BlockError when it cannot be read, Cancelled. */
export async function credentialFile({ dir, what, signal }: CredentialFolder, name: string): Promise<Buffer> {
  const file = path.join(dir, name);
  try {
    return Buffer.from(await readAll(file, MAX_BYTES, signal));
  } catch (error) {
    if (error instanceof Cancelled) throw error;
    const { code, message } = asBlockError(error);
    throw new BlockError(`${what}: could not read '${file}': ${message}`, { code, cause: error });
  }
}

/** As {@link credentialFile}; undefined for one that is not there. */
export async function optionalFile(folder: CredentialFolder, name: string): Promise<Buffer | undefined> {
  return existsSync(path.join(folder.dir, name)) ? credentialFile(folder, name) : undefined;
}
