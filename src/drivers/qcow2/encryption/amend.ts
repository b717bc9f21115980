/** Passwords of an encrypted image, given and taken: `encrypt.*` of `amend`. */
import type { AmendContext } from '../../../core/block/driver.ts';
import { amendSlots, type LuksAmendOptions, luksAmendFields } from '../../../core/crypto/index.ts';
import { NotSupported, Usage } from '../../../core/errors/block-error.ts';
import { choice, group } from '../../../core/options/fields.ts';
import type { Options } from '../../../core/options/schema.ts';
import { OLD_FORMATS } from './create.ts';
import type { Encryption } from './open.ts';

const fields = {
  format: choice(['luks', ...OLD_FORMATS], {
    help: 'How the image is encrypted; it says so itself',
    neverGranted: OLD_FORMATS,
  }),
  ...luksAmendFields,
};

export const amendEncryptOption = group(fields, { help: 'Passwords of the encryption' });

/** @throws BlockError, with the image as before or with slots erased that were to be erased. */
export async function amendEncryption(
  encryption: Encryption | undefined,
  options: Options,
  { force, object }: AmendContext,
): Promise<void> {
  if (!encryption) throw new Usage('the image is not encrypted: it has no passwords to amend');
  const { volume, password } = encryption;
  const { format, ...change } = (options.encrypt ?? {}) as LuksAmendOptions & { readonly format?: string };
  if (volume && format !== undefined && format !== 'luks') {
    throw new Usage(`the image is encrypted as luks, not as encrypt.format=${format} says`);
  }
  if (!volume) throw new NotSupported(`an image encrypted as ${encryption.format} has no key slots to amend`);
  await amendSlots(volume, change, {
    force,
    password,
    secret: (id) => object('secret', id),
  });
}
