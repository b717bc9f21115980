/** Passwords of an encrypted image, given and taken: `encrypt.*` of `amend`. */
import type { AmendContext } from '../../../core/block/driver.ts';
import { amendSlots, type LuksAmendOptions, luksAmendFields } from '../../../core/crypto/index.ts';
import { NotSupported, Usage } from '../../../core/errors/block-error.ts';
import { group } from '../../../core/options/fields.ts';
import type { Options } from '../../../core/options/schema.ts';
import type { Encryption } from './open.ts';

export const amendEncryptOption = group(luksAmendFields, { help: 'Passwords of the encryption' });

/** @throws BlockError, with the image as before or with slots erased that were to be erased. */
export async function amendEncryption(
  encryption: Encryption | undefined,
  options: Options,
  { force, object }: AmendContext,
): Promise<void> {
  if (!encryption) throw new Usage('the image is not encrypted: it has no passwords to amend');
  const { volume, password } = encryption;
  if (!volume) throw new NotSupported(`an image encrypted as ${encryption.format} has no key slots to amend`);
  await amendSlots(volume, (options.encrypt ?? {}) as LuksAmendOptions, {
    force,
    password,
    secret: (id) => object('secret', id),
  });
}
