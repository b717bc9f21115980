/**
 * Credentials that are keys both ends share: `keys.psk` in a folder, a line `USER:KEY` each, the key in hexadecimal,
 * as `psktool` of GnuTLS writes it.
 */
import { BlockError } from '../errors/block-error.ts';
import type { TlsCredentials, TlsEndpoint } from './tls-credentials.ts';
import { type CredentialFolder, credentialFile } from './tls-files.ts';
import { clientHandshake, serverHandshake } from './tls-handshake.ts';
import { readPriority, type TlsPriority, withLevel } from './tls-priority.ts';

export interface PskSettings extends CredentialFolder {
  readonly id: string;
  readonly endpoint: TlsEndpoint;
  /** Of the client. */
  readonly username: string;
  readonly priority: string | undefined;
}

/**
 * In TLS 1.3 a key that both ends share is bound to SHA-256 unless told otherwise, which leaves these suites; in TLS
 * 1.2 those with a key of their own for each connection come first.
 */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-PSK-CHACHA20-POLY1305',
  'DHE-PSK-AES256-GCM-SHA384',
  'DHE-PSK-AES128-GCM-SHA256',
  'DHE-PSK-CHACHA20-POLY1305',
  'ECDHE-PSK-AES256-CBC-SHA384',
  'ECDHE-PSK-AES128-CBC-SHA256',
  'PSK-AES256-GCM-SHA384',
  'PSK-AES128-GCM-SHA256',
].join(':');

/** Read `keys.psk`. @throws BlockError that names file and line. */
export async function pskCredentials(settings: PskSettings): Promise<TlsCredentials> {
  const { id, endpoint, what, dir, username } = settings;
  const keys = await readKeys(settings);
  const priority = readPriority(settings.priority, what);
  const context = {
    ciphers: withLevel(CIPHERS, priority),
    minVersion: priority.minVersion,
    maxVersion: priority.maxVersion,
  };
  if (endpoint === 'server') return { id, endpoint, client: undefined, server: { upgrade: acceptor(keys, context) } };
  const psk = keys.get(username);
  if (!psk) throw new BlockError(`${what}: '${dir}/keys.psk' has no key of user '${username}'`, { code: 'ENOENT' });
  const client = {
    upgrade: (socket: Parameters<typeof clientHandshake>[0]) =>
      clientHandshake(socket, {
        ...context,
        pskCallback: () => ({ psk, identity: username }),
        // Who has the key is the one: there is no certificate to look at.
        checkServerIdentity: () => undefined,
      }),
  };
  return { id, endpoint, client, server: undefined };
}

type Context = Pick<TlsPriority, 'minVersion' | 'maxVersion'> & { readonly ciphers: string };

function acceptor(
  keys: ReadonlyMap<string, Buffer>,
  context: Context,
): NonNullable<TlsCredentials['server']>['upgrade'] {
  return async (socket) => {
    let identity: string | undefined;
    const secured = await serverHandshake(socket, {
      ...context,
      pskCallback: (_socket: unknown, user: string) => {
        identity = user;
        return keys.get(user) ?? null;
      },
    });
    return { socket: secured, identity };
  };
}

async function readKeys(folder: CredentialFolder): Promise<ReadonlyMap<string, Buffer>> {
  const { dir, what } = folder;
  const keys = new Map<string, Buffer>();
  const lines = (await credentialFile(folder, 'keys.psk')).toString('utf8').split('\n');
  for (const [index, line] of lines.entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const [, user = '', key = ''] = /^(.+):((?:[0-9a-fA-F]{2})+)\s*$/.exec(line) ?? [];
    if (key === '') throw new BlockError(`${what}: line ${index + 1} of '${dir}/keys.psk' is not USER:KEY`);
    keys.set(user, Buffer.from(key, 'hex'));
  }
  if (keys.size === 0) throw new BlockError(`${what}: '${dir}/keys.psk' has no keys`);
  return keys;
}
