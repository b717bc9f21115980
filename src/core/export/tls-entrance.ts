/** Clients met under TLS, with credentials and an authoriser that are defined as objects. */
import { Socket } from 'node:net';
import type { BlockGraph } from '../block/graph/block-graph.ts';
import { upgradeAuthorized } from '../crypto/tls-authorized.ts';
import { Usage } from '../errors/block-error.ts';
import type { ServerCredentials } from './server-credentials.ts';

export interface TlsRequest {
  readonly tlsCreds: string;
  readonly tlsAuthz: string | undefined;
  readonly mode?: ServerCredentials['mode'];
}

/**
 * @param tlsCreds id of credentials, @param tlsAuthz id of who says which clients may come in.
 * @throws BlockError for ids that name nothing of that kind, and for credentials of a client.
 */
export function tlsEntrance(
  graph: BlockGraph,
  { tlsCreds, tlsAuthz, mode = 'required' }: TlsRequest,
): ServerCredentials {
  const { server } = graph.objects.find('tls-creds', tlsCreds);
  if (!server) {
    throw new Usage(`credentials '${tlsCreds}' are for a client`, { hint: 'Define them with endpoint=server' });
  }
  // Looked at for each client, since objects come and go; a name that is wrong from the start is said at the start.
  const authorizer = tlsAuthz === undefined ? undefined : () => graph.objects.find('authz', tlsAuthz);
  authorizer?.();
  return {
    mode,
    upgrade(socket) {
      if (!(socket instanceof Socket)) throw new Error('TLS goes over sockets');
      return upgradeAuthorized(server, authorizer, socket);
    },
  };
}
