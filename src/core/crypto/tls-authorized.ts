import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { BlockError } from '../errors/block-error.ts';
import type { Authorizer } from './authorizer.ts';
import type { TlsServer } from './tls-credentials.ts';

/**
 * Put TLS on the connection of a client and let in only whom `authorizer` allows. It is asked for each client anew,
 * so that it may change.
 * @throws BlockError for one that is not let in; the socket is destroyed then.
 */
export async function upgradeAuthorized(
  server: TlsServer,
  authorizer: (() => Authorizer) | undefined,
  socket: Socket,
): Promise<TLSSocket> {
  const peer = await server.upgrade(socket);
  try {
    if (authorizer && !authorizer().allows(peer.identity)) {
      throw new BlockError(
        `the client ${peer.identity === undefined ? 'without a name' : `'${peer.identity}'`} may not connect`,
        {
          code: 'EACCES',
        },
      );
    }
  } catch (error) {
    peer.socket.destroy();
    throw error;
  }
  return peer.socket;
}
