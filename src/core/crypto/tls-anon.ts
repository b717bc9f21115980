/** Credentials that prove nothing: what is said is hidden from others, but may be said to anybody. */
import { NotSupported } from '../errors/block-error.ts';
import type { TlsCredentials, TlsEndpoint } from './tls-credentials.ts';
import { clientHandshake, serverHandshake } from './tls-handshake.ts';
import { readPriority } from './tls-priority.ts';

export interface AnonSettings {
  readonly id: string;
  readonly what: string;
  readonly endpoint: TlsEndpoint;
  readonly priority: string | undefined;
}

/** TLS 1.3 has no such thing, and OpenSSL counts it as no security at all. */
const CONTEXT = {
  ciphers: 'AECDH-AES256-SHA:AECDH-AES128-SHA:ADH-AES256-GCM-SHA384:ADH-AES128-GCM-SHA256:@SECLEVEL=0',
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
} as const;

export function anonCredentials({ id, what, endpoint, priority }: AnonSettings): TlsCredentials {
  const { minVersion } = readPriority(priority, what);
  if (minVersion !== 'TLSv1.2') throw new NotSupported(`${what}: there is no anonymous TLS but in TLS 1.2`);
  if (endpoint === 'server') {
    const upgrade = async (socket: Parameters<typeof serverHandshake>[0]) => ({
      socket: await serverHandshake(socket, { ...CONTEXT, dhparam: 'auto' }),
      identity: undefined,
    });
    return { id, endpoint, client: undefined, server: { upgrade } };
  }
  const upgrade = (socket: Parameters<typeof clientHandshake>[0]) =>
    clientHandshake(socket, { ...CONTEXT, rejectUnauthorized: false, checkServerIdentity: () => undefined });
  return { id, endpoint, client: { upgrade }, server: undefined };
}
