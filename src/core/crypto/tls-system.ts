import type { TlsClient } from './tls-credentials.ts';
import { clientHandshake } from './tls-handshake.ts';
import { demandName, nameOptions } from './tls-x509.ts';

/** Trust in the authorities that Node trusts, for names that demand TLS and say nothing of credentials (`nbds://`). */
export function systemTrust(): TlsClient {
  return {
    async upgrade(socket, name) {
      demandName(name);
      return clientHandshake(socket, { minVersion: 'TLSv1.2', ...nameOptions(name) });
    },
  };
}
