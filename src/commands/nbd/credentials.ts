import { Socket } from 'node:net';
import type { BlockGraph } from '../../core/block/graph/block-graph.ts';
import { upgradeAuthorized } from '../../core/crypto/tls-authorized.ts';
import type { TlsServer } from '../../core/crypto/tls-credentials.ts';
import { Usage } from '../../core/errors/block-error.ts';
import type { ServerCredentials } from '../../core/export/index.ts';
import type { NbdOptions } from './command-line.ts';

/** How clients are met under TLS, which is demanded of them then; undefined without `--tls-creds`. */
export function serverCredentials(graph: BlockGraph, options: NbdOptions): ServerCredentials | undefined {
  const { tlsCreds, tlsAuthz } = options;
  if (tlsCreds === undefined) return undefined;
  const server = serverEnd(graph, tlsCreds);
  // Looked at for each client, since objects come and go; a name that is wrong from the start is said at the start.
  const authorizer = tlsAuthz === undefined ? undefined : () => graph.objects.find('authz', tlsAuthz);
  authorizer?.();
  return {
    mode: 'required',
    upgrade(socket) {
      if (!(socket instanceof Socket)) throw new Error('TLS goes over sockets');
      return upgradeAuthorized(server, authorizer, socket);
    },
  };
}

function serverEnd(graph: BlockGraph, id: string): TlsServer {
  const { server } = graph.objects.use('tls-creds', id).object;
  if (server) return server;
  throw new Usage(`credentials '${id}' are for a client`, { hint: 'Define them with endpoint=server' });
}
