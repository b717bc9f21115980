/** Both ends of putting TLS on a socket with Node's own TLS, whatever the credentials are. */
import type { Socket } from 'node:net';
import tls from 'node:tls';
import { BlockError } from '../errors/block-error.ts';

/** Time for the handshake in milliseconds, unless the socket is destroyed before. */
const HANDSHAKE_MS = 30_000;

/** Connect TLS over `socket`, as the client. */
export function clientHandshake(socket: Socket, options: tls.ConnectionOptions): Promise<tls.TLSSocket> {
  return new Promise((resolve, reject) => {
    const secured = tls.connect({ ...options, socket });
    const timer = setTimeout(() => secured.destroy(new Error('the handshake took too long')), HANDSHAKE_MS);
    const end = (): void => {
      clearTimeout(timer);
      secured.off('error', fail);
      secured.off('close', closed);
    };
    const fail = (error: Error): void => {
      end();
      secured.on('error', () => undefined);
      secured.destroy();
      reject(handshakeError('the server', error));
    };
    const closed = (): void => fail(new Error('the connection was closed'));
    secured.once('secureConnect', () => {
      end();
      resolve(secured);
    });
    secured.once('error', fail);
    secured.once('close', closed);
  });
}

/** Take TLS on `socket`, as the server. */
export function serverHandshake(socket: Socket, options: tls.TlsOptions): Promise<tls.TLSSocket> {
  return new Promise((resolve, reject) => {
    // A server that does not listen: what it does with a connection is all that is wanted of it.
    const server = tls.createServer({ ...options, handshakeTimeout: HANDSHAKE_MS });
    // Half open, the socket of a client that left in the middle would stay, and nobody would be told.
    socket.allowHalfOpen = false;
    server.once('secureConnection', (secured) => {
      secured.allowHalfOpen = true;
      resolve(secured);
    });
    server.once('tlsClientError', (error, secured) => {
      secured.on('error', () => undefined);
      socket.destroy();
      // Of a certificate that it does not like, Node tells as if the client had left.
      const { authorizationError: why } = secured;
      reject(handshakeError('the client', why ? new Error(`its certificate is refused (${String(why)})`) : error));
    });
    server.emit('connection', socket);
  });
}

function handshakeError(peer: string, error: Error): BlockError {
  return new BlockError(`TLS with ${peer} failed: ${tlsReason(error)}`, { code: 'EPERM', cause: error });
}

/** OpenSSL's reason in place of its whole story, which ends in a line of its sources. */
export function tlsReason(error: Error): string {
  if ('reason' in error && typeof error.reason === 'string') return error.reason;
  return /:SSL routines:[^:]*:([^:]+):/.exec(error.message)?.[1] ?? error.message;
}
