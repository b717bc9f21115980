/** Which credentials a connection uses, from options and names. */
import type { OpenContext } from '../../core/block/driver.ts';
import { systemTrust } from '../../core/crypto/tls-system.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import type { ServerAddress, TlsSettings } from '../../core/nbd/index.ts';
import type { NbdOptions } from './options.ts';

/** Undefined for a connection in plain text. @throws for credentials that are not there, or not for this end. */
export async function tlsSettings(
  values: NbdOptions,
  address: ServerAddress,
  surroundings: Pick<OpenContext, 'object'> | undefined,
): Promise<TlsSettings | undefined> {
  const id = values['tls-creds'];
  const hostname = values['tls-hostname'] ?? (address.type === 'inet' ? address.host : undefined);
  if (id === undefined) {
    if (values.tls) return { client: systemTrust(), hostname };
    if (values['tls-hostname'] !== undefined) throw new BlockError("'tls-hostname' needs 'tls-creds'");
    return undefined;
  }
  if (!surroundings) throw new BlockError(`credentials '${id}' cannot be used here`);
  const { client } = surroundings.object('tls-creds', id);
  if (!client)
    throw new BlockError(`credentials '${id}' are for a server`, { hint: 'Define them with endpoint=client' });
  return { client, hostname };
}
