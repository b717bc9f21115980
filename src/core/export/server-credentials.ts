import type { Duplex } from 'node:stream';

/** How a server takes part in TLS; a server without credentials refuses STARTTLS ("TLS support"). */
export interface ServerCredentials {
  /** `required`: nothing but STARTTLS and ABORT is answered before ("FORCEDTLS"); `optional`: the client decides. */
  readonly mode: 'optional' | 'required';
  /**
   * Take over a socket on which nothing was read since the client was told to go ahead; resolves after the handshake,
   * rejects when it fails or the client may not come in (certificate, authorisation). The caller destroys the socket.
   */
  upgrade(socket: Duplex): Promise<Duplex>;
}
